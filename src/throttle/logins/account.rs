//! What an attempt counts by once a lookup has said whose account it is.
//!
//! A client may know one account by many names: with and without its domain, by aliases, by other
//! domains. Each of them has a count of its own, as a name that is nobody's has; so the failures of an
//! account are counted once more, together. Nothing of that count may be seen from outside, or it
//! would tell which names are the same account's, and so who exists: it delays nobody, and who runs
//! into it hears that his credentials are wrong.

use std::time::Duration;

use tokio::time::Instant;

use super::Logins;
use super::entry::{At, Entry};
use super::figures::{By, Verdict};
use super::ledger::{Claim, Claims, lock};
use super::name::{Name, Net, Of, key};
use super::shared::{self, Ask, Whom};
use super::window::Rule;
use crate::observe::tasks;

/// The count of one account that an attempt is held to.
#[derive(Clone, Debug)]
pub struct Held {
    /// In lower case.
    pub account: Box<[u8]>,
    /// The account's alone, or that of the account at an address that it is known at.
    pub claims: Claims,
}

impl Held {
    pub fn whom(&self, at: Option<At>) -> Whom<'_> {
        super::entry::whom(&self.account, at)
    }

    pub fn name(&self, at: Option<At>) -> Name {
        match (self.claims[0].map(|claim| claim.by), at) {
            (Some(By::Pair), Some(at)) => Name::pair(&self.account, at.address),
            _ => Name::account(&self.account),
        }
    }

    /// Where it is noted what a success takes back.
    pub fn marks(&self, logins: &Logins, at: Option<At>) -> Option<u64> {
        Some(logins.ledger().hasher.account_at(&self.account, at?.address))
    }
}

impl Entry {
    /// A lookup has said whose secret is about to be judged: says whether it may be, or whether the
    /// account has failed too often already, by whatever names. The latter has been logged; it ends
    /// as [`Entry::failed`], and in no other words than a wrong password.
    pub async fn hold_to(&self, account: &[u8]) -> bool {
        let logins = self.logins();
        let settings = logins.settings();
        let Some(rule) = settings.user.filter(|_| settings.on && !account.is_empty()) else {
            return true;
        };
        let account: Box<[u8]> = account.to_ascii_lowercase().into();
        if lock(self.held()).iter().any(|held| held.account == account) {
            return true;
        }
        let (ledger, at) = (logins.ledger(), self.at());
        let is_own = account[..] == *self.user();
        let pair = at.map(|at| ledger.hasher.pair(&account, at.address));
        let mut is_known = self.is_known();
        if !is_known && !is_own && !settings.known.is_zero() {
            is_known = self.is_known_at(&account, at, pair).await;
        }
        // It takes its turn, but costs no time.
        let rule = Rule { free: rule.most, delay: Duration::ZERO, ..rule };
        let claim = match (is_known, pair) {
            // What the name itself counts by is the same.
            (true, Some(_)) if is_own => return true,
            (true, Some(pair)) => Claim { by: By::Pair, key: pair, rule },
            _ => Claim { by: By::Account, key: ledger.hasher.account(&account), rule },
        };
        let mut held = Held { account, claims: [Some(claim), None, None] };
        let ask = Ask { claims: Some(&held.claims), known: false, zimbra: None };
        let seen = match ledger.cache.is_on() {
            // Whether nobody is let in without the cache has been ruled before.
            true => shared::ask(&ledger.cache, &held.whom(at), &ask).await.unwrap_or_default(),
            false => shared::Seen::default(),
        };
        let others = logins.of_others(&held.claims, &seen);
        match logins.reserve(&mut held.claims, others).await {
            Ok(_) => {
                lock(self.held()).push(held);
                true
            }
            Err(over) => {
                ledger.figures.count(By::Account, Verdict::Deny);
                logins.log_account(&over, &held.name(at), self);
                false
            }
        }
    }

    /// Whether the account has logged in from here, by whatever name.
    async fn is_known_at(&self, account: &[u8], at: Option<At>, pair: Option<u64>) -> bool {
        let ledger = self.logins().ledger();
        let (Some(at), Some(pair)) = (at, pair) else { return false };
        if ledger.is_known(pair, Instant::now()) {
            return true;
        }
        if !ledger.cache.is_on() {
            return false;
        }
        let found = ledger.cache.get(&key("known", Of::Pair(account, at.address))).await;
        let is_known = found.is_ok_and(|value| value.is_some_and(|value| value == b"1"));
        if is_known {
            ledger.know(pair, self.logins().settings().known, Instant::now());
        }
        is_known
    }

    /// What is held has failed as well.
    pub(super) fn fail_held(&mut self, now: Instant) {
        let (logins, at) = (self.logins().clone(), self.at());
        let ledger = logins.ledger();
        for held in self.take_held() {
            let marks = held.marks(&logins, at);
            let ends = ledger.fail(&held.claims, marks, |_| held.name(at), now);
            if !ledger.cache.is_on() || tokio::runtime::Handle::try_current().is_err() {
                continue;
            }
            let logins = logins.clone();
            tasks::spawn("throttle", async move {
                let ledger = logins.ledger();
                let began = shared::tell_failed(&ledger.cache, &held.whom(at), &held.claims).await;
                if let (Some(claim), Some(end), true) = (held.claims[0], ends[0], began[0]) {
                    ledger.is_exact(claim.key, end);
                }
            });
        }
    }

    /// The account is let in: it is known here by its own name too, and what it has failed here is
    /// taken back.
    pub(super) fn succeed_held(&mut self, now: Instant) {
        let (logins, at) = (self.logins().clone(), self.at());
        let (ledger, known) = (logins.ledger(), logins.settings().known);
        for held in self.take_held() {
            let forgiven = ledger.succeed(&held.claims, held.marks(&logins, at), now);
            let is_other = held.account[..] != *self.user() && !known.is_zero();
            let pair = at.filter(|_| is_other);
            let pair = pair.map(|at: At| ledger.hasher.pair(&held.account, at.address));
            let is_news = pair.is_some_and(|pair| ledger.know(pair, known, now));
            if ledger.cache.is_on() && (is_news || forgiven.iter().any(Option::is_some)) {
                let logins = logins.clone();
                tasks::spawn("throttle", async move {
                    let (cache, settings) = (&logins.ledger().cache, logins.settings());
                    let whom = held.whom(at);
                    shared::tell_succeeded(cache, &whom, forgiven, is_news, settings).await;
                });
            }
        }
    }

    /// Nothing was attempted.
    pub(super) fn release_held(&mut self, now: Instant) {
        let logins = self.logins().clone();
        for held in self.take_held() {
            logins.ledger().release(&held.claims, now);
        }
    }
}

/// For who comes by a unix socket too: it is not asked for then.
pub fn nowhere() -> Net {
    Net::address(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}
