//! What an admin sees of the counts, and what he does about them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant, interval_at};

use super::directives::Settings;
use super::figures::Sums;
use super::ledger::{Ledger, Spare};
use super::name::{Name, Net, Of, key};
use super::zimbra::{LETTERS, ip_key, user_key};
use super::{Logins, Who};
use crate::config::value::{Cidr, cidr};
use crate::memcached::bus::Heard;
use crate::memcached::{Error, Key};

/// How often what is over is forgotten.
const SWEEP: Duration = Duration::from_secs(30);

/// One whose failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offender {
    /// `address`, `prefix`, `user`, `account` (by all its names); `pair`: a user at an address that he is
    /// known at; `known`: all who are known at an address.
    pub kind: &'static str,
    /// Escaped; users in quotes.
    pub name: String,
    /// Of this gatepost.
    pub failures: u32,
    /// Until they are forgotten.
    pub seconds_left: u64,
}

/// What an offender's next attempt would meet, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    Free,
    Delayed,
    Denied,
}

impl Logins {
    /// What `offender` would meet at this server.
    pub fn prospect(&self, offender: &Offender) -> Prospect {
        let settings = self.settings();
        let rule = match offender.kind {
            "address" => settings.address,
            "prefix" => settings.prefix,
            // Of these each has a count of his own, which becomes smaller; nobody is kept out by theirs.
            "known" => None,
            _ => settings.user,
        };
        match rule.filter(|_| settings.on) {
            Some(rule) if offender.failures >= rule.most => Prospect::Denied,
            Some(rule) if !rule.delay(offender.failures).is_zero() => Prospect::Delayed,
            _ => Prospect::Free,
        }
    }
}

impl Logins {
    /// The worst that is counted of an address, by itself or by its network.
    pub fn of_address<'o>(
        &self,
        ip: IpAddr,
        offenders: &'o [Offender],
    ) -> Option<(&'o Offender, Prospect)> {
        let at = self.at(&Who { ip: Some(ip), user: b"", protocol: "" })?;
        let names = [
            ("address", Name::Address(at.address).to_string()),
            ("prefix", Name::Network(at.network).to_string()),
        ];
        let is_it = |one: &&Offender| {
            names.iter().any(|(kind, name)| one.kind == *kind && one.name == *name)
        };
        let found = offenders.iter().filter(is_it).filter(|_| !at.is_spared);
        found.map(|one| (one, self.prospect(one))).max_by_key(|(one, worst)| (*worst, one.failures))
    }
}

/// Who is forgiven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// With the networks that the address lies in.
    Address(IpAddr),
    /// As it is looked up; its letters' case does not matter.
    User(String),
}

/// What one gatepost tells the others over the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
enum Word {
    LoginForgive {
        target: Target,
    },
    LoginWhitelist {
        net: String,
        is_on: bool,
        /// In seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
}

impl Word {
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a word is plain data")
    }

    /// None for what is said to others.
    fn read(word: &[u8]) -> Option<Self> {
        serde_json::from_slice(word).ok()
    }
}

impl Ledger {
    /// What became of attempts so far.
    pub fn sums(&self) -> Sums {
        self.figures.sums()
    }

    /// Those who have failed most often, at most `most` of them.
    pub fn status(&self, most: usize) -> Vec<Offender> {
        let now = Instant::now();
        let mut found: Vec<_> = {
            let counts = self.counts();
            let offends = |slot: &&super::window::Slot| slot.failures(now) > 0;
            let all = counts.slots.iter().filter(offends);
            let mut all: Vec<_> = all
                .filter_map(|slot| Some((slot.failures(now), slot.until(), slot.name()?)))
                .collect();
            all.sort_by_key(|(failures, ..)| std::cmp::Reverse(*failures));
            all.truncate(most);
            all.into_iter().map(|(failures, until, name)| (failures, until, name.clone())).collect()
        };
        found
            .drain(..)
            .map(|(failures, until, name)| Offender {
                kind: match name {
                    Name::Address(_) => "address",
                    Name::Network(_) => "prefix",
                    Name::Crowd(_) => "known",
                    Name::User(_) => "user",
                    Name::Account(_) => "account",
                    Name::Pair(..) => "pair",
                },
                name: name.to_string(),
                failures,
                seconds_left: until.saturating_duration_since(now).as_secs(),
            })
            .collect()
    }

    /// Forgets the failures of `target`, here, in the cache and, by the bus, on all other gateposts.
    /// Says how many counts of this gatepost were there, and why others may not have heard.
    pub async fn forgive(&self, target: &Target) -> (usize, Option<Error>) {
        let forgiven = self.forgive_here(target);
        if !self.cache.is_on() {
            return (forgiven, None);
        }
        for key in self.keys_of(target) {
            // What a dead server has counted is gone with it.
            let _ = self.cache.delete(&key).await;
        }
        let word = Word::LoginForgive { target: target.clone() };
        (forgiven, self.bus.say(&word.to_bytes()).await.err())
    }

    /// Lets the addresses of a network alone from now on, on all gateposts. Says why others may not
    /// have heard.
    pub async fn whitelist(&self, order: Spare) -> Option<Error> {
        self.spare(order.net, Some(order));
        let (net, until) = (order.net.to_string(), order.until);
        let word = Word::LoginWhitelist { net, is_on: true, until };
        self.bus.say(&word.to_bytes()).await.err()
    }

