//! Every SASL mechanism by every protocol that logs clients in: what the lookup hears of it, what the
//! upstream does, and what a client learns that should learn nothing.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use ::hmac::{Hmac, KeyInit, Mac};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::dialog::{Dialog, Said, Tongue};
use crate::scripted::{refusing, welcoming};
use crate::support::{
    Asked, FakeLookup, FakeUpstream, Gatepost, Site, answer, command, encoded, mail, run,
};

const PORT: u16 = 11_000;

/// One server of that protocol with every mechanism, and `more`, in the clear.
fn gatepost(tongue: Tongue, more: &str, values: &[(&str, &dyn ToString)]) -> Gatepost {
    let (name, apop) = (tongue.name(), if tongue == Tongue::Pop3 { "apop" } else { "" });
    let conf = format!(
        "{name}_auth plain login cram-md5 scram-sha-256 xoauth2 oauthbearer external {apop};
         proxy_smtp_auth on; {more}
         server {{ listen @ip@:{PORT}; protocol {name}; }}"
    );
    Gatepost::start(Site::new(), &mail(&conf), values)
}

fn asking(tongue: Tongue, lookup: &FakeLookup) -> Gatepost {
    gatepost(tongue, "auth_http @lookup@/;", &[("lookup", &lookup.addr())])
}

fn client(gatepost: &Gatepost, tongue: Tongue) -> Dialog {
    Dialog::greeted(tongue, (gatepost.site.ip, PORT).into())
}

fn towards(to: SocketAddr, more: &[(&str, &str)]) -> String {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    let mut headers = vec![("Auth-Status", "OK"), ("Auth-Server", &*ip), ("Auth-Port", &*port)];
    headers.extend_from_slice(more);
    answer(&headers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Waits until the upstream is logged in to with this password; POP3 says it bare where it can.
#[track_caller]
fn hears_login(up: &FakeUpstream, tongue: Tongue, user: &str, password: &str) {
    match tongue {
        Tongue::Pop3 => {
            up.hears(&format!("USER {user}"));
            up.hears(&format!("PASS {password}"));
        }
        _ => drop(up.hears(&encoded(&format!("\0{user}\0{password}")))),
    }
}

/// RFC 2195 §2.
fn cram(challenge: &str, password: &str) -> String {
    let mut mac = Hmac::<Md5>::new_from_slice(password.as_bytes()).unwrap();
    mac.update(challenge.as_bytes());
    hex(&mac.finalize().into_bytes())
}

#[test]
fn a_cram_digest_is_for_the_lookup_which_hands_over_a_password() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let to = up.addr();
        let lookup = FakeLookup::start(move |asked: &Asked| {
            match cram(asked.get("Auth-Salt"), "se cret") == asked.get("Auth-Pass") {
                true => towards(to, &[("Auth-Pass", "handed over")]),
                false => answer(&[("Auth-Status", "no"), ("Auth-Wait", "1")]),
            }
        });
        let gatepost = asking(tongue, &lookup);
        let mut client = client(&gatepost, tongue);
        for (password, is_right) in [("wrong", false), ("se cret", true)] {
            let challenge = client.auth("CRAM-MD5", None).challenge();
            assert!(challenge.ends_with("@mail.test>"), "{challenge}");
            let end = client.answer(format!("al ice {}", cram(&challenge, password))).end();
            assert_eq!(end.starts_with(tongue.welcome()), is_right, "{tongue:?}: {end}");
            let asked = lookup.asked().pop().unwrap();
            assert_eq!(asked.get("Auth-Method"), "cram-md5");
            assert_eq!(asked.get("Auth-User"), "al%20ice");
            assert_eq!(asked.get("Auth-Salt"), challenge);
        }
        hears_login(&up, tongue, "al ice", "handed over");
        assert_eq!(up.accepted(), 1);
    }
}

