//! The peers without gatepost: what the other tests rely on holds.

use std::time::Duration;

use crate::support::{
    Ca, Client, Dovecot, FakeUpstream, Manners, Mechanism, Protocol, Tls, fresh_ip, imap, pop3,
};

const USERS: &[(&str, &str)] = &[("alice@a.test", "wonder land")];

#[test]
fn dovecot_lets_in_by_every_mechanism_and_every_kind_of_tls() {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, USERS);
    let tls = Tls::trusting(&ca.pem, "dovecot.test");
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        for mechanism in Mechanism::ALL {
            let clear = Client::greeted(protocol, dovecot.clear(protocol));
            let mut upgraded = Client::greeted(protocol, dovecot.clear(protocol));
            upgraded.start_tls(&tls);
            let secure = Client::greeted_over(&tls, protocol, dovecot.tls(protocol));
            for mut client in [clear, upgraded, secure] {
                client.log_in(mechanism, "alice@a.test", "wonder land");
                client.work_and_leave();
            }
        }
    }
    let login = dovecot.logs_login("alice@a.test");
    assert!(login.contains("rip=127."), "{login}");
}

#[test]
fn dovecot_refuses_a_wrong_password() {
    let dovecot = Dovecot::start(&Ca::new(), USERS);
    let mut client = Client::greeted(Protocol::Imap, dovecot.clear(Protocol::Imap));
    let end = client.try_log_in(Mechanism::Login, "alice@a.test", "wrong");
    assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{end}");
}

#[test]
fn dovecot_believes_id_and_xclient_from_trusted_networks() {
    let dovecot = Dovecot::start(&Ca::new(), USERS);
    let mut client =
        Client::greeted_from(fresh_ip(), Protocol::Imap, dovecot.clear(Protocol::Imap));
    client
        .ask("ID (\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"4711\")")
        .is("OK")
        .tells("ID");
    client.log_in(Mechanism::Login, "alice@a.test", "wonder land");
    dovecot.logs(&["imap-login: Info: Login: ", "rip=192.0.2.7, rport=4711"]);

    let mut client = Client::connect(Protocol::Pop3, dovecot.clear(Protocol::Pop3));
    assert!(client.greeting().contains("[XCLIENT]"));
    client.ask_line("XCLIENT ADDR=192.0.2.8 PORT=4712", "+OK");
    client.log_in(Mechanism::Login, "alice@a.test", "wonder land");
    dovecot.logs(&["pop3-login: Info: Login: ", "rip=192.0.2.8, rport=4712"]);
}

#[test]
fn dovecot_believes_nobody_when_told_so() {
    let dovecot = Dovecot::trusting(&Ca::new(), USERS, "Dovecot ready.", "192.0.2.0/24");
    let mut client = Client::connect(Protocol::Pop3, dovecot.clear(Protocol::Pop3));
    assert!(!client.greeting().contains("[XCLIENT]"));
}

#[test]
fn scripted_servers_take_logins_and_echo() {
    let server = FakeUpstream::start(imap(Manners::imap()));
    let mut client = Client::greeted(Protocol::Imap, server.addr());
    client.ask("ID NIL").is("OK").tells("ID NIL");
    client.log_in(Mechanism::PlainAsked, "bob", "pw");
    client.ask("NOOP one two").is("OK").tells("ECHO NOOP one two");
    client.ask("LOGOUT").is("OK");
    client.hears_the_end();
    server.hears("AUTHENTICATE PLAIN");

    let mut client = Client::greeted(Protocol::Imap, server.addr());
    client.send("a LOGIN {3}\r\n");
    client.hears("+");
    client.send("bob {2+}\r\npw\r\n");
    client.hear_out("a").is("OK");
    server.hears("whole: a LOGIN {3}bob {2+}pw");

    let stutters = Manners { stutters: true, ..Manners::pop3() };
    let server = FakeUpstream::start(pop3(stutters));
    let mut client = Client::greeted(Protocol::Pop3, server.addr());
    assert!(client.capabilities().contains("SASL PLAIN"));
    client.log_in(Mechanism::Login, "bob", "pw");
    client.ask_line("NOOP x", "+OK NOOP x");

    let server = FakeUpstream::start(imap(Manners { deaf_after: Some(1), ..Manners::imap() }));
    let mut client = Client::greeted(Protocol::Imap, server.addr());
    client.hears_nothing_for(Duration::from_millis(50));
    client.say("a NOOP");
    client.hears("a BAD");
    client.hears_the_end();
}
