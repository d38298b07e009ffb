//! From a client's address to its name, which DNS must confirm both ways: the address says the name,
//! and the name says the address. What SMTP servers do, and pass on by `XCLIENT NAME`.
//!
//! **Promises.**
//! - A name is letters, digits, dots and hyphens, and fits into a command or a header as it is,
//!   whoever runs the client's DNS.
//! - It is never a name that reads as an address.
//! - `resolver_timeout` bounds the whole of it. Answers are kept and shared as those of
//!   [`Resolver::resolve`] are, for at most [`MOST`] addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::{Ask, Error, Resolver, SHORT, STALE, Shared, lock};

/// Clients come from more places than there are upstreams; beyond it the older half goes.
pub const MOST: usize = 8192;

/// So many names of one address are looked at.
const NAMES: usize = 4;

/// What DNS calls a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Confirmed both ways.
    Name(Arc<str>),
    /// It has none, for the reason that is told.
    Unavailable(Error),
    /// DNS, or the way to it, has failed.
    TempUnavailable(Error),
}

impl Host {
    /// As `Client-Host` and `XCLIENT NAME` say it.
    pub fn text(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Unavailable(_) => "[UNAVAILABLE]",
            Self::TempUnavailable(_) => "[TEMPUNAVAIL]",
        }
    }

    /// What the log should hear of. nginx logs at `error` that DNS knows no name, or fails, and not
    /// at all that the name is not confirmed.
    pub fn fault(&self) -> Option<&Error> {
        match self {
            Self::Name(_) => None,
            Self::Unavailable(error) | Self::TempUnavailable(error) => Some(error),
        }
    }
}

impl From<Error> for Host {
    fn from(error: Error) -> Self {
        match error {
            Error::Failed { .. } | Error::TimedOut(_) => Self::TempUnavailable(error),
            Error::NotFound(_) | Error::Invalid(_) | Error::Unconfirmed(_) => {
                Self::Unavailable(error)
            }
        }
    }
}

/// The names of an address, as DNS has them, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub names: Vec<String>,
    pub ttl: Duration,
}

/// What is known of clients.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<IpAddr, Entry>>);

#[derive(Default)]
struct Entry {
    /// What was found, and until when it is taken for the truth.
    known: Option<(Host, Instant)>,
    flight: Arc<OnceCell<Host>>,
}

impl Memory {
    fn look_up(&self, ip: IpAddr, now: Instant) -> Result<Host, Arc<OnceCell<Host>>> {
        let mut entries = lock(&self.0);
        if !entries.contains_key(&ip) && entries.len() >= MOST {
            make_room(&mut entries, now);
        }
        let entry = entries.entry(ip).or_default();
        match &entry.known {
            Some((host, old)) if now < *old => Ok(host.clone()),
            _ => Err(Arc::clone(&entry.flight)),
        }
    }

    fn learn(&self, ip: IpAddr, host: Host, old: Instant) {
        // The next to ask, when this answer is old, asks anew.
        let entry = Entry { known: Some((host, old)), flight: Arc::default() };
        lock(&self.0).insert(ip, entry);
    }
}

/// Drops what is old, and if that is not much, the half that will be so first. So a storm of addresses
/// pays for it seldom.
fn make_room(entries: &mut HashMap<IpAddr, Entry>, now: Instant) {
    let age = |entry: &Entry| entry.known.as_ref().map(|(_, old)| *old);
    entries.retain(|_, entry| age(entry).is_some_and(|old| now < old));
    if entries.len() > MOST / 2 {
        let mut ages: Vec<_> = entries.iter().map(|(ip, entry)| (age(entry), *ip)).collect();
        let half = ages.len() / 2;
        let (older, ..) = ages.select_nth_unstable(half);
        for (_, ip) in older {
            entries.remove(ip);
        }
    }
}

impl<A: Ask> Resolver<A> {
    /// The name of the client at `ip`.
    pub async fn host_of(&self, ip: IpAddr) -> Host {
        let ip = ip.to_canonical();
        match self.0.clients.look_up(ip, Instant::now()) {
            Ok(host) => host,
            Err(flight) => flight.get_or_init(|| self.0.identify(ip)).await.clone(),
        }
    }
}

impl<A: Ask> Shared<A> {
    async fn identify(&self, ip: IpAddr) -> Host {
        let (host, ttl) = match timeout(self.settings.timeout, self.confirmed(ip)).await {
            Ok(Ok((name, ttl))) => (Host::Name(name), self.settings.valid.unwrap_or(ttl)),
            Ok(Err(error)) => (error.into(), SHORT),
            Err(_) => (Error::TimedOut(ip.to_string()).into(), SHORT),
        };
        let ttl = ttl.clamp(Duration::from_secs(1), STALE);
        self.clients.learn(ip, host.clone(), Instant::now() + ttl);
        host
    }

    /// The first of its names that has this address.
    async fn confirmed(&self, ip: IpAddr) -> Result<(Arc<str>, Duration), Error> {
        let Named { names, ttl } = self.ask.names_of(ip).await?;
        let mut fault = None;
        for name in names.iter().take(NAMES) {
            let error = match client_name(name) {
                None => Error::Invalid(name.clone()),
                Some(name) => match self.ask.addresses(name, ip.is_ipv6()).await {
                    Ok(found) if found.ips.contains(&ip) => {
                        return Ok((name.into(), ttl.min(found.ttl)));
                    }
                    Ok(_) => Error::Unconfirmed(name.to_owned()),
                    Err(error) => error,
                },
            };
            // What may be better next time outweighs what is for sure.
            if fault.is_none() || matches!(Host::from(error.clone()), Host::TempUnavailable(_)) {
                fault = Some(error);
            }
        }
        Err(fault.unwrap_or_else(|| Error::NotFound(ip.to_string())))
    }
}

/// The name as it may be passed on, if it may: nginx's alphabet, labels that are not empty, and no
/// number at the end, which would make it an address (RFC 1123 §2.1).
fn client_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = name.len() <= 255
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then_some(name)
}

/// What must hold for any name at all: it can be told to an upstream as one word, and is no address.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Ok(name) = str::from_utf8(input) else { return };
    if let Some(fit) = client_name(name) {
        assert!(fit == name || name.strip_suffix('.') == Some(fit));
        assert!((1..=255).contains(&fit.len()) && fit.parse::<IpAddr>().is_err());
        assert!(fit.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
        assert_eq!(client_name(fit), Some(fit));
    }
}

#[cfg(test)]
mod tests;
