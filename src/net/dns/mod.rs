//! Finding the addresses of a name.
//!
//! A literal is its own answer; then the system's table of names is looked at; then DNS is asked,
//! through the servers of a `resolver` directive or those of `/etc/resolv.conf`.
//!
//! **Promises.**
//! - An answer is kept for its TTL, and at most [`MOST`] names are.
//! - The same question is on its way once, however many sessions wait for it, in all workers.
//! - A name once known is known on while DNS fails (RFC 8767), for a day; then it is an error.
//! - A client's name is told only if it leads back to the client ([`reverse`]).
//! - Nothing outlives a question: a [`Resolver`] may be shared by any number of runtimes, and may
//!   survive them.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::{Endpoint, Place};

mod ask;
mod hosts;
mod reverse;

pub use ask::Dns;
use hosts::Hosts;
#[doc(hidden)]
pub use reverse::hold_for_any;
pub use reverse::{Host, Named};

/// More names than an installation has upstreams; beyond it the oldest answer goes.
pub const MOST: usize = 1024;

/// How long an answer from the system's table, and a failure, are taken for the truth.
const SHORT: Duration = Duration::from_secs(5);

/// RFC 8767 §5: a failed refresh is not tried again for at least 30 seconds.
const RECHECK: Duration = Duration::from_secs(30);

/// RFC 8767 §5: 1.8 seconds is "recommended" before a client gets the stale answer.
const PATIENCE: Duration = Duration::from_millis(1800);

/// RFC 8767 §5 suggests between one and three days.
const STALE: Duration = Duration::from_secs(86400);