#[test]
fn an_apop_digest_is_for_the_lookup_which_hands_over_a_password() {
    let up = welcoming(Tongue::Pop3);
    let to = up.addr();
    let lookup = FakeLookup::start(move |asked: &Asked| {
        let digest = Md5::digest(format!("{}secret", asked.get("Auth-Salt")));
        match hex(&digest) == asked.get("Auth-Pass") {
            true => towards(to, &[("Auth-Pass", "handed over")]),
            false => answer(&[("Auth-Status", "no"), ("Auth-Wait", "1")]),
        }
    });
    let gatepost = asking(Tongue::Pop3, &lookup);
    let mut client = client(&gatepost, Tongue::Pop3);
    let salt = client.greeting.rsplit(' ').next().unwrap().to_owned();
    assert!(salt.starts_with('<') && salt.ends_with("@mail.test>"), "{}", client.greeting);
    for (password, beginning) in [("wrong", "-ERR"), ("secret", "+OK")] {
        let digest = hex(&Md5::digest(format!("{salt}{password}")));
        let end = client.ask(&format!("APOP alice {digest}")).pop().unwrap();
        assert!(end.starts_with(beginning), "{end}");
        let asked = lookup.asked().pop().unwrap();
        assert_eq!((asked.get("Auth-Method"), asked.get("Auth-Salt")), ("apop", &*salt));
    }
    hears_login(&up, Tongue::Pop3, "alice", "handed over");
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().try_into().unwrap()
}

fn salted(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    salted
}

/// `Auth-Verifier` for a password.
fn verifier(password: &str) -> String {
    let salt = b"sixteen bytes of";
    let salted = salted(password, salt, 4096);
    let stored = digest::digest(&digest::SHA256, &keyed(&salted, b"Client Key"));
    let [salt, stored, server] = [&salt[..], stored.as_ref(), &keyed(&salted, b"Server Key")]
        .map(|part| STANDARD.encode(part));
    format!("SCRAM-SHA-256$4096:{salt}${stored}:{server}")
}

/// SCRAM-SHA-256 as a client does it (RFC 5802 §3, RFC 7677).
struct Scram {
    bare: String,
    /// The server's first message.
    first: String,
    nonce: String,
    salt: String,
    iterations: u32,
}

impl Scram {
    /// Begins as `user`, and is challenged.
    #[track_caller]
    fn begin(client: &mut Dialog, user: &str) -> Self {
        let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
        let first = client.auth("SCRAM-SHA-256", Some(format!("n,,{bare}").as_bytes())).challenge();
        Self::challenged(bare, first)
    }

    fn challenged(bare: String, first: String) -> Self {
        let mut parts = first.split(',');
        let mut part = |name: &str| parts.next().unwrap().strip_prefix(name).unwrap().to_owned();
        let (nonce, salt, iterations) = (part("r="), part("s="), part("i=").parse().unwrap());
        assert!(nonce.len() > 30 && nonce.starts_with("fyko+d2lbbFgONRv9qkxdawL"), "{first}");
        Self { bare, nonce, salt, iterations, first }
    }

    /// Proves the password; gives what is said to that, and the signature that it should be.
    #[track_caller]
    fn prove(&self, client: &mut Dialog, password: &str) -> (Said, String) {
        let salted = salted(password, &STANDARD.decode(&self.salt).unwrap(), self.iterations);
        let client_key = keyed(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, &client_key);
        let last = format!("c=biws,r={}", self.nonce);
        let signed = format!("{},{},{last}", self.bare, self.first);
        let signature = keyed(stored.as_ref(), signed.as_bytes());
        let proof: Vec<_> =
            client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
        let said = client.answer(format!("{last},p={}", STANDARD.encode(proof)));
        let signature = keyed(&keyed(&salted, b"Server Key"), signed.as_bytes());
        (said, format!("v={}", STANDARD.encode(signature)))
    }

    /// A whole login; the server must prove itself too.
    #[track_caller]
    fn log_in(client: &mut Dialog, user: &str, password: &str) {
        let (said, signature) = Self::begin(client, user).prove(client, password);
        let end = match said {
            Said::Challenge(theirs) => {
                assert_eq!(String::from_utf8(theirs).unwrap(), signature);
                client.answer("").end()
            }
            // RFC 5804 §2.1: the signature comes with the OK.
            Said::End(end) => {
                assert!(end.contains(&encoded(&signature)), "{end}");
                end
            }
        };
        assert!(end.starts_with(client.tongue.welcome()), "{end}");
    }
}

