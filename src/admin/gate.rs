//! Who may ask, and for what.

use std::ffi::CString;
use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};
use nix::unistd::{Gid, Uid, User, getgrouplist};

use super::api::Problem;
use super::token::Token;
use crate::http::server::Peer;

/// What a listener lets be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    Off,
    /// Questions only.
    Read,
    Full,
}

/// What a listener lets whom do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub access: Access,
    pub callers: Callers,
    /// What everybody must show who asks for anything there.
    pub token: Option<Token>,
}

/// Who may ask over a unix socket, besides root and the user that gatepost runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

impl Callers {
    pub fn admit(&self, peer: Peer) -> Result<(), Problem> {
        let Peer::Local { uid, gid } = peer else { return Ok(()) };
        let is_known = uid == 0
            || uid == Uid::effective().as_raw()
            || self.user == Some(uid)
            || self.group.is_some_and(|group| group == gid || is_member(uid, gid, group));
        match is_known {
            true => Ok(()),
            false => Err(Problem::forbidden(format!("user {uid} may not control gatepost"))
                .hint("run it as root or as the user that gatepost runs as")),
        }
    }
}

/// Whether the system's tables say that the user is in the group. What a process gave up or was given
/// since it logged in is not asked.
fn is_member(uid: u32, gid: u32, group: u32) -> bool {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, Gid::from_raw(gid))
        .is_ok_and(|groups| groups.contains(&Gid::from_raw(group)))
}

/// Refuses what a browser sends on behalf of a page: such a request names its page's origin, or a host
/// whose name somebody has made to resolve to us.
pub fn refuse_browsers(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(Problem::forbidden("web pages may not ask"));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    match host {
        Some(host) if is_address(host) => Ok(()),
        _ => Err(Problem::forbidden("the host must be an IP address or \"localhost\"")),
    }
}

fn is_address(host: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    if let Some((v6, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let rest_is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return rest_is_port && v6.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_we_and_those_let_in_may_ask() {
        let us = Uid::effective().as_raw();
        let open = Callers::default();
        let stranger = Peer::Local { uid: 4_000_001, gid: 4_000_001 };
        for (callers, peer, may) in [
            (open.clone(), Peer::Network, true),
            (open.clone(), Peer::Local { uid: 0, gid: 0 }, true),
            (open.clone(), Peer::Local { uid: us, gid: 4_000_001 }, true),
            (open, stranger, false),
            (Callers { user: Some(4_000_001), group: None }, stranger, true),
            (Callers { user: Some(4_000_002), group: None }, stranger, false),
            (Callers { user: None, group: Some(4_000_001) }, stranger, true),
            (Callers { user: None, group: Some(4_000_002) }, stranger, false),
        ] {
            assert_eq!(callers.admit(peer).is_ok(), may, "{callers:?} {peer:?}");
        }
    }

    #[test]
    fn a_page_in_a_browser_may_not_ask() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pairs = pairs.iter();
            pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        for (host, may) in [
            ("localhost", true),
            ("LOCALHOST:9143", true),
            ("127.0.0.1:9143", true),
            ("10.1.2.3", true),
            ("[::1]:9143", true),
            ("[::1]", true),
            ("", false),
            ("rebound.example", false),
            ("rebound.example:9143", false),
            ("127.0.0.1.rebound.example", false),
            ("localhost.rebound.example", false),
            ("127.0.0.1:x", false),
            ("127.0.0.1:", false),
            ("[::1]x", false),
            ("[rebound]:1", false),
            ("localhost@rebound.example", false),
        ] {
            assert_eq!(refuse_browsers(&headers(&[("host", host)])).is_ok(), may, "{host:?}");
        }
        for more in [("origin", "http://localhost"), ("sec-fetch-site", "same-origin")] {
            assert!(refuse_browsers(&headers(&[("host", "localhost"), more])).is_err());
        }
        assert!(refuse_browsers(&headers(&[])).is_err());
        let mut two = headers(&[("host", "localhost")]);
        two.append(HOST, "rebound.example".parse().unwrap());
        assert!(refuse_browsers(&two).is_err());
    }
}
