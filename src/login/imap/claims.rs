//! What a client, or a proxy in front of us, says of itself by ID.

use std::net::IpAddr;
use std::str::FromStr;

use crate::login::Claims;
use crate::wire::imap::id::Pair;

/// Names and versions end up in log lines and `X-VIA`: this much of them is kept.
const MAX_AGENT: usize = 64;

/// The longest session id.
const MAX_SESSION: usize = 64;

/// Takes what `pairs` claim into `claims`. What was claimed first stays: the proxy speaks before
/// whoever is behind it. A value that makes no sense is as good as none.
pub fn learn(claims: &mut Claims, pairs: &[Pair<'_>]) {
    for (key, value) in pairs {
        let Some(value) = value else { continue };
        let (key, value) = (key.to_vec().to_ascii_lowercase(), value.to_vec());
        match key.as_slice() {
            b"name" => keep(&mut claims.agent, agent(&value)),
            b"version" => keep(&mut claims.agent_version, agent(&value)),
            b"x-originating-ip" => keep(&mut claims.client_ip, read::<IpAddr>(&value)),
            b"x-originating-port" => {
                keep(&mut claims.client_port, read(&value).filter(|port| *port > 0));
            }
            b"x-session-id" => keep(&mut claims.session, session(&value)),
            b"x-proxy-ttl" => keep(&mut claims.ttl, read(&value)),
            _ => {}
        }
    }
}

fn keep<T>(claim: &mut Option<T>, value: Option<T>) {
    if claim.is_none() {
        *claim = value;
    }
}

fn read<T: FromStr>(value: &[u8]) -> Option<T> {
    str::from_utf8(value).ok()?.parse().ok()
}

fn agent(value: &[u8]) -> Option<String> {
    let mut text = crate::login::passable(value);
    text.truncate(MAX_AGENT); // it is ASCII
    (!text.is_empty()).then_some(text)
}

fn session(value: &[u8]) -> Option<String> {
    let fits = (1..=MAX_SESSION).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::imap::args::Astring;

    fn learned(pairs: &[(&str, &str)]) -> Claims {
        let plain = |text| Astring::Plain(str::as_bytes(text));
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| (plain(key), Some(plain(value)))).collect();
        let mut claims = Claims::default();
        learn(&mut claims, &pairs);
        claims
    }

    #[test]
    fn keys_are_known_in_any_case() {
        let want = Claims {
            agent: Some("Thunderbird".to_owned()),
            agent_version: Some("128.0".to_owned()),
            client_ip: Some("2001:db8::1".parse().unwrap()),
            client_port: Some(4711),
            session: Some("a1/b2+c3=".to_owned()),
            ttl: Some(4),
            ..Claims::default()
        };
        let given = learned(&[
            ("NAME", "Thunderbird"),
            ("version", "128.0"),
            ("X-ORIGINATING-IP", "2001:db8::1"),
            ("x-originating-port", "4711"),
            ("X-Session-ID", "a1/b2+c3="),
            ("x-proxy-ttl", "4"),
            ("os", "Linux"),
        ]);
        assert_eq!(given, want);
    }

    #[test]
    fn what_makes_no_sense_is_not_claimed() {
        for (key, value) in [
            ("name", "  "),
            ("x-originating-ip", "192.0.2.1\r\nx: y"),
            ("x-originating-ip", "mail.example.com"),
            ("x-originating-ip", "192.0.2.01"),
            ("x-originating-port", "0"),
            ("x-originating-port", "65536"),
            ("x-session-id", ""),
            ("x-session-id", "two words"),
            ("x-session-id", &"x".repeat(65)),
            ("x-session-id", "m\u{fc}"),
            ("x-proxy-ttl", "256"),
            ("x-proxy-ttl", "-1"),
        ] {
            assert_eq!(learned(&[(key, value)]), Claims::default(), "{key}: {value:?}");
        }
    }

    #[test]
    fn a_name_is_cut_and_cannot_break_its_line() {
        let claims = learned(&[("name", "x\r\ny"), ("version", &"v".repeat(100))]);
        assert_eq!(claims.agent.as_deref(), Some("x??y"));
        assert_eq!(claims.agent_version.map(|version| version.len()), Some(MAX_AGENT));
    }

    #[test]
    fn what_was_claimed_first_stays() {
        let claims = learned(&[
            ("x-originating-ip", "192.0.2.1"),
            ("name", "a"),
            ("x-originating-ip", "192.0.2.2"),
        ]);
        assert_eq!(claims.client_ip, Some("192.0.2.1".parse().unwrap()));
    }
}