/// A lookup that knows alice and bob, each with an upstream, a password for SCRAM, and one to hand
/// over; PLAIN it lets in as it comes.
fn two_users(alice: SocketAddr, bob: SocketAddr) -> FakeLookup {
    FakeLookup::start(move |asked: &Asked| {
        let (to, password, handed) = match asked.get("Auth-User") {
            "alice" => (alice, "pw of alice", "alice handed over"),
            "bob" => (bob, "pw of bob", "bob handed over"),
            _ => return answer(&[("Auth-Status", "Unknown user"), ("Auth-Wait", "1")]),
        };
        match asked.get("Auth-Method") {
            "plain" => towards(to, &[]),
            _ => towards(to, &[("Auth-Pass", handed), ("Auth-Verifier", &verifier(password))]),
        }
    })
}

#[test]
fn scram_is_checked_by_the_lookups_verifier() {
    for tongue in Tongue::ALL {
        let (alice, bob) = (welcoming(tongue), welcoming(tongue));
        let lookup = two_users(alice.addr(), bob.addr());
        let gatepost = asking(tongue, &lookup);
        let mut client = client(&gatepost, tongue);
        assert!(client.offers().contains("SCRAM-SHA-256"));
        let (said, _) = Scram::begin(&mut client, "alice").prove(&mut client, "pw of bob");
        let end = said.end();
        assert!(is_sent_away(tongue, &end), "{tongue:?}: {end}");
        assert_eq!(alice.accepted(), 0);
        let mut client = self::client(&gatepost, tongue);
        Scram::log_in(&mut client, "alice", "pw of alice");
        hears_login(&alice, tongue, "alice", "alice handed over");
        let asked = lookup.asked();
        // Once for each exchange: the answer to its first message holds for its last one.
        assert_eq!(asked.len(), 2, "{asked:?}");
        for asked in asked {
            assert_eq!(asked.get("Auth-Method"), "scram-sha-256");
            assert!(!asked.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Auth-Pass")));
        }
        assert_eq!(bob.accepted(), 0);
        gatepost.logs("client login failed: \"wrong proof\"");
    }
}

/// Whether this refuses, and may end the session: ManageSieve's word for that is another.
fn is_sent_away(tongue: Tongue, end: &str) -> bool {
    end.starts_with(tongue.refusal()) || end.starts_with("BYE")
}

#[test]
fn scram_does_not_tell_who_is_known() {
    for tongue in Tongue::ALL {
        for wait in ["", "1"] {
            let up = welcoming(tongue);
            let to = up.addr();
            let lookup = FakeLookup::start(move |asked: &Asked| match asked.get("Auth-User") {
                "alice" => towards(to, &[("Auth-Pass", "x"), ("Auth-Verifier", &verifier("pw"))]),
                _ => answer(&[("Auth-Status", "Unknown user"), ("Auth-Wait", wait)]),
            });
            let gatepost = asking(tongue, &lookup);
            let seen = ["alice", "nobody", "nobody"].map(|user| {
                let mut client = client(&gatepost, tongue);
                let scram = Scram::begin(&mut client, user);
                let (said, _) = scram.prove(&mut client, "wrong");
                let end = said.end();
                assert!(is_sent_away(tongue, &end), "{tongue:?}: {end}");
                (scram.salt.len(), scram.iterations, end, scram.salt)
            });
            let [known, unknown, again] = seen;
            assert_eq!((known.0, known.1, &known.2), (unknown.0, unknown.1, &unknown.2));
            assert_eq!(unknown.3, again.3, "a salt that changes is a made-up one");
        }
    }
}

#[test]
fn what_scram_began_for_one_user_serves_no_other() {
    for tongue in Tongue::ALL {
        let (alice, bob) = (welcoming(tongue), welcoming(tongue));
        let lookup = two_users(alice.addr(), bob.addr());
        let gatepost = asking(tongue, &lookup);
        let begun = || {
            let mut client = client(&gatepost, tongue);
            Scram::begin(&mut client, "alice");
            assert!(!client.cancel().end().starts_with(tongue.welcome()));
            client
        };
        // By another mechanism, as another, and as the same.
        let mut client = begun();
        client.log_in("bob", "own");
        hears_login(&bob, tongue, "bob", "own");
        let mut client = begun();
        client.log_in("alice", "a guess");
        hears_login(&alice, tongue, "alice", "a guess");
        assert_eq!(lookup.asked().last().unwrap().get("Auth-Method"), "plain");
        // By SCRAM again, as another.
        let mut client = begun();
        Scram::log_in(&mut client, "bob", "pw of bob");
        hears_login(&bob, tongue, "bob", "bob handed over");
        // Proved, and broken off before its end. ManageSieve has no round left for that.
        if tongue != Tongue::Sieve {
            let mut client = self::client(&gatepost, tongue);
            let scram = Scram::begin(&mut client, "alice");
            scram.prove(&mut client, "pw of alice").0.challenge();
            client.cancel().end();
            client.log_in("bob", "own too");
            hears_login(&bob, tongue, "bob", "own too");
        }
        let heard = alice.heard().join("\n");
        let handed = [encoded("\0alice\0alice handed over"), "alice handed over".to_owned()];
        assert!(!handed.iter().any(|handed| heard.contains(handed)), "{heard}");
        assert_eq!(alice.accepted(), 1, "{:?}", alice.heard());
    }
}

/// What a client of these mechanisms says of itself (RFC 7628 §3.1; Google's).
fn token(mechanism: &str, user: &str, token: &str) -> String {
    match mechanism {
        "XOAUTH2" => format!("user={user}\x01auth=Bearer {token}\x01\x01"),
        _ => format!("n,a={user},\x01auth=Bearer {token}\x01\x01"),
    }
}

const BEARERS: [(&str, &str); 2] = [("XOAUTH2", ""), ("OAUTHBEARER", "\x01")];

#[test]
fn a_token_reaches_lookup_and_upstream() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let to = up.addr();
        let lookup = FakeLookup::start(move |asked: &Asked| match asked.get("Auth-User") {
            "bob" => towards(to, &[("Auth-Pass", "handed over")]),
            _ => towards(to, &[]),
        });
        let gatepost = asking(tongue, &lookup);
        for (mechanism, _) in BEARERS {
            let said = token(mechanism, "alice", "a.token");
            let end = client(&gatepost, tongue).auth(mechanism, Some(said.as_bytes())).end();
            assert!(end.starts_with(tongue.welcome()), "{tongue:?}: {end}");
            let asked = lookup.asked().pop().unwrap();
            assert_eq!(asked.get("Auth-Method"), mechanism.to_ascii_lowercase());
            assert_eq!((asked.get("Auth-User"), asked.get("Auth-Pass")), ("alice", "a.token"));
            let heard = up.hears(mechanism);
            assert!(up.heard().join("\n").contains(&encoded(&said)), "{heard}");
            let said = token(mechanism, "bob", "b.token");
            let end = client(&gatepost, tongue).auth(mechanism, Some(said.as_bytes())).end();
            assert!(end.starts_with(tongue.welcome()), "{tongue:?}: {end}");
        }
        // A password that the lookup hands back goes in the token's place.
        hears_login(&up, tongue, "bob", "handed over");
        assert!(!up.heard().join("\n").contains(&encoded("b.token")));
    }
}

