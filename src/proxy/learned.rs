//! What SMTP upstreams can do, as far as logins there have shown.
//!
//! A client hears our EHLO reply before anybody knows which upstream it will talk to, and goes by it
//! afterwards. So we list what all upstreams can do that were seen so far: an extension that one of
//! them lacks would cost its users their mail.
//!
//! **Limits.** Until an upstream has been seen, `smtp_capabilities` is believed; where that is not
//! set, nothing is listed. What is known of an upstream is what it said at the last login, and for
//! [`LONG`]: one that is gone for good does not limit the others for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::login::Offer;
use crate::net::Endpoint;

/// So many upstreams are remembered; a further one takes another's place.
const MOST: usize = 1024;

/// How long an upstream is remembered to which nobody logs in any more.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Extensions that are not listed unless an admin lists them: they are ours to speak, or tell
/// strangers more than they need.
const UNLISTED: [&str; 8] =
    ["AUTH", "STARTTLS", "XCLIENT", "XFORWARD", "VRFY", "EXPN", "ETRN", "HELP"];

/// What the upstreams of one virtual server offer. Outlives reloads.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Upstreams>);

/// What each offered, and when.
type Upstreams = HashMap<Endpoint, (Vec<String>, Instant)>;

/// The offer of one virtual server as it is now.
#[derive(Debug)]
pub struct Offered {
    base: Offer,
    /// None: `smtp_capabilities` is not set.
    configured: Option<Vec<String>>,
    seen: Arc<Seen>,
    now: ArcSwap<Offer>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Upstreams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offered {
    /// `configured`: `smtp_capabilities`, of a protocol whose upstreams tell what they can do.
    pub fn new(base: Offer, configured: Option<Vec<String>>, seen: Arc<Seen>) -> Self {
        let mut known = seen.lock();
        forget(&mut known, Instant::now());
        let listed = list(configured.as_deref(), &known);
        drop(known);
        let now = ArcSwap::from_pointee(Offer { capabilities: listed, ..base.clone() });
        Self { base, configured, seen, now }
    }

    /// One whose capabilities are what they are.
    pub fn fixed(base: Offer) -> Self {
        let configured = Some(base.capabilities.clone());
        Self::new(base, configured, Arc::default())
    }

    pub fn now(&self) -> Arc<Offer> {
        self.now.load_full()
    }

    /// Takes note of what an upstream offers, and says what clients were told of that it lacks.
    pub fn learn(&self, upstream: &Endpoint, offers: Vec<String>) -> Vec<String> {
        self.learn_at(Instant::now(), upstream, offers)
    }

    fn learn_at(&self, now: Instant, upstream: &Endpoint, offers: Vec<String>) -> Vec<String> {
        let mut seen = self.seen.lock();
        let has_forgotten = forget(&mut seen, now);
        if let Some((known, at)) = seen.get_mut(upstream) {
            *at = now;
            if *known == offers && !has_forgotten {
                return Vec::new();
            }
        }
        if seen.len() >= MOST
            && !seen.contains_key(upstream)
            && let Some(other) = seen.keys().next().cloned()
        {
            seen.remove(&other);
        }
        seen.insert(upstream.clone(), (offers, now));
        let listed = list(self.configured.as_deref(), &seen);
        drop(seen);
        let before = self.now();
        let gone = |line: &&String| !listed.iter().any(|now| keyword(now) == keyword(line));
        let lacking = before.capabilities.iter().filter(gone).cloned().collect();
        if before.capabilities != listed {
            self.now.store(Arc::new(Offer { capabilities: listed, ..self.base.clone() }));
        }
        lacking
    }
}

/// Drops what nobody has seen for long; whether there was any.
fn forget(seen: &mut Upstreams, now: Instant) -> bool {
    let before = seen.len();
    seen.retain(|_, (_, at)| now.saturating_duration_since(*at) < LONG);
    seen.len() < before
}

/// What may be listed: in the words of the configuration, or of the upstreams.
fn list(configured: Option<&[String]>, seen: &Upstreams) -> Vec<String> {
    let every = |line: &String| match seen.is_empty() {
        true => Some(line.clone()),
        false => seen.values().try_fold(line.clone(), |line, (theirs, _)| common(&line, theirs)),
    };
    match configured {
        Some(lines) => lines.iter().filter_map(every).collect(),
        None => {
            let lines = seen.values().next().map(|(lines, _)| lines.as_slice()).unwrap_or_default();
            let is_listed = |line: &&String| !UNLISTED.contains(&&*keyword(line));
            lines.iter().filter(is_listed).filter_map(every).collect()
        }
    }
}

/// `line` as far as an upstream that offers `theirs` can hold to it.
fn common(line: &str, theirs: &[String]) -> Option<String> {
    let found = theirs.iter().find(|their| keyword(their) == keyword(line))?;
    if keyword(line) != "SIZE" {
        return Some(line.to_owned());
    }
    // RFC 1870 §3: 0, or no number, says that there is no fixed limit.
    let limit = |line: &str| {
        let number = line.split_ascii_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
        number.filter(|number| *number > 0)
    };
    let least = [limit(line), limit(found)].into_iter().flatten().min();
    Some(least.map_or_else(|| line.to_owned(), |least| format!("SIZE {least}")))
}

fn keyword(line: &str) -> String {
    line.split_ascii_whitespace().next().unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split(", ").filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    fn upstream(last: u8) -> Endpoint {
        Endpoint::from(std::net::SocketAddr::from(([192, 0, 2, last], 25)))
    }

    fn offered(configured: Option<&str>) -> Offered {
        Offered::new(Offer::default(), configured.map(lines), Arc::default())
    }

    #[test]
    fn what_is_configured_is_listed_until_an_upstream_lacks_it() {
        let offered = offered(Some("SIZE 1000, chunking, DSN"));
        assert_eq!(offered.now().capabilities, lines("SIZE 1000, chunking, DSN"));
        assert_eq!(offered.learn(&upstream(1), lines("CHUNKING, SIZE 500, DSN")), lines(""));
        assert_eq!(offered.now().capabilities, lines("SIZE 500, chunking, DSN"));
        assert_eq!(offered.learn(&upstream(2), lines("SIZE, DSN")), lines("chunking"));
        assert_eq!(offered.now().capabilities, lines("SIZE 500, DSN"));
        // It has been taught meanwhile.
        offered.learn(&upstream(2), lines("SIZE, DSN, CHUNKING"));
        assert_eq!(offered.now().capabilities, lines("SIZE 500, chunking, DSN"));
    }

    #[test]
    fn without_a_list_only_what_all_upstreams_offer_is_listed() {
        let offered = offered(None);
        assert_eq!(offered.now().capabilities, lines(""));
        offered.learn(&upstream(1), lines("PIPELINING, SIZE 10240000, VRFY, SMTPUTF8"));
        assert_eq!(offered.now().capabilities, lines("PIPELINING, SIZE 10240000, SMTPUTF8"));
        offered.learn(&upstream(2), lines("PIPELINING, SIZE 0"));
        assert_eq!(offered.now().capabilities, lines("PIPELINING, SIZE 10240000"));
    }

    #[test]
    fn what_was_seen_outlives_a_reload() {
        let seen = Arc::new(Seen::default());
        let before = Offered::new(Offer::default(), None, Arc::clone(&seen));
        before.learn(&upstream(1), lines("DSN"));
        let after = Offered::new(Offer::default(), Some(lines("DSN, CHUNKING")), seen);
        assert_eq!(after.now().capabilities, lines("DSN"));
    }

    #[test]
    fn one_that_is_gone_does_not_limit_the_others_for_ever() {
        let seen = Arc::new(Seen::default());
        let before =
            Offered::new(Offer::default(), Some(lines("DSN, CHUNKING")), Arc::clone(&seen));
        let day = |number: u32| Instant::now() + number * LONG;
        before.learn_at(day(0), &upstream(1), lines("DSN"));
        before.learn_at(day(1) - LONG / 2, &upstream(2), lines("DSN, CHUNKING"));
        assert_eq!(before.now().capabilities, lines("DSN"));
        before.learn_at(day(1), &upstream(2), lines("DSN, CHUNKING"));
        assert_eq!(before.now().capabilities, lines("DSN, CHUNKING"));
        let known: Vec<_> = seen.lock().keys().cloned().collect();
        assert_eq!(known, [upstream(2)]);
    }

    #[test]
    fn no_more_upstreams_are_remembered_than_there_may_be() {
        let offered = offered(None);
        for number in 0..=u32::try_from(MOST).unwrap() {
            let ip = std::net::Ipv4Addr::from_bits(number);
            offered.learn(&Endpoint::from(std::net::SocketAddr::from((ip, 25))), lines("DSN"));
        }
        assert_eq!(offered.seen.lock().len(), MOST);
    }
}
