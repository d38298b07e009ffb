//! Nobody learns who exists: a user whom no source knows, and one whose password an upstream refuses,
//! are answered in the same bytes, and after the same time (requirement C7).
//!
//! **Time.** Attempts of both kinds alternate, so that what slows the machine down slows down both,
//! and the medians are compared: they may lie 5 % apart, and [`SLACK`] more for what a clock in a test
//! costs. A machine that is busy with something else may still fail that, so it is tried in up to
//! [`ROUNDS`] rounds, of which one has to hold: a leak shows in all of them.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::dialog::{Dialog, Tongue};
use crate::scripted::{Mta, sieve};
use crate::support::{
    Asked, Ca, Dovecot, FakeLookup, FakeUpstream, Gatepost, IMAP, Manners, POP3, Protocol, SIEVE,
    SMTP, Site, Talk, answer, encoded, imap, mail, pop3,
};

const KNOWN: &str = "mrose@a.test";
const UNKNOWN: &str = "nobody@a.test";
const SLACK: Duration = Duration::from_millis(10);
const ROUNDS: u32 = 3;

/// What an upstream says of a wrong password. The test finds it in no answer.
const WORDS: &str = "mrose's own words";

/// How credentials come.
const WAYS: &[(Tongue, &str)] = &[
    (Tongue::Imap, "LOGIN"),
    (Tongue::Imap, "PLAIN"),
    (Tongue::Imap, "AUTH LOGIN"),
    (Tongue::Pop3, "LOGIN"),
    (Tongue::Pop3, "PLAIN"),
    (Tongue::Smtp, "PLAIN"),
    (Tongue::Smtp, "AUTH LOGIN"),
    (Tongue::Sieve, "PLAIN"),
];

/// An upstream that refuses everybody, `after` a while.
fn refusing(tongue: Tongue, after: Duration) -> FakeUpstream {
    let play = move |talk: &mut Talk| -> io::Result<()> {
        talk.hesitates = Some((WORDS, after));
        match tongue {
            Tongue::Imap => imap(Manners {
                before_answer: vec!["* NO [ALERT] you may log in from Monday".to_owned()],
                answer: format!("NO [AUTHENTICATIONFAILED] {WORDS}"),
                ..Manners::imap()
            })(talk),
            Tongue::Pop3 => {
                pop3(Manners { answer: format!("-ERR [AUTH] {WORDS}"), ..Manners::pop3() })(talk)
            }
            Tongue::Smtp => {
                let auth = "535 5.7.8 mrose's own words";
                Mta { auth, ..Mta::listing(&["AUTH PLAIN LOGIN"]) }.serve(talk)
            }
            Tongue::Sieve => sieve("PLAIN", None, "NO \"mrose's own words\"")(talk),
        }
    };
    FakeUpstream::start(play)
}

fn at(gatepost: &Gatepost, tongue: Tongue) -> SocketAddr {
    let port = match tongue {
        Tongue::Imap => IMAP,
        Tongue::Pop3 => POP3,
        Tongue::Smtp => SMTP,
        Tongue::Sieve => SIEVE,
    };
    (gatepost.site.ip, port).into()
}

/// One server for each of these, with an upstream of its own; `inside` stands in `mail`, and `each`
/// in each server.
#[track_caller]
fn gatepost(ups: &[(Tongue, SocketAddr)], inside: &str, each: &str) -> Gatepost {
    let mut text = format!("proxy_pass_error_message on; {inside}\n");
    for (tongue, up) in ups {
        let name = tongue.name();
        let each = each.replace("UP", name);
        text += &format!(
            "upstream {name} {{ server {up}; }}\n\
             server {{ listen @ip@:@{name}@; protocol {name}; {each} }}\n"
        );
    }
    Gatepost::start(Site::new(), &mail(&text), &[])
}