#[test]
fn a_refused_token_is_explained_before_the_refusal() {
    const WHY: &str = "{\"status\":\"invalid_token\"}";
    for tongue in Tongue::ALL {
        let why = encoded(WHY);
        let refusing_lookup = FakeLookup::start(move |_: &Asked| {
            answer(&[("Auth-Status", "expired"), ("Auth-Wait", "1"), ("Auth-Error-SASL", &why)])
        });
        let up = refusing(tongue, "{\"status\":\"alice is ill\"}");
        let passing = FakeLookup::to(up.addr());
        for (lookup, is_own) in [(refusing_lookup, false), (passing, true)] {
            let gatepost = asking(tongue, &lookup);
            let mut client = client(&gatepost, tongue);
            for (mechanism, acknowledgement) in BEARERS {
                let said = token(mechanism, "alice", "a.token");
                let challenge = client.auth(mechanism, Some(said.as_bytes())).challenge();
                // A handler that was shown it speaks for itself; an upstream only knows those who exist.
                let own = match mechanism {
                    "XOAUTH2" => "{\"status\":\"401\",\"schemes\":\"bearer\"}",
                    _ => WHY,
                };
                let want = if is_own { own } else { WHY };
                assert_eq!(challenge, want, "{tongue:?} {mechanism}");
                let end = client.answer(acknowledgement).end();
                let is_refused = end.starts_with(tongue.refusal()) && !end.contains("OK");
                assert!(is_refused, "{tongue:?} {mechanism}: {end}");
            }
            assert!(!client.offers().is_empty());
            assert!(!gatepost.error_log().contains("a.token"));
        }
    }
}