/// How to find names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Empty for the system's.
    pub servers: Vec<SocketAddr>,
    pub ipv4: bool,
    pub ipv6: bool,
    /// Instead of the answer's TTL.
    pub valid: Option<Duration>,
    /// `resolver_timeout`
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            ipv4: true,
            ipv6: true,
            valid: None,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Reads the arguments of `resolver`; none for `off`.
    pub fn parse(args: &[&str]) -> Result<Option<Self>, String> {
        if args == ["off"] {
            return Ok(None);
        }
        let mut settings = Self::default();
        for arg in args {
            let wrong = || format!(r#"invalid parameter: "{arg}""#);
            let flag = |value| match value {
                "on" => Ok(true),
                "off" => Ok(false),
                _ => Err(wrong()),
            };
            match arg.split_once('=') {
                Some(("ipv4", value)) => settings.ipv4 = flag(value)?,
                Some(("ipv6", value)) => settings.ipv6 = flag(value)?,
                Some(("valid", value)) => {
                    let time = super::listen::seconds(value).filter(|time| !time.is_zero());
                    settings.valid = Some(time.ok_or_else(wrong)?);
                }
                _ => match Place::parse(arg, Some(53)) {
                    Ok(Place::Fixed(Endpoint::Tcp(server))) => settings.servers.push(server),
                    // A resolver to be found by its name would need a resolver.
                    Ok(_) => return Err(format!(r#""{arg}" is not an IP address in resolver"#)),
                    Err(fault) => return Err(format!(r#"{fault} in resolver "{arg}""#)),
                },
            }
        }
        match settings {
            Self { ipv4: false, ipv6: false, .. } => {
                Err(r#""ipv4" and "ipv6" cannot both be "off""#.to_owned())
            }
            Self { servers, .. } if servers.is_empty() => Err("no name servers defined".to_owned()),
            settings => Ok(Some(settings)),
        }
    }
}

/// Why a name has no addresses. The texts are nginx's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// DNS has answered: there is none.
    #[error("{0} could not be resolved (3: Host not found)")]
    NotFound(String),
    /// DNS, or the way to it.
    #[error("{name} could not be resolved (2: Server failure): {cause}")]
    Failed { name: String, cause: String },
    #[error("{0} could not be resolved (110: Operation timed out)")]
    TimedOut(String),
    /// It is no name at all.
    #[error("{0:?} is not a host name")]
    Invalid(String),
    /// A client's name that is another's.
    #[error("\"{0}\" does not have the client's address")]
    Unconfirmed(String),
}

/// An answer older than its TTL was given, because no new one is to be had. Said once a failure.
#[derive(Debug, thiserror::Error)]
#[error("{cause}, using what was known of it")]
pub struct Stale {
    pub cause: Error,
}

/// What DNS says: at least one address, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub ips: Vec<IpAddr>,
    pub ttl: Duration,
}

/// Asks the network.
pub trait Ask: Send + Sync {
    /// For the addresses of a name that is valid and in lower case.
    fn ask(&self, name: &str) -> impl Future<Output = Result<Found, Error>> + Send;

    /// For the names of an address.
    fn names_of(&self, ip: IpAddr) -> impl Future<Output = Result<Named, Error>> + Send;

    /// For the addresses of one family that a whole name has, in DNS and nowhere else.
    fn addresses(
        &self,
        name: &str,
        ipv6: bool,
    ) -> impl Future<Output = Result<Found, Error>> + Send;
}

/// Finds addresses, and remembers them. Clones share what they remember.
pub struct Resolver<A = Dns>(Arc<Shared<A>>);

type Tell = Box<dyn Fn(Stale) + Send + Sync>;

struct Shared<A> {
    ask: A,
    settings: Settings,
    tell: Tell,
    hosts: Mutex<Hosts>,
    names: Mutex<HashMap<String, Entry>>,
    clients: reverse::Memory,
}

/// What is known of one name.
#[derive(Default)]
struct Entry {
    /// The last addresses that DNS gave, and when they became old.
    good: Option<(Arc<[IpAddr]>, Instant)>,
    /// What went wrong at the last question.
    bad: Option<Error>,
    /// Until then the above is taken for the truth.
    recheck: Option<Instant>,
    flight: Arc<Flight>,
}

/// A question on its way: the first who waits for it asks, and if that one gives up, the next.
type Flight = OnceCell<Answer>;
type Answer = Result<Arc<[IpAddr]>, Error>;

impl Resolver {
    /// `tell` hears when an old answer has to do.
    pub fn new(settings: Settings, tell: impl Fn(Stale) + Send + Sync + 'static) -> Self {
        let ask = Dns::new(&settings);
        Self::with(ask, settings, Hosts::new("/etc/hosts"), tell)
    }
}

impl<A: Ask> Resolver<A> {
    fn with(
        ask: A,
        settings: Settings,
        hosts: Hosts,
        tell: impl Fn(Stale) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            ask,
            settings,
            tell: Box::new(tell),
            hosts: Mutex::new(hosts),
            names: Mutex::default(),
            clients: reverse::Memory::default(),
        }))
    }

    /// The addresses of `name`, which may be an address itself; never none.
    pub async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, Error> {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Arc::new([ip.to_canonical()]));
        }
        if !is_host_name(name) {
            return Err(Error::Invalid(name.to_owned()));
        }
        let name = name.to_ascii_lowercase();
        let shared = &*self.0;
        let (flight, stale) = match shared.look_up(&name, Instant::now()) {
            Known::Answer(answer) => return answer,
            Known::Asked { flight, stale } => (flight, stale),
        };
        let answer = flight.get_or_init(|| shared.question(&name, &flight));
        let Some(stale) = stale else { return answer.await.clone() };
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.clone(),
            Err(_) => {
                shared.fail(&name, Error::TimedOut(name.clone()), Instant::now());
                Ok(stale)
            }
        }
    }
}

enum Known {
    Answer(Answer),
    Asked { flight: Arc<Flight>, stale: Option<Arc<[IpAddr]>> },
}

