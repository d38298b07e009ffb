//! An attempt that is under way.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::account::{Held, nowhere};
use super::denied::Denied;
use super::figures::By;
use super::ledger::{Claims, lock};
use super::name::{Name, Net};
use super::shared::{self, Whom};
use super::{Logins, Who};
use crate::observe::escape::Quoted;
use crate::observe::tasks;

/// An attempt that is under way, and may fail. Dropped, it has failed if its secret was
/// [shown](Entry::shown) to anybody, and never was if not.
#[derive(Debug)]
#[must_use = "dropped, it is no attempt any more"]
pub struct Entry {
    logins: Logins,
    user: Box<[u8]>,
    /// Where it is another: what Zimbra counts by.
    account: Option<Box<[u8]>>,
    at: Option<At>,
    claims: Claims,
    /// Of the accounts that the lookup has named: more than one only where it has changed its mind.
    held: Mutex<Vec<Held>>,
    is_known: bool,
    delay: Duration,
    began: Option<Instant>,
    /// Whoever judges the secret may have it by now.
    is_shown: AtomicBool,
    is_over: bool,
}

/// Where somebody comes from.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub ip: IpAddr,
    pub address: Net,
    pub network: Net,
    /// Neither the address nor the network is counted.
    pub is_spared: bool,
}

/// Who said that a login fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// Nobody but us and whom we look up with: at once.
    Us,
    /// The upstream, in its own time.
    Upstream,
}

impl Entry {
    pub(super) fn new(logins: Logins, at: Option<At>, who: &Who<'_>) -> Self {
        Self {
            logins,
            user: who.user.to_ascii_lowercase().into(),
            account: None,
            at,
            claims: Claims::default(),
            held: Mutex::default(),
            is_known: false,
            delay: Duration::ZERO,
            began: None,
            is_shown: AtomicBool::new(false),
            is_over: false,
        }
    }

    pub(super) fn is_under_way(&mut self, claims: Claims, is_known: bool, delay: Duration) {
        (self.claims, self.is_known, self.delay) = (claims, is_known, delay);
    }

    /// How long to wait before anything is looked up.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// From here on it takes its time. To be called after the delay.
    pub fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// From here on the secret is put to the test: whoever leaves before the answer has failed, or else
    /// guesses that take too long to be right would be free. Not before somebody is there to judge it:
    /// a client that gives up on a dead upstream has guessed nothing.
    pub fn shown(&self) {
        self.is_shown.store(true, Ordering::Relaxed);
    }

    /// The account's own name, where the lookup has said one: what Zimbra counts a login by.
    pub fn is_of(&mut self, account: &[u8]) {
        if self.logins.settings().zimbra.user.most > 0 && !account.is_empty() {
            self.account = Some(account.to_ascii_lowercase().into());
        }
    }

    /// The login has failed: the user, the password, the proof or the token is wrong. Gives how long
    /// from now on the answer is to be kept back.
    pub async fn failed(mut self, by: RefusedBy) -> Duration {
        let (began, now) = (self.began.unwrap_or_else(Instant::now), Instant::now());
        if let Some(telling) = self.fail(now) {
            // A client that leaves meanwhile does not stop it.
            let _ = telling.await;
        }
        let mut pace = lock(&self.logins.0.pace);
        if by == RefusedBy::Upstream {
            pace.learn(now.saturating_duration_since(began));
        }
        pace.due(self.logins.settings().failure_delay, fastrand::f64())
            .saturating_sub(began.elapsed())
    }

    /// The user is let in, unless Zimbra's limit on users has been reached with it.
    pub async fn succeeded(mut self) -> Result<(), Denied> {
        self.succeed(Instant::now());
        self.logins.count_by_zimbra(self.account.as_ref().unwrap_or(&self.user)).await
    }

    /// Nobody knows: the upstream or the lookup is down. Nothing was attempted then.
    pub fn unknown(mut self) {
        *self.is_shown.get_mut() = false;
    }