#[test]
fn a_token_without_a_name_is_refused() {
    for tongue in Tongue::ALL {
        let lookup = FakeLookup::to(welcoming(tongue).addr());
        let gatepost = asking(tongue, &lookup);
        for said in ["n,,\x01auth=Bearer t\x01\x01", "n,a=,\x01auth=Bearer t\x01\x01"] {
            let end = client(&gatepost, tongue).auth("OAUTHBEARER", Some(said.as_bytes())).end();
            assert!(!end.starts_with(tongue.welcome()), "{end}");
        }
        assert_eq!(lookup.asked().len(), 0);
    }
}

#[test]
fn nobody_is_anonymous() {
    for tongue in Tongue::ALL {
        let lookup = FakeLookup::to(welcoming(tongue).addr());
        let gatepost = asking(tongue, &lookup);
        let mut client = client(&gatepost, tongue);
        assert!(!client.offers().contains("ANONYMOUS"));
        for initial in [None, Some(&b"trace"[..])] {
            let end = client.auth("ANONYMOUS", initial).end();
            let refusals = ["NO [CANNOT]", "-ERR", "504 5.5.4", "NO "];
            assert!(refusals.iter().any(|words| end.starts_with(words)), "{tongue:?}: {end}");
        }
        assert_eq!(lookup.asked().len(), 0);
        // Nor can it be asked for.
        let site = Site::new();
        let name = tongue.name();
        let conf = format!(
            "mail {{ auth_http 127.0.0.1:1; {name}_auth anonymous;
             server {{ listen 127.0.0.1:1; protocol {name}; }} }} events {{}}"
        );
        site.write("conf/gatepost.conf", conf);
        let said = run(command(&site).arg("-t"), "").said();
        assert!(said.contains("invalid value \"anonymous\""), "{said}");
    }
}

#[test]
fn what_cannot_succeed_is_not_offered() {
    for tongue in Tongue::ALL {
        // Nobody can hand back a password, and no master logs in for others.
        let up = welcoming(tongue);
        let gatepost = gatepost(tongue, "route { default @up@; }", &[("up", &up.addr())]);
        let mut client = client(&gatepost, tongue);
        assert!(!client.greeting.contains('@'), "a challenge for nobody: {}", client.greeting);
        let offers = client.offers();
        for mechanism in ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"] {
            assert!(offers.contains(mechanism), "{tongue:?} {mechanism}: {offers}");
        }
        for mechanism in ["CRAM-MD5", "SCRAM-SHA-256", "EXTERNAL"] {
            assert!(!offers.contains(mechanism), "{tongue:?} {mechanism}: {offers}");
            let end = client.auth(mechanism, None).end();
            assert!(!end.starts_with(tongue.welcome()), "{tongue:?} {mechanism}: {end}");
        }
        client.log_in("alice", "pw");
    }
}

