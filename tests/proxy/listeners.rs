//! Where gatepost listens, and whom it reaches: IPv6 and unix sockets, on either side.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use crate::scene::{CERTIFICATE, Scene, TO_BACKEND};
use crate::support::{
    Ca, Client, FakeUpstream, Gatepost, Manners, PATIENCE, Protocol, Site, imap, mail,
};

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

/// Logs in over a unix socket by hand and hears a command back.
#[track_caller]
pub fn works_at(path: &std::path::Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut until = |beginning: &str| {
        lines.find(|line| line.as_ref().unwrap().starts_with(beginning)).unwrap().unwrap()
    };
    until("* OK");
    stream.write_all(b"a LOGIN bob pw\r\n").unwrap();
    until("a OK");
    stream.write_all(b"b NOOP over unix\r\n").unwrap();
    assert_eq!(until("* ECHO"), "* ECHO NOOP over unix");
}

#[test]
fn clients_come_by_ipv6() {
    let (upstream, site) = (upstream(), Site::new());
    let port = site.port_of_v6();
    let conf = format!("{TO_BACKEND} server {{ listen [::1]:{port}; protocol imap; }}");
    let extra = "log_format who '$remote_addr $server_addr'; access_log logs/access.log who;";
    let gatepost =
        Gatepost::start(site, &mail(&format!("{extra}{conf}")), &[("up", &upstream.addr())]);
    let to = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let mut client = Client::greeted(Protocol::Imap, to);
    client.ask("LOGIN bob pw").is("OK");
    client.ask("NOOP six").is("OK").tells("six");
    drop(client);
    gatepost.waits_for_line("logs/access.log", "::1 ::1");
    let told = upstream.hears(" ID (").to_ascii_uppercase();
    assert!(told.contains("X-ORIGINATING-IP\" \"::1\"") || told.contains("IPV6:::1"), "{told}");
}

#[test]
fn clients_come_by_unix_socket_and_it_outlives_reloads() {
    let (upstream, site) = (upstream(), Site::new());
    let text = mail(&format!("{TO_BACKEND} server {{ listen unix:@dir@/s; protocol imap; }}"));
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let gatepost = Gatepost::start(site, &text, &values);
    let path = gatepost.site.path("s");
    works_at(&path);
    gatepost.reload(&text, &values, "exited with code 0");
    works_at(&path);
    let site = gatepost.quit();
    assert!(!path.exists(), "the socket is left behind");
    // One that was left behind by a crash is no hindrance.
    drop(UnixListener::bind(&path).unwrap());
    let gatepost = Gatepost::start(site, &text, &values);
    works_at(&path);
    gatepost.quit();
}

#[test]
fn a_unix_socket_outlives_reloads_that_change_the_number_of_workers() {
    let upstream = upstream();
    let text = mail(&format!("{TO_BACKEND} server {{ listen unix:@dir@/s; protocol imap; }}"));
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let with = |workers: usize| {
        let line = format!("worker_processes {workers};");
        text.replace("worker_processes 2;", &line)
    };
    let gatepost = Gatepost::start(Site::new(), &with(1), &values);
    let path = gatepost.site.path("s");
    for workers in [3, 2, 4, 1] {
        gatepost.reload(&with(workers), &values, "exited with code 0");
        for _ in 0..10 {
            works_at(&path);
        }
    }
    assert!(!gatepost.error_log().contains("[emerg]"), "{}", gatepost.error_log());
    gatepost.quit();
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn upstreams_are_reached_by_unix_socket() {
    let site = Site::new();
    let listener = UnixListener::bind(site.path("up")).unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"* OK [CAPABILITY IMAP4rev1] ready\r\n").unwrap();
        let mut heard = Vec::new();
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let Ok(line) = line else { break };
            let tag = line.split(' ').next().unwrap().to_owned();
            heard.push(line);
            let _ = stream.write_all(format!("{tag} OK done\r\n").as_bytes());
        }
        heard
    });
    let conf = "route { default backend; } upstream backend { server unix:@dir@/up; }
                server { listen @ip@:@imap@; protocol imap; }";
    let gatepost = Gatepost::start(site, &mail(conf), &[]);
    let mut client = Client::greeted(Protocol::Imap, gatepost.imap());
    client.ask("LOGIN bob pw").is("OK");
    client.ask("NOOP").is("OK");
    drop(client);
    let heard = served.join().unwrap();
    assert!(heard.iter().any(|line| line.contains("LOGIN")), "{heard:?}");
}

#[test]
fn one_server_listens_in_many_places() {
    let upstream = upstream();
    let conf = format!(
        "{CERTIFICATE}{TO_BACKEND} server {{ protocol imap; starttls on;
         listen @ip@:@imap@; listen @ip@:10150; listen @ip@:@imaps@ ssl; }}"
    );
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let scene = Scene::with(Ca::new(), Protocol::Imap, &mail(&conf), &values);
    for way in crate::scene::Way::ALL {
        scene.let_in_by(way).ask("NOOP").is("OK");
    }
    let mut client = Client::greeted(Protocol::Imap, (scene.gatepost.site.ip, 10150).into());
    client.ask("LOGIN bob pw").is("OK");
}
