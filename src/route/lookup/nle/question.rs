//! What the servlet is asked.

use std::net::{IpAddr, Ipv4Addr};

use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};

use super::{Method, PLACEHOLDER, PROTOCOLS};
use crate::http::Url;
use crate::login::{Attempt, Mechanism, Secret};
use crate::net::Endpoint;
use crate::route::asker::Asker;
use crate::route::lookup::question::{Headers, escaped, plain};

/// Every header that a question may carry, as it is spelled, in the order of Zimbra's proxy.
pub const NAMES: &[&str] = &[
    "Host",
    "Auth-Method",
    "Auth-User",
    "Auth-Pass",
    "Auth-Protocol",
    "Auth-Login-Attempt",
    "X-Proxy-IP",
    "Client-IP",
    "Auth-Admin-User",
    "Auth-Admin-Pass",
    "Auth-ID",
];

/// How a servlet is asked.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// The client's password goes with the question, if it has one.
    pub password: bool,
    /// Whom a servlet hands tokens to.
    pub master: Option<&'a (Box<str>, Secret)>,
    /// What is added to it.
    pub headers: &'a [(HeaderName, HeaderValue)],
}

/// The question about `attempt`: who it is that logs in by which method, whatever the mechanism.
pub fn question(url: &Url, attempt: &Attempt, asker: &Asker, manner: Manner<'_>) -> Request<()> {
    let method = match attempt.mechanism {
        Mechanism::Gssapi => Method::Gssapi,
        _ => Method::Username,
    };
    let mut headers = Headers::with_capacity(NAMES.len() + manner.headers.len());
    headers.put("Host", plain(url.host.as_bytes()));
    headers.put("Auth-Method", HeaderValue::from_static(method.name()));
    headers.put("Auth-User", escaped(attempt.mailbox()));
    let is_sent = manner.password && attempt.mechanism.brings_password();
    let mut pass = match is_sent {
        true => escaped(attempt.secret.reveal()),
        false => HeaderValue::from_static(PLACEHOLDER),
    };
    pass.set_sensitive(is_sent);
    headers.put("Auth-Pass", pass);
    headers.put("Auth-Protocol", HeaderValue::from_static(protocol(asker)));
    headers.put("Auth-Login-Attempt", asker.attempt.into());
    headers.put("X-Proxy-IP", ip(&asker.local));
    headers.put("Client-IP", ip(&asker.client));
    if method == Method::Gssapi {
        if let Some((user, secret)) = manner.master {
            headers.put("Auth-Admin-User", escaped(user.as_bytes()));
            let mut secret = escaped(secret.reveal());
            secret.set_sensitive(true);
            headers.put("Auth-Admin-Pass", secret);
        }
        headers.put("Auth-ID", escaped(&attempt.user));
    }
    headers.finish(url, manner.headers)
}

/// The upstream's protocol, by Zimbra's names.
fn protocol(asker: &Asker) -> &'static str {
    let known = PROTOCOLS.iter().find(|(plain, _)| *plain == asker.protocol);
    match known {
        Some((_, secure)) if asker.secure_upstream => secure,
        _ => asker.protocol,
    }
}

/// An address without its port. Who came by a unix socket is here.
fn ip(endpoint: &Endpoint) -> HeaderValue {
    let ip = endpoint.ip().map_or(IpAddr::from(Ipv4Addr::LOCALHOST), |ip| ip.to_canonical());
    plain(ip.to_string().as_bytes())
}