/// Of passwords `uniform` tells. Locked out, too: by its words and its time no attempt tells whether there is such a user, however
/// often it is repeated.
#[test]
fn no_mechanism_tells_who_exists() {
    const DELAY: Duration = Duration::from_millis(150);
    let source = |ways: &str| {
        format!(
            "login_throttle on; login_failure_delay 150ms; login_failures_user 2/10m free=2 delay=0; {ways}"
        )
    };
    for tongue in Tongue::ALL {
        let up = refusing(tongue, "{\"status\":\"no\",\"user\":\"alice\"}");
        let to = up.addr();
        let lookup = FakeLookup::start(move |asked: &Asked| match asked.get("Auth-User") {
            "alice" => towards(to, &[("Auth-Pass", "x"), ("Auth-Verifier", &verifier("pw"))]),
            _ => answer(&[("Auth-Status", "Unknown user")]),
        });
        let by_lookup = source("auth_http http://@lookup@/;");
        let by_table = source(&format!("route {{ alice {to}; }}"));
        for mechanism in ["XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256"] {
            let text = if mechanism == "SCRAM-SHA-256" { &by_lookup } else { &by_table };
            let gatepost = gatepost(tongue, text, &[("lookup", &lookup.addr())]);
            let heard = ["alice", "nobody"].map(|user| {
                let guesses = [1, 2, 3].map(|_| guess(&gatepost, tongue, mechanism, user));
                for (took, said) in &guesses {
                    let least = DELAY.mul_f64(0.9);
                    assert!(*took >= least, "{tongue:?} {mechanism} {user}: {took:?} {said:?}");
                }
                guesses.map(|(_, said)| said)
            });
            assert_eq!(heard[0], heard[1], "{tongue:?} {mechanism}");
            // The third is one too many, and says so to both.
            assert_ne!(heard[0][1], heard[0][2], "{tongue:?} {mechanism}");
        }
    }
}

/// One guess: how long it took from its last message on, and all that was said.
#[track_caller]
fn guess(
    gatepost: &Gatepost,
    tongue: Tongue,
    mechanism: &str,
    user: &str,
) -> (Duration, Vec<String>) {
    let mut client = client(gatepost, tongue);
    let began = Instant::now();
    let said = match mechanism {
        "PLAIN" => client.auth(mechanism, Some(format!("\0{user}\0guess").as_bytes())),
        "SCRAM-SHA-256" => {
            // Locked out: nobody is challenged any more.
            let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
            match client.auth(mechanism, Some(format!("n,,{bare}").as_bytes())) {
                Said::Challenge(first) => {
                    let first = String::from_utf8(first).unwrap();
                    let (said, _) = Scram::challenged(bare, first).prove(&mut client, "guess");
                    said
                }
                end => end,
            }
        }
        _ => client.auth(mechanism, Some(token(mechanism, user, "a.token").as_bytes())),
    };
    let took = began.elapsed();
    let all = match said {
        Said::End(end) => vec![end],
        Said::Challenge(challenge) => {
            let acknowledgement = if mechanism == "OAUTHBEARER" { "\x01" } else { "" };
            vec![String::from_utf8(challenge).unwrap(), client.answer(acknowledgement).end()]
        }
    };
    (took, all)
}

/// While the servers of a domain are down, a name that nobody knows hears what those hear who are
/// known there.
#[test]
fn a_dead_upstream_does_not_tell_who_is_known() {
    for tongue in Tongue::ALL {
        let route = "route { alice@a.test dead; bob@b.test UP; }
                     upstream dead { server 127.0.0.1:1; }";
        let up = refusing(tongue, "{}");
        let text =
            format!("login_failure_delay 50ms; {}", route.replace("UP", &up.addr().to_string()));
        let gatepost = gatepost(tongue, &text, &[]);
        let [known, unknown, elsewhere, again] =
            ["alice@a.test", "nobody@a.test", "nobody@b.test", "alice@a.test"]
                .map(|user| guess(&gatepost, tongue, "PLAIN", user).1);
        assert_eq!(known, unknown, "{tongue:?}");
        assert_eq!(known, again);
        assert_ne!(known, elsewhere);
        assert!(elsewhere[0].starts_with(tongue.refusal()), "{elsewhere:?}");
    }
}
