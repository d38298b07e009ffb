//! HUP: a new configuration for new sessions, and the old sessions none the wiser.

use nix::sys::signal::Signal;

use crate::crowd::Crowd;
use crate::scene::{CERTIFICATE, Scene, TO_BACKEND, servers};
use crate::support::{
    Ca, Client, FakeUpstream, Manners, Protocol, Talk, command, imap, mail, run, until,
};

const GONE: &str = "exited with code 0";

fn scene() -> (FakeUpstream, Scene) {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let scene = Scene::with(Ca::new(), Protocol::Imap, &conf(""), &values);
    (upstream, scene)
}

/// The usual configuration with something more.
fn conf(extra: &str) -> String {
    mail(&format!("{CERTIFICATE}{TO_BACKEND}{extra}{}", servers(Protocol::Imap)))
}

fn greeting(scene: &Scene) -> String {
    Client::connect(Protocol::Imap, scene.gatepost.imap()).greeting()
}

#[test]
fn new_sessions_get_the_new_configuration_and_old_ones_live_on() {
    let (upstream, scene) = scene();
    let gatepost = &scene.gatepost;
    let mut old = scene.let_in();
    let mut waiting = scene.client();
    let up = upstream.addr();
    let text =
        crate::support::fill(&gatepost.site, &conf("imap_greeting \"a new day\";"), &[("up", &up)]);
    gatepost.site.write("conf/gatepost.conf", text);
    gatepost.signal(Signal::SIGHUP);
    until("the new greeting", || greeting(&scene).contains("a new day").then_some(()));
    assert_eq!(gatepost.pid_file(), Some(gatepost.pid()));
    old.ask("NOOP still").is("OK").tells("still");
    // Who had not logged in yet may still do so.
    waiting.ask("LOGIN alice@a.test pw").is("OK");
    assert!(!gatepost.error_log().contains(GONE), "gone before its sessions");
    waiting.ask("LOGOUT").is("OK");
    old.ask("LOGOUT").is("OK");
    drop((waiting, old));
    gatepost.logs(GONE);
    scene.gatepost.quit();
}

#[test]
fn a_reload_while_nobody_is_there_is_done_at_once() {
    let (upstream, scene) = scene();
    for number in 0..5 {
        let extra = format!("imap_greeting \"day {number}\";");
        scene.gatepost.reload(&conf(&extra), &[("up", &upstream.addr())], GONE);
        assert!(greeting(&scene).contains(&format!("day {number}")));
    }
    scene.gatepost.quit();
}

#[test]
fn an_invalid_file_leaves_the_old_one_serving() {
    let (upstream, scene) = scene();
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    for (bad, told) in [
        ("proxy_timout 1h;", "unknown directive \"proxy_timout\""),
        ("imap_capabilities", "[emerg]"),
        ("server { listen @ip@:99999; protocol imap; }", "[emerg]"),
        // Another's port: it parses and cannot be had.
        ("server { listen @up@; protocol imap; }", "bind()"),
    ] {
        let broken = conf(&format!("imap_greeting \"never\"; {bad}"));
        scene.gatepost.reload(&broken, &values, told);
        assert!(!greeting(&scene).contains("never"), "{bad}");
        assert_eq!(scene.gatepost.pid_file(), Some(scene.gatepost.pid()));
        scene.let_in().ask("NOOP").is("OK");
    }
    scene.gatepost.reload(&conf("imap_greeting \"mended\";"), &values, GONE);
    assert!(greeting(&scene).contains("mended"));
    scene.gatepost.quit();
}

#[test]
fn a_reload_that_fails_is_not_half_in_force() {
    let (upstream, scene) = scene();
    let gatepost = &scene.gatepost;
    let up = upstream.addr();
    let values: [(&str, &dyn ToString); 1] = [("up", &up)];
    let pool = |weight: u32, more: &str| {
        let servers = servers(Protocol::Imap);
        mail(&format!(
            "{CERTIFICATE} upstream pool {{ server @up@ weight={weight}; server 127.0.0.3:9; }}
             route {{ default pool; }} {more}
             lookup l {{ handler http://127.0.0.1:9/{weight}; }} {servers}"
        ))
    };
    let shown = || {
        let told = |what: &str| {
            let said = run(command(&gatepost.site).args([what, "list", "--json"]), "").worked().out;
            serde_json::from_str::<serde_json::Value>(&said).unwrap()
        };
        let (upstreams, lookups) = (told("upstream"), told("lookup"));
        let all = upstreams["upstreams"][0]["servers"].as_array().unwrap();
        let ours = all.iter().find(|server| server["address"] == up.to_string());
        let weight = ours.unwrap()["weight"].clone();
        (weight, lookups["handlers"][0]["url"].clone())
    };
    gatepost.reload(&pool(3, ""), &values, GONE);
    let before = shown();
    assert_eq!(before.0, 3);
    // Another's port: all else is well.
    let taken =
        "server { listen @up@; protocol imap; } server { listen unix:@dir@/new; protocol imap; }";
    let last =
        "server { listen unix:@dir@/new; protocol imap; } server { listen @up@; protocol imap; }";
    for more in [taken, last] {
        gatepost.reload(&pool(7, more), &values, "bind()");
        assert_eq!(shown(), before);
        assert!(!gatepost.site.path("new").exists(), "a socket is left behind");
        scene.let_in().ask("NOOP").is("OK");
    }
    gatepost.reload(&pool(7, ""), &values, GONE);
    assert_eq!(shown().0, 7);
    scene.gatepost.quit();
}

#[test]
fn listeners_come_and_go() {
    let (upstream, scene) = scene();
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let new = (scene.gatepost.site.ip, 10200).into();
    Talk::try_connect(None, new).map(drop).unwrap_err();
    let more = conf("server { listen @ip@:10200; protocol imap; }");
    scene.gatepost.reload(&more, &values, GONE);
    let mut session = Client::greeted(Protocol::Imap, new);
    session.ask("LOGIN bob pw").is("OK");
    // HUP with a session: the old generation stays until it ends.
    let text = crate::support::fill(&scene.gatepost.site, &conf(""), &values);
    scene.gatepost.site.write("conf/gatepost.conf", text);
    scene.gatepost.signal(Signal::SIGHUP);
    until("the listener to close", || Talk::try_connect(None, new).is_err().then_some(()));
    session.ask("NOOP still").is("OK");
    scene.let_in().ask("NOOP").is("OK");
}

#[test]
fn a_crowd_survives_reloads_and_a_certificate_swap() {
    let (upstream, scene) = scene();
    let crowd = Crowd::gather(&scene);
    let gatepost = &scene.gatepost;
    for number in 0..5 {
        let extra = format!("imap_greeting \"day {number}\";");
        let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
        scene.ca.ecdsa(&["mail.test", &gatepost.site.ip.to_string()]).put(&gatepost.site, "mail");
        let text = crate::support::fill(&gatepost.site, &conf(&extra), &values);
        gatepost.site.write("conf/gatepost.conf", text);
        gatepost.signal(Signal::SIGHUP);
        let want = format!("day {number}");
        until("the new day", || greeting(&scene).contains(&want).then_some(()));
        crowd.works_on();
        scene.let_in_by(crate::scene::Way::Tls).ask("NOOP").is("OK");
    }
    crowd.leaves_whole();
    until("all old generations to go", || {
        (gatepost.error_log().matches(GONE).count() >= 5).then_some(())
    });
    scene.gatepost.quit();
}