    /// Lets them alone no more.
    pub async fn unspare(&self, net: Cidr) -> Option<Error> {
        self.spare(net, None);
        let word = Word::LoginWhitelist { net: net.to_string(), is_on: false, until: None };
        self.bus.say(&word.to_bytes()).await.err()
    }

    /// The networks that were let alone that way.
    pub fn whitelisted(&self) -> Vec<Spare> {
        self.spared()
    }

    /// Hears what other gateposts say, and forgets what is over, for as long as there is a bus. To be
    /// run by one task of the process.
    pub async fn attend(self) {
        let mut listener = self.bus.listen();
        // However much is said meanwhile.
        let mut sweep = interval_at(Instant::now() + SWEEP, SWEEP);
        loop {
            tokio::select! {
                heard = listener.next() => match heard {
                    Some(Heard::Said(word)) => self.hear(&word),
                    // What was forgiven before has not been counted here since.
                    Some(Heard::Late(_) | Heard::Missed) => {}
                    None => return,
                },
                _ = sweep.tick() => self.sweep(Instant::now()),
            }
        }
    }

    fn hear(&self, word: &[u8]) {
        match Word::read(word) {
            Some(Word::LoginForgive { target }) => drop(self.forgive_here(&target)),
            Some(Word::LoginWhitelist { net, is_on, until }) => {
                if let Some(net) = cidr(&net) {
                    self.spare(net, is_on.then_some(Spare { net, until }));
                }
            }
            None => {}
        }
    }

    fn forgive_here(&self, target: &Target) -> usize {
        let now = Instant::now();
        let keys: Vec<u64> = match target {
            Target::Address(ip) => {
                let crowd = self.hasher.crowd(Net::address(*ip));
                self.nets_of(*ip).map(|net| self.hasher.net(net)).chain([crowd]).collect()
            }
            Target::User(user) => {
                let user = user.to_ascii_lowercase().into_bytes();
                vec![self.hasher.user(&user), self.hasher.account(&user)]
            }
        };
        let pair_of = |slot: &super::window::Slot| match (target, slot.name()) {
            (Target::User(user), Some(Name::Pair(own, _))) => {
                **own == *Name::shown(user.to_ascii_lowercase().as_bytes())
            }
            (Target::Address(ip), Some(Name::Pair(_, at))) => *at == Net::address(*ip),
            _ => false,
        };
        let mut counts = self.counts();
        let forgiven = counts.forgive(&keys, pair_of, now);
        drop(counts);
        match target {
            Target::Address(ip) => {
                for letter in LETTERS {
                    self.uncount(ip_key(letter, ip.to_canonical()).as_bytes());
                }
            }
            Target::User(user) => self.uncount(&user_key(user.to_ascii_lowercase().as_bytes())),
        }
        forgiven
    }

    /// The address itself and every network that some server cuts it to.
    fn nets_of(&self, ip: IpAddr) -> impl Iterator<Item = Net> {
        let mut cuts = self.all_cuts();
        cuts.push(Settings::default().bits);
        cuts.dedup();
        let networks = cuts.into_iter().map(move |(v4, v6)| Net::of(ip, v4, v6));
        std::iter::once(Net::address(ip)).chain(networks)
    }

    fn keys_of(&self, target: &Target) -> Vec<Key> {
        let both = |of: Of<'_>| ["failed", "forgiven"].map(|kind| key(kind, of));
        match target {
            Target::Address(ip) => {
                let own = self.nets_of(*ip).flat_map(|net| both(Of::Net(net)));
                let letters = LETTERS.map(|letter| ip_key(letter, ip.to_canonical()).into_bytes());
                own.chain(letters.map(Key::verbatim)).collect()
            }
            Target::User(user) => {
                let user = user.to_ascii_lowercase().into_bytes();
                let zimbra = Key::verbatim(user_key(&user));
                let own = both(Of::User(&user)).into_iter().chain(both(Of::Account(&user)));
                own.chain([zimbra]).collect()
            }
        }
    }
}

/// What must hold for any word that comes over the bus.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Some(word) = Word::read(input) else { return };
    assert_eq!(Word::read(&word.to_bytes()), Some(word));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_the_way_and_others_are_passed_over() {
        for word in [
            Word::LoginForgive { target: Target::User("mrose".into()) },
            Word::LoginForgive { target: Target::Address("2001:db8::1".parse().unwrap()) },
            Word::LoginWhitelist { net: "10.0.0.0/8".into(), is_on: true, until: None },
            Word::LoginWhitelist { net: "10.0.0.0/8".into(), is_on: true, until: Some(9) },
        ] {
            assert_eq!(Word::read(&word.to_bytes()), Some(word));
        }
        assert_eq!(Word::read(br#"{"order":"kick","user":"mrose"}"#), None);
        assert_eq!(Word::read(b"\xff\x00"), None);
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_word(input in r#"\{"order":"login_(forgive|whitelist)",("target":\{"(user|address)":"[a-z0-9.:]{0,9}"\}|"net":"[0-9./]{0,9}","is_on":true)\}"#) {
            hold_for_any(input.as_bytes());
        }
    }
}
