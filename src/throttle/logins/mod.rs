//! # logins: how often may somebody try to log in?
//!
//! Guessing passwords is made slow and then impossible, for one address, one network and one user,
//! before anything is looked up; and those who have nothing to do with it go on logging in.
//!
//! **In and out.** A server's [`Logins`] is made of its [`directives::Settings`] and of the [`Ledger`]
//! that all servers and workers share and that outlives a reload. [`Logins::connected`] is asked before
//! the greeting. [`Logins::before`] rules on an attempt and gives an [`Entry`]: the attempt is then
//! under way, waits as long as [`Entry::delay`] says, is put to the test ([`Entry::begin`], [`Entry::shown`]), and ends
//! as [`Entry::failed`], [`Entry::succeeded`] or [`Entry::unknown`]. Words for a [`Denied`] come from
//! `login/*/refusal.rs`.
//!
//! **How it counts.** Failures, in windows that the first one begins; an IPv6 address is a /64. What is
//! under way counts as if it had failed: when what is left of a limit is under way, others wait until
//! one of these has ended, so a hundred guesses at once are no more than five, and a hundred honest
//! logins at once all get their turn. A user who has logged in from an address is *known* there: for
//! this pair a count of its own holds and no other, so neither a neighbour who guesses nor a guess at
//! his name from elsewhere keeps him out. When all who are known at one address have together failed
//! as often as one address may, each of them is known there for one failure more. A success takes back what the same user has failed at the
//! same address, and nothing of anybody else's.
//!
//! Names count as they are looked up. Once the lookup has said which account it is, the account counts
//! as well ([`Entry::hold_to`]), so that its aliases are no more guesses than its name.
//!
//! **Two tiers.** This process counts, always. With a cache, failures are counted there too, and an
//! attempt by who is not known is ruled on by the counts of all gateposts, asked for in one round trip;
//! who is known, and has not failed, costs none. Logins that succeed write nothing, but once in a while
//! that the user is known.
//!
//! **Promises.**
//! - No more than the limit fail within a window of this node, however many try at once; of all nodes
//!   together, as many more as are under way on others.
//! - Users that exist and users that do not are counted alike.
//! - Memory is bounded ([`ledger::MOST_KEYS`]): when there is no room, new addresses are counted by
//!   their network, and of the others what has the fewest failures is forgotten.
//! - A client that leaves before its answer has failed, if its secret was put to the test.
//!
//! **Limits.** Whoever writes into the cache can make its counters say anything: it can shut strangers
//! out, but nobody who is known to a gatepost. What an admin forgives on one node is gone on the others
//! when the bus has told them.

pub mod directives;

mod account;
pub mod admin;
mod denied;
mod entry;
mod figures;
mod flood;
mod ledger;
mod name;
mod shared;
mod table;
mod window;
mod zimbra;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

pub use denied::Denied;
pub use entry::{Entry, RefusedBy};
pub use figures::By;
pub use ledger::{Ledger, Spare};

use denied::Manner;
use directives::Settings;
use entry::At;
use figures::Verdict;
use flood::Flood;
use ledger::{Claim, Claims, Over, Ruling};
use name::Net;
use shared::{Ask, Seen};
use window::Rule;

use super::pace::Pace;
use crate::login::Kind;
use crate::memcached;
use crate::observe::{Level, Log};

/// How long an attempt waits for others that are under way. Then it is one too many.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one failure by who is known costs where no rule for users says so.
const NONE: Rule = Rule {
    most: 1,
    window: Duration::from_secs(600),
    free: 1,
    delay: Duration::ZERO,
    longest: Duration::ZERO,
};

/// The limits of one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logins(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    ledger: Ledger,
    flood: Option<Arc<Flood>>,
    pace: Arc<Mutex<Pace>>,
    log: Log,
}