/// One attempt: how long it took, and all that was said from there to the end.
#[track_caller]
fn attempt(to: SocketAddr, (tongue, way): (Tongue, &str), user: &str) -> (Duration, String) {
    let mut client = Dialog::greeted(tongue, to);
    let plain = encoded(&format!("\0{user}\0guess"));
    let (name, secret) = (encoded(user), encoded("guess"));
    let steps: Vec<String> = match (tongue, way) {
        (Tongue::Imap, "LOGIN") => vec![format!("a LOGIN {user} guess")],
        (Tongue::Imap, "PLAIN") => vec![format!("a AUTHENTICATE PLAIN {plain}")],
        (Tongue::Imap, _) => vec!["a AUTHENTICATE LOGIN".to_owned(), name, secret],
        (Tongue::Pop3, "LOGIN") => vec![format!("USER {user}"), "PASS guess".to_owned()],
        (Tongue::Smtp, "AUTH LOGIN") => vec!["AUTH LOGIN".to_owned(), name, secret],
        (Tongue::Sieve, _) => vec![format!("AUTHENTICATE \"PLAIN\" \"{plain}\"")],
        _ => vec![format!("AUTH PLAIN {plain}")],
    };
    let (last, first) = steps.split_last().unwrap();
    for step in first {
        client.say(step);
        client.line();
    }
    let began = Instant::now();
    client.say(last);
    let answer = client.line();
    let took = began.elapsed();
    // Whether it may try again is a part of the answer.
    client.say(match tongue {
        Tongue::Imap => "b LOGOUT",
        Tongue::Sieve => "LOGOUT",
        _ => "QUIT",
    });
    (took, format!("{answer}\r\n{}", client.left_unsaid()))
}

/// Both kinds are told the same, by each of these ways.
#[track_caller]
fn tells_the_same(gatepost: &Gatepost, ways: &[(Tongue, &str)]) {
    for way in ways {
        let to = at(gatepost, way.0);
        let (_, wrong) = attempt(to, *way, KNOWN);
        let (_, unknown) = attempt(to, *way, UNKNOWN);
        assert_eq!(wrong, unknown, "{way:?}");
        let refusal = wrong.trim_start_matches("a ");
        assert!(refusal.starts_with(way.0.refusal()), "{way:?}: {wrong}");
        assert!(!wrong.contains(WORDS) && !wrong.contains("Monday"), "{way:?}: {wrong}");
        // It may try again: the farewell is there.
        assert!(wrong.lines().count() > 1, "{way:?}: {wrong}");
    }
}

/// The medians of both kinds, of `count` attempts each.
fn medians(to: SocketAddr, way: (Tongue, &str), count: usize) -> [Duration; 2] {
    let mut took = [const { Vec::new() }; 2];
    for _ in 0..count {
        for (took, user) in took.iter_mut().zip([KNOWN, UNKNOWN]) {
            took.push(attempt(to, way, user).0);
        }
    }
    took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2]
    })
}

fn are_close([one, other]: [Duration; 2]) -> bool {
    one.abs_diff(other) <= one.max(other).mul_f64(0.05) + SLACK
}