    fn fail(&mut self, now: Instant) -> Option<tokio::task::JoinHandle<()>> {
        self.is_over = true;
        let logins = self.logins.clone();
        let ledger = logins.ledger();
        self.fail_held(now);
        let forgivable = self.pair_key().filter(|_| !self.is_known);
        let ends = ledger.fail(&self.claims, forgivable, |by| self.name(by), now);
        if self.is_known
            && let (Some(rule), Some(crowd), Some(at)) =
                (logins.settings().address, self.crowd_key(), self.at)
        {
            ledger.note(crowd, rule.window, || Name::Crowd(at.address), now);
        }
        let claims = self.claims;
        let is_worth_it = ledger.cache.is_on() && claims.iter().any(Option::is_some);
        // Without a runtime the process is at its end.
        tokio::runtime::Handle::try_current().ok().filter(|_| is_worth_it)?;
        let (user, at) = (self.user.clone(), self.at);
        Some(tasks::spawn("throttle", async move {
            let ledger = logins.ledger();
            let began = shared::tell_failed(&ledger.cache, &whom(&user, at), &claims).await;
            for ((claim, end), began) in claims.iter().zip(ends).zip(began) {
                if let (Some(claim), Some(end), true) = (claim, end, began) {
                    ledger.is_exact(claim.key, end);
                }
            }
        }))
    }

    fn succeed(&mut self, now: Instant) {
        self.is_over = true;
        let logins = self.logins.clone();
        let (ledger, known) = (logins.ledger(), logins.settings().known);
        self.succeed_held(now);
        let forgiven = ledger.succeed(&self.claims, self.pair_key(), now);
        let is_counted = logins.settings().on && !known.is_zero();
        let pair = self.pair_key().filter(|_| is_counted);
        let is_news = pair.is_some_and(|pair| ledger.know(pair, known, now));
        if !ledger.cache.is_on() || !(is_news || forgiven.iter().any(Option::is_some)) {
            return;
        }
        let (user, at) = (self.user.clone(), self.at);
        tasks::spawn("throttle", async move {
            let (cache, settings) = (&logins.ledger().cache, logins.settings());
            shared::tell_succeeded(cache, &whom(&user, at), forgiven, is_news, settings).await;
        });
    }

    pub(super) fn logins(&self) -> &Logins {
        &self.logins
    }

    pub(super) fn at(&self) -> Option<At> {
        self.at
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    pub(super) fn held(&self) -> &Mutex<Vec<Held>> {
        &self.held
    }

    pub(super) fn take_held(&mut self) -> Vec<Held> {
        std::mem::take(self.held.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn user(&self) -> &[u8] {
        &self.user
    }

    pub(super) fn whom(&self) -> Whom<'_> {
        whom(&self.user, self.at)
    }

    /// Of the address and the network, if they count.
    pub(super) fn address_keys(&self) -> Option<(u64, u64)> {
        let at = self.at.filter(|at| !at.is_spared)?;
        let hasher = &self.logins.ledger().hasher;
        Some((hasher.net(at.address), hasher.net(at.network)))
    }

    /// Of all who are known at the address, if it counts.
    pub(super) fn crowd_key(&self) -> Option<u64> {
        let at = self.at.filter(|at| !at.is_spared)?;
        Some(self.logins.ledger().hasher.crowd(at.address))
    }

    pub(super) fn user_key(&self) -> Option<u64> {
        (!self.user.is_empty()).then(|| self.logins.ledger().hasher.user(&self.user))
    }

    pub(super) fn pair_key(&self) -> Option<u64> {
        let at = self.at.filter(|_| !self.user.is_empty())?;
        Some(self.logins.ledger().hasher.pair(&self.user, at.address))
    }

    fn name(&self, by: By) -> Name {
        match (by, self.at) {
            (By::Address, Some(at)) => Name::Address(at.address),
            (By::Prefix, Some(at)) => Name::Network(at.network),
            (By::Pair, Some(at)) => Name::pair(&self.user, at.address),
            _ => Name::user(&self.user),
        }
    }

    /// What the log says of it, as of other clients.
    pub(super) fn told<'a>(&'a self, protocol: &'a str) -> impl fmt::Display + 'a {
        struct Told<'a>(&'a Entry, &'a str);
        impl fmt::Display for Told<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self(entry, protocol) = self;
                match entry.at {
                    Some(at) => write!(f, "client: {}", at.ip)?,
                    None => f.write_str("client: unix:")?,
                }
                write!(f, ", protocol: {protocol}, login: \"{}\"", Quoted(&entry.user))
            }
        }
        Told(self, protocol)
    }
}

/// Nobody by address, where there is none: the keys of addresses are not asked for then.
pub(super) fn whom(user: &[u8], at: Option<At>) -> Whom<'_> {
    let (address, network) = at.map_or((nowhere(), nowhere()), |at| (at.address, at.network));
    Whom { user, address, network }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let now = Instant::now();
        match *self.is_shown.get_mut() {
            true => drop(self.fail(now)),
            false => {
                self.release_held(now);
                self.logins.ledger().release(&self.claims, now);
            }
        }
    }
}