/// Who wants to be let in.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The client's address, as it is believed; none for who comes by a unix socket.
    pub ip: Option<IpAddr>,
    /// The name that is looked up; its letters' case does not matter. Empty where nobody knows yet.
    pub user: &'a [u8],
    pub protocol: &'static str,
}

impl Logins {
    /// The limits of the server `name`.
    pub fn new(name: &str, settings: &Settings, ledger: &Ledger, log: Log) -> Self {
        Self(Arc::new(Inner {
            settings: settings.clone(),
            flood: settings.attempts.filter(|_| settings.on).map(|quota| ledger.flood(quota)),
            pace: ledger.pace(name),
            ledger: ledger.clone(),
            log,
        }))
    }

    /// The configuration that it belongs to is in force: what is forgiven is forgiven of its networks,
    /// too.
    pub fn take_effect(&self) {
        self.ledger().cuts(self.settings().bits);
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    fn log(&self) -> &Log {
        &self.0.log
    }

    /// Whether a refusal of that kind is told in words of our own, whatever others have said.
    pub fn says_ours(&self, kind: Kind) -> bool {
        self.settings().uniform && kind == Kind::BadCredentials
    }

    /// Rules on an attempt before anything is looked up. It is under way as long as its [`Entry`] lives.
    pub async fn before(&self, who: &Who<'_>) -> Result<Entry, Denied> {
        let mut entry = Entry::new(self.clone(), self.at(who), who);
        let zimbra = self.zimbra_user(entry.user());
        if !self.settings().on {
            if let Some(key) = zimbra {
                let seen = self.ledger().cache.counted(&key).await;
                self.rule_by_zimbra_before(&entry, seen)?;
            }
            return Ok(entry);
        }
        match self.admit(&mut entry, zimbra).await {
            Ok(()) => {
                self.ledger().figures.count(By::Login, Verdict::Allow);
                Ok(entry)
            }
            Err(denied) => {
                // Zimbra's have been told in its own words.
                if denied.manner == Manner::Own {
                    self.tell(&denied, &entry, who.protocol);
                }
                Err(denied)
            }
        }
    }

    /// Where somebody comes from, and whether it counts.
    fn at(&self, who: &Who<'_>) -> Option<At> {
        let ip = who.ip?.to_canonical();
        let Settings { whitelist, bits, .. } = self.settings();
        let is_spared = whitelist.iter().any(|net| net.contains(ip)) || self.ledger().spares(ip);
        let (address, network) = (Net::address(ip), Net::of(ip, bits.0, bits.1));
        Some(At { ip, address, network, is_spared })
    }

    async fn admit(
        &self,
        entry: &mut Entry,
        mut zimbra: Option<memcached::Key>,
    ) -> Result<(), Denied> {
        let ledger = self.ledger();
        let pair = entry.pair_key().filter(|_| !self.settings().known.is_zero());
        let mut is_known = pair.is_some_and(|pair| ledger.is_known(pair, Instant::now()));
        // One that has failed too often where he is known: a stranger from then on.
        let mut has_lost_it = false;
        if !is_known && !self.may_attempt(entry) {
            let most = self.settings().attempts.map_or(0, |quota| u64::from(quota.most));
            return Err(self.deny(By::Attempts, most, most, None));
        }
        let mut has_asked = false;
        loop {
            let mut claims = self.claims(entry, is_known);
            let mut others = [0; 3];
            let now = Instant::now();
            if ledger.cache.is_on() {
                let is_shut = !is_known && ledger.is_shut(&claims, now);
                let may_ask = match (is_shut, entry.address_keys()) {
                    (true, Some((address, network))) => ledger.asks.admits(address, network),
                    _ => true,
                };
                let pair_failed = || pair.is_some_and(|pair| ledger.failures(pair, now) > 0);
                let ask = Ask {
                    claims: (!is_shut && (!is_known || has_asked || pair_failed()))
                        .then_some(&claims),
                    known: pair.is_some() && !is_known && !has_lost_it && may_ask,
                    zimbra: zimbra.as_ref(),
                };
                let seen = self.ask(entry, &ask, is_known).await?;
                has_asked = true;
                if zimbra.take().is_some() {
                    self.rule_by_zimbra(entry.user(), seen.zimbra)?;
                }
                if let Some(pair) = pair.filter(|_| seen.is_known) {
                    ledger.know(pair, self.settings().known, Instant::now());
                    is_known = true;
                    continue;
                }
                others = self.of_others(&claims, &seen);
            } else if zimbra.take().is_some() {
                self.rule_by_zimbra(entry.user(), self.counted_by_zimbra(entry.user()))?;
            }
            match self.reserve(&mut claims, others).await {
                Ok((by, delay)) => {
                    if !delay.is_zero() {
                        ledger.figures.count(by, Verdict::Delay);
                    }
                    entry.is_under_way(claims, is_known, delay);
                    return Ok(());
                }
                Err(_) if is_known => (is_known, has_lost_it) = (false, true),
                Err(Over { by, count, limit, left }) => {
                    return Err(self.deny(by, count.into(), limit.into(), Some(left)));
                }
            }
        }
    }

    fn may_attempt(&self, entry: &Entry) -> bool {
        match (&self.0.flood, entry.address_keys()) {
            (Some(flood), Some((address, network))) => flood.admits(address, network),
            _ => true,
        }
    }

    /// What the attempt counts by.
    fn claims(&self, entry: &Entry, is_known: bool) -> Claims {
        let Settings { address, prefix, user, .. } = self.settings();
        let claim =
            |by, key: Option<u64>, rule: &Option<_>| Some(Claim { by, key: key?, rule: (*rule)? });
        if is_known {
            // Who guesses at all his neighbours in turn is stopped at one guess each; those who know
            // their passwords notice nothing.
            let wary = Rule { most: 1, free: 1, ..user.unwrap_or(NONE) };
            let rule = if self.is_crowd_guessing(entry) { &Some(wary) } else { user };
            return [claim(By::Pair, entry.pair_key(), rule), None, None];
        }
        let keys = entry.address_keys();
        [
            claim(By::Address, keys.map(|(address, _)| address), address),
            claim(By::Prefix, keys.map(|(_, network)| network), prefix),
            claim(By::User, entry.user_key(), user),
        ]
    }

    /// Whether those who are known at the address have together failed as often as one may.
    fn is_crowd_guessing(&self, entry: &Entry) -> bool {
        let (Some(rule), Some(crowd)) = (self.settings().address, entry.crowd_key()) else {
            return false;
        };
        self.ledger().failures(crowd, Instant::now()) >= rule.most
    }

    async fn ask(&self, entry: &Entry, ask: &Ask<'_>, is_known: bool) -> Result<Seen, Denied> {
        if ask.claims.is_none() && !ask.known && ask.zimbra.is_none() {
            return Ok(Seen::default());
        }
        let asked = shared::ask(&self.ledger().cache, &entry.whom(), ask).await;
        let error = match asked {
            Ok(seen) => return Ok(seen),
            Err(error) => error,
        };
        let zimbra = match ask.zimbra {
            Some(_) => self.counted_by_zimbra(entry.user()),
            None => 0,
        };
        let seen = Seen { zimbra, ..Seen::default() };
        if is_known { Ok(seen) } else { self.cannot_ask(By::Cache, &error).map(|()| seen) }
    }

    /// The shared counters do not answer: what holds then is configured.
    fn cannot_ask(&self, by: By, error: &memcached::Error) -> Result<(), Denied> {
        let is_closed = self.settings().fails_closed;
        let verdict = if is_closed { Verdict::FailClosed } else { Verdict::FailOpen };
        self.ledger().figures.count(by, verdict);
        let holds = match is_closed {
            true => "refusing those who are not known",
            false => "going by what this process has counted",
        };
        if self.log().enabled(Level::Error) && self.ledger().alarms.admits(0, 0) {
            let line = format_args!("login throttle: {error}, {holds}");
            self.log().line(Level::Error, None, line);
        }
        match is_closed {
            true => Err(self.deny(By::Cache, 0, 0, None)),
            false => Ok(()),
        }
    }

    fn rule_by_zimbra_before(
        &self,
        entry: &Entry,
        seen: Result<u64, memcached::Error>,
    ) -> Result<(), Denied> {
        let count = match seen {
            Ok(count) => count,
            Err(error) => {
                if error != memcached::Error::Off {
                    self.cannot_ask(By::ZimbraUser, &error)?;
                }
                self.counted_by_zimbra(entry.user())
            }
        };
        self.rule_by_zimbra(entry.user(), count)
    }

    /// What other nodes have counted beyond this one.
    fn of_others(&self, claims: &Claims, seen: &Seen) -> [u32; 3] {
        let now = Instant::now();
        let mut others = seen.counts;
        for (others, claim) in others.iter_mut().zip(claims) {
            if let Some(claim) = claim {
                *others = others.saturating_sub(self.ledger().failures(claim.key, now));
            }
        }
        others
    }

    /// Waits until it is known whether the attempt may be made.
    async fn reserve(&self, claims: &mut Claims, others: [u32; 3]) -> Result<(By, Duration), Over> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.ledger().reserve(claims, others, Instant::now()) {
                Ruling::Go(by, delay) => return Ok((by, delay)),
                Ruling::Over(over) => return Err(over),
                Ruling::Wait(by, notified) => {
                    if timeout_at(end, notified).await.is_err() {
                        let limit = claims.iter().flatten().find(|claim| claim.by == by);
                        let limit = limit.map_or(0, |claim| claim.rule.most);
                        let left = Duration::from_secs(1);
                        return Err(Over { by, count: limit, limit, left });
                    }
                }
            }
        }
    }

    fn deny(&self, by: By, count: u64, limit: u64, retry: Option<Duration>) -> Denied {
        let Settings { text, failure_delay, .. } = self.settings();
        // A flood is not worth a held connection each.
        let wait = (by != By::Attempts).then_some(*failure_delay);
        Denied { by, manner: Manner::Own, text: text.clone(), wait, retry, count, limit }
    }

    /// The account has failed too often by all its names: the log alone hears of it.
    fn log_account(&self, over: &Over, of: &name::Name, entry: &Entry) {
        let Over { count, limit, .. } = over;
        let line = format_args!(
            "login throttle: deny by account {of} [count:{count}, limit:{limit}], {}",
            entry.told("any")
        );
        let (address, network) = entry.address_keys().unwrap_or_default();
        if self.ledger().lines.admits(address ^ By::Account as u64, network) {
            self.log().line(Level::Notice, None, line);
        }
    }

    fn tell(&self, denied: &Denied, entry: &Entry, protocol: &str) {
        let verdict = if denied.by == By::Cache { Verdict::FailClosed } else { Verdict::Deny };
        if denied.by != By::Cache {
            self.ledger().figures.count(denied.by, verdict);
        }
        let line = format_args!("{denied}, {}", entry.told(protocol));
        let (address, network) = entry.address_keys().unwrap_or_default();
        if self.ledger().lines.admits(address ^ denied.by as u64, network) {
            self.log().line(Level::Notice, None, line);
        }
    }

    /// Logs what would else be said once for each packet of a flood.
    fn log_seldom(&self, level: Level, by: By, line: std::fmt::Arguments<'_>) {
        if self.log().enabled(level) && self.ledger().lines.admits(by as u64, by as u64) {
            self.log().line(level, None, line);
        }
    }
}

/// What must hold for any bytes: as a word of the fleet's, and as a user's name.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    admin::hold_for_any(input);
    zimbra::hold_for_any(input);
}

#[cfg(test)]
mod tests;