impl<A: Ask> Shared<A> {
    fn look_up(&self, name: &str, now: Instant) -> Known {
        let mut names = self.names();
        if !names.contains_key(name) && names.len() >= MOST {
            make_room(&mut names);
        }
        let entry = names.entry(name.to_owned()).or_default();
        let stale = entry.good.as_ref().filter(|(_, old)| now < *old + STALE);
        let stale = stale.map(|(ips, _)| Arc::clone(ips));
        if entry.recheck.is_some_and(|at| now < at) {
            match (&stale, &entry.bad) {
                (Some(ips), _) => return Known::Answer(Ok(Arc::clone(ips))),
                (None, Some(error)) => return Known::Answer(Err(error.clone())),
                (None, None) => {}
            }
        }
        Known::Asked { flight: Arc::clone(&entry.flight), stale }
    }

    async fn question(&self, name: &str, flight: &Arc<Flight>) -> Answer {
        let at_hand = lock(&self.hosts).find(name.trim_end_matches('.')).map(|ips| Found {
            ips: ips.iter().copied().filter(|ip| self.is_wanted(*ip)).collect(),
            ttl: SHORT,
        });
        let found = match at_hand {
            Some(found) if !found.ips.is_empty() => Ok(found),
            _ => match timeout(self.settings.timeout, self.ask.ask(name)).await {
                Ok(Ok(found)) => {
                    Ok(Found { ttl: self.settings.valid.unwrap_or(found.ttl), ..found })
                }
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::TimedOut(name.to_owned())),
            },
        };
        let now = Instant::now();
        let answer = match found {
            Ok(found) => {
                let ips: Arc<[IpAddr]> = found.ips.into();
                // A TTL of zero would ask for every login, one of years never again.
                let ttl = found.ttl.clamp(Duration::from_secs(1), STALE);
                let mut names = self.names();
                let entry = names.entry(name.to_owned()).or_default();
                entry.good = Some((Arc::clone(&ips), now + ttl));
                entry.bad = None;
                entry.recheck = Some(now + ttl);
                Ok(ips)
            }
            Err(error) => self.fail(name, error.clone(), now).ok_or(error),
        };
        // The next to ask, when this answer is old, asks anew.
        if let Some(entry) = self.names().get_mut(name)
            && Arc::ptr_eq(&entry.flight, flight)
        {
            entry.flight = Arc::default();
        }
        answer
    }

    /// Notes a failure, and gives what is still to be had.
    fn fail(&self, name: &str, error: Error, now: Instant) -> Option<Arc<[IpAddr]>> {
        let mut names = self.names();
        let entry = names.entry(name.to_owned()).or_default();
        if matches!(error, Error::NotFound(_)) {
            // The name is gone, which is an answer and no failure.
            entry.good = None;
        }
        entry.bad = Some(error.clone());
        let stale = entry.good.as_ref().filter(|(_, old)| now < *old + STALE);
        let stale = stale.map(|(ips, _)| Arc::clone(ips));
        entry.recheck = Some(now + if stale.is_some() { RECHECK } else { SHORT });
        drop(names);
        if stale.is_some() {
            (self.tell)(Stale { cause: error });
        }
        stale
    }

    fn is_wanted(&self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.settings.ipv4 } else { self.settings.ipv6 }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        lock(&self.names)
    }
}

/// What these locks guard is never left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops what is old, or else the one that will be so first.
fn make_room(names: &mut HashMap<String, Entry>) {
    let now = Instant::now();
    names.retain(|_, entry| entry.recheck.is_some_and(|at| now < at));
    if names.len() >= MOST {
        let next =
            names.iter().min_by_key(|(_, entry)| entry.recheck).map(|(name, _)| name.clone());
        names.remove(&next.unwrap_or_default());
    }
}

/// RFC 1123 §2.1, and the underscore that people use all the same.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label)
}

impl<A> Clone for Resolver<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for Resolver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resolver").field(&self.0.settings).finish()
    }
}

#[cfg(test)]
mod tests;
