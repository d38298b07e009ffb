//! What an administrator asks and orders, by the real commands at a real gatepost.

mod caches;
mod doctor;
mod people;
mod servers;
mod state;

use crate::support::{
    Client, FakeUpstream, Gatepost, Manners, Mechanism, Protocol, Run, Site, command, imap, mail,
    run,
};

/// An IMAP server after `inside` of the `mail` block; what must survive is kept in the site.
fn conf(main: &str, inside: &str) -> String {
    let server = "server { listen @ip@:@imap@; protocol imap; }";
    format!("state_path @dir@/state; {main} {}", mail(&format!("{inside} {server}")))
}

/// A gatepost of that [`conf`], with a key for a cache.
#[track_caller]
fn started(main: &str, inside: &str, values: &[(&str, &dyn ToString)]) -> Gatepost {
    let site = Site::new();
    site.write("fleet.key", "5ec7e7".repeat(11) + "\n");
    Gatepost::start(site, &conf(main, inside), values)
}

/// A command, however it ends.
#[track_caller]
fn ask(node: &Gatepost, words: &[&str]) -> Run {
    run(command(&node.site).args(words), "")
}

/// What a command says that works.
#[track_caller]
fn told(node: &Gatepost, words: &[&str]) -> String {
    ask(node, words).worked().out
}

/// An upstream that lets everybody in and says which it is.
fn server(number: usize) -> FakeUpstream {
    let capabilities = format!("IMAP4rev1 SASL-IR AUTH=PLAIN X-NUMBER-{number}");
    FakeUpstream::start(imap(Manners { capabilities, ..Manners::imap() }))
}

/// One login; gives the answer.
fn attempt(node: &Gatepost, user: &str) -> String {
    Client::greeted(Protocol::Imap, node.imap()).try_log_in(Mechanism::Login, user, "pw")
}

/// One login that leads in.
#[track_caller]
fn let_in(node: &Gatepost, user: &str) -> Client {
    let mut client = Client::greeted(Protocol::Imap, node.imap());
    client.log_in(Mechanism::Login, user, "pw");
    client
}

/// Which server a session is at.
#[track_caller]
fn place(session: &mut Client) -> usize {
    let said = session.capabilities();
    said.rsplit_once("X-NUMBER-").unwrap().1.trim().parse().unwrap()
}

/// A session that is ended from outside hears so, and then nothing more.
#[track_caller]
fn hears_bye(session: &mut Client) {
    session.hears("* BYE");
    session.hears_the_end();
}