/// Both kinds take the same time, and no less than `least`: by each protocol of `ways`, all at once.
#[track_caller]
fn takes_as_long(gatepost: &Gatepost, ways: &[(Tongue, &str)], count: usize, least: Duration) {
    let mut open = ways.to_vec();
    let mut told = String::new();
    for round in 1..=ROUNDS {
        let found: Vec<_> = thread::scope(|scope| {
            let asked = open.iter().map(|way| {
                let to = at(gatepost, way.0);
                scope.spawn(move || (*way, medians(to, *way, count)))
            });
            let asked: Vec<_> = asked.collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for (way, both) in &found {
            assert!(both.iter().all(|median| *median >= least), "{way:?}: {both:?}");
            told += &format!("round {round}, {way:?}: wrong and unknown take {both:?}\n");
        }
        open =
            found.into_iter().filter(|(_, both)| !are_close(*both)).map(|(way, _)| way).collect();
        if open.is_empty() {
            return;
        }
    }
    panic!("a clock tells who exists:\n{told}");
}

fn by_protocol() -> Vec<(Tongue, &'static str)> {
    Tongue::ALL.into_iter().map(|tongue| (tongue, "PLAIN")).collect()
}

#[test]
fn neither_words_nor_time_tell_who_has_a_row() {
    let delay = Duration::from_millis(60);
    let ups = Tongue::ALL.map(|tongue| (tongue, refusing(tongue, delay)));
    let at = ups.each_ref().map(|(tongue, up)| (*tongue, up.addr()));
    let route = format!("route {{ {KNOWN} UP; }}");
    let gatepost = gatepost(&at, "login_failure_delay 150ms;", &route);
    tells_the_same(&gatepost, WAYS);
    // Its own jitter is 5 % either way.
    takes_as_long(&gatepost, &by_protocol(), 40, Duration::from_millis(140));
    for (_, up) in &ups {
        assert!(!up.heard().join("\n").contains(&encoded(&format!("\0{UNKNOWN}\0guess"))));
    }
    gatepost.quit();
}

#[test]
fn an_upstream_that_refuses_at_once_tells_no_more() {
    let ups = Tongue::ALL.map(|tongue| (tongue, refusing(tongue, Duration::ZERO)));
    let at = ups.each_ref().map(|(tongue, up)| (*tongue, up.addr()));
    let route = format!("route {{ {KNOWN} UP; }}");
    let gatepost = gatepost(&at, "login_failure_delay 100ms;", &route);
    tells_the_same(&gatepost, WAYS);
    takes_as_long(&gatepost, &by_protocol(), 20, Duration::from_millis(90));
}

#[test]
fn an_upstream_that_takes_longer_is_waited_for_by_all() {
    let delay = Duration::from_millis(300);
    let up = refusing(Tongue::Imap, delay);
    let route = format!("route {{ {KNOWN} UP; }}");
    let gatepost = gatepost(&[(Tongue::Imap, up.addr())], "login_failure_delay 50ms;", &route);
    let way = (Tongue::Imap, "LOGIN");
    // What nobody has shown yet is not known.
    let (took, _) = attempt(at(&gatepost, Tongue::Imap), way, UNKNOWN);
    assert!(took < delay, "{took:?}");
    for _ in 0..3 {
        attempt(at(&gatepost, Tongue::Imap), way, KNOWN);
    }
    takes_as_long(&gatepost, &[way], 15, delay);
}

/// Zimbra's servlet, which sees no password, says who is unknown, and wants him to wait.
#[test]
fn neither_words_nor_time_tell_whom_a_lookup_knows() {
    let ups = Tongue::ALL.map(|tongue| (tongue, refusing(tongue, Duration::from_millis(20))));
    let at = ups.each_ref().map(|(tongue, up)| (*tongue, up.addr()));
    for wait in [None, Some("1")] {
        let lookup = FakeLookup::start(move |asked: &Asked| {
            let (_, up) =
                at.iter().find(|(it, _)| it.name() == asked.get("Auth-Protocol")).unwrap();
            let (ip, port) = (up.ip().to_string(), up.port().to_string());
            if asked.get("Auth-User") == KNOWN {
                return answer(&[
                    ("Auth-Status", "OK"),
                    ("Auth-Server", &ip),
                    ("Auth-Port", &port),
                ]);
            }
            let refused = [("Auth-Status", "user not found:nobody@a.test")];
            answer(
                &[
                    &refused[..],
                    &wait.map(|wait| ("Auth-Wait", wait)).into_iter().collect::<Vec<_>>(),
                ]
                .concat(),
            )
        });
        for protocol in ["nle", "auth_http"] {
            let source = format!(
                "login_failure_delay 100ms; lookup z {{ protocol {protocol}; send_password off; handler {}; }}",
                lookup.addr()
            );
            let gatepost = gatepost(&at, &source, "");
            tells_the_same(&gatepost, WAYS);
            takes_as_long(&gatepost, &[(Tongue::Imap, "LOGIN")], 10, Duration::from_millis(90));
        }
    }
}

/// Dovecot keeps failed logins back by itself, and sends them off together: up to a second later.
#[test]
fn dovecots_own_delay_is_learnt() {
    let slow = "auth_failure_delay = 1 secs\n";
    let dovecot = Dovecot::adding(&Ca::new(), &[(KNOWN, "pw")], &[slow], &[]);
    let ups = [
        (Tongue::Imap, dovecot.clear(Protocol::Imap)),
        (Tongue::Pop3, dovecot.clear(Protocol::Pop3)),
        (Tongue::Sieve, dovecot.sieve()),
    ];
    let route = format!("route {{ {KNOWN} UP; }}");
    let gatepost = gatepost(&ups, "login_failure_delay 150ms; proxy_ssl off;", &route);
    let ways: Vec<_> = WAYS.iter().filter(|way| way.0 != Tongue::Smtp).copied().collect();
    thread::scope(|scope| {
        // It teaches as it is asked.
        for way in &ways {
            let gatepost = &gatepost;
            scope.spawn(move || tells_the_same(gatepost, &[*way]));
        }
    });
    let ways: Vec<_> = ups.iter().map(|(tongue, _)| (*tongue, "PLAIN")).collect();
    takes_as_long(&gatepost, &ways, 4, Duration::from_millis(140));
}
