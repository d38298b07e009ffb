//! To forget before the time is up: here, in the shared cache, and on every node.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::order::Order;
use super::super::template::parts;
use super::question::Question;
use super::shared::{Format, Value};
use super::{Routes, zimbra};
#[cfg(test)]
use crate::memcached::bus::{Heard, Listener};
use crate::memcached::{self, Held, Key};
use crate::observe::tasks;

/// What is to be forgotten. Names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// All routes of a user: by any name that the sources have given for it, by its name without the
    /// domain, over any protocol, from any client.
    User(String),
    /// Those of all users of a domain, and of names without a domain.
    Domain(String),
    All,
}

/// What became of a [`Purge`].
#[derive(Clone, Debug, Default)]
pub struct PurgeReport {
    /// How many routes this process forgot.
    pub forgotten: usize,
    /// Every logical key that was deleted in the shared cache, and whether it was there.
    pub keys: Vec<(String, bool)>,
    /// The same for each server, with what it had. A server that did not answer is among the errors.
    pub rows: Vec<Row>,
    /// What the shared cache could not do. It keeps such keys until their time is up.
    pub errors: Vec<memcached::Error>,
    /// Whether the other nodes are told.
    pub is_told: bool,
    /// In Zimbra's form nothing can be forgotten but by its key: what else lies in the shared cache
    /// stays until its time is up.
    pub leaves_some: bool,
}

/// What one server has under one key, as `gatepost cache purge` and its `--list` show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As it is configured, or `process`: this one's own tier.
    pub server: Arc<str>,
    /// The logical key.
    pub key: String,
    /// What the server calls it; none in the process.
    pub name: Option<String>,
    /// None where there is nothing under that key.
    pub value: Option<String>,
}

/// The tier within this process, where others are servers.
pub(super) const PROCESS: &str = "process";

impl Purge {
    pub fn user(name: &str) -> Self {
        Self::User(name.to_ascii_lowercase())
    }

    pub fn domain(name: &str) -> Self {
        Self::Domain(name.to_ascii_lowercase())
    }

    /// As other nodes are told.
    pub fn order(&self) -> Order {
        match self {
            Self::User(user) => Order::ForgetUser { user: user.clone() },
            Self::Domain(domain) => Order::ForgetDomain { domain: domain.clone() },
            Self::All => Order::ForgetAll,
        }
    }

    /// None for an order to do something else.
    pub fn of(order: &Order) -> Option<Self> {
        Some(match order {
            Order::ForgetUser { user } => Self::user(user),
            Order::ForgetDomain { domain } => Self::domain(domain),
            Order::ForgetAll => Self::All,
            _ => return None,
        })
    }
}

impl Routes {
    /// Forgets here, in the shared cache and on every node that hears of it.
    pub async fn purge(&self, purge: &Purge) -> PurgeReport {
        // First of all, lest what is being asked for at this moment be put back.
        let (_, forgotten) = self.forget(purge);
        let mut report = PurgeReport { forgotten, ..PurgeReport::default() };
        if !self.shared.is_on() {
            return report;
        }
        match purge {
            Purge::User(user) => self.purge_user(user.as_bytes(), &mut report).await,
            Purge::Domain(domain) => {
                self.begin_generation(Some(domain.as_bytes()), &mut report).await;
            }
            Purge::All => self.begin_generation(None, &mut report).await,
        }
        match self.bus.say(&purge.order().to_bytes()).await {
            Ok(()) => report.is_told = true,
            Err(error) => report.errors.push(error),
        }
        report
    }

    async fn begin_generation(&self, domain: Option<&[u8]>, report: &mut PurgeReport) {
        if self.shared.format() == Format::Zimbra {
            report.leaves_some = true;
            return;
        }
        let begun = self.shared.begin(domain, fastrand::u64(1..)).await;
        report.errors.extend(begun.err());
    }

    async fn purge_user(&self, user: &[u8], report: &mut PurgeReport) {
        for key in self.keys_of(user, &mut report.errors).await {
            let (held, errors) = self.shared.take_everywhere(&key).await;
            let had_it = held.iter().any(|held| matches!(held.value, Ok(Some(_))));
            report.keys.push((show(key.as_bytes()), had_it));
            report.rows.extend(held.into_iter().filter_map(|held| row(&key, held).ok()));
            errors.into_iter().for_each(|error| add(&mut report.errors, error));
        }
        for name in listed_under(user) {
            match self.shared.unlist(name).await {
                // Where nothing can be listed nothing was.
                Ok(_) | Err(memcached::Error::Off) => {}
                Err(error) => add(&mut report.errors, error),
            }
        }
    }

    /// Every key that an entry of the user may lie under: those that are listed for it, and those
    /// that anybody would write who asks the same sources.
    pub(super) async fn keys_of(
        &self,
        user: &[u8],
        errors: &mut Vec<memcached::Error>,
    ) -> Vec<Key> {
        let mut keys = match self.shared.format() {
            Format::Zimbra => zimbra::candidates(user, &self.locals()),
            Format::Gatepost => {
                let scopes = self.scopes();
                let ways = Question::protocols().flat_map(|name| [(name, false), (name, true)]);
                let ways: Vec<_> = ways.collect();
                let questions = scopes.iter().flat_map(|scope| {
                    ways.iter().filter_map(|(protocol, secure)| {
                        Question::plain(*scope, protocol, *secure, user)
                    })
                });
                questions.map(|question| question.key()).collect()
            }
        };
        for name in listed_under(user) {
            match self.shared.listed(name).await {
                Ok(listed) => keys.extend(listed),
                Err(error) => add(errors, error),
            }
        }
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        keys
    }

    /// What is kept of a user, here and on each server of the shared cache. Keys that have nothing
    /// are in it too where the cache is Zimbra's, and where nothing at all is kept: they are those
    /// that were looked at.
    pub async fn list(&self, user: &str) -> (Vec<Row>, Vec<memcached::Error>) {
        let purge = Purge::user(user);
        let mut rows: Vec<_> = self
            .process
            .list(&purge)
            .into_iter()
            .map(|(question, kept)| Row {
                server: PROCESS.into(),
                key: show(question.key().as_bytes()),
                name: None,
                value: super::Entry::read(&kept.entry).map(|entry| entry.to_string()),
            })
            .collect();
        let mut errors = Vec::new();
        if self.shared.is_on() {
            for key in self.keys_of(user.to_ascii_lowercase().as_bytes(), &mut errors).await {
                for held in self.shared.get_everywhere(&key).await {
                    match row(&key, held) {
                        Ok(row) => rows.push(row),
                        Err(error) => add(&mut errors, error),
                    }
                }
            }
            let is_any = rows.iter().any(|row| row.value.is_some());
            if is_any && self.shared.format() == Format::Gatepost {
                rows.retain(|row| row.value.is_some());
            }
        }
        (rows, errors)
    }

    /// Does what an order says that is about routes.
    pub fn obey(&self, order: &Order) {
        let Some(purge) = Purge::of(order) else { return };
        let (gone, _) = self.forget(&purge);
        if !self.shared.is_on() || gone.is_empty() {
            return;
        }
        // What this node wrote while the order was under way is in the shared cache again.
        let shared = self.shared.clone();
        let account = match purge {
            Purge::User(user) => user,
            _ => String::new(),
        };
        tasks::spawn("route-forget", async move {
            for question in gone {
                // It dies with its time.
                let _ = shared.delete(&question, account.as_bytes()).await;
            }
        });
    }

    /// Orders may have been missed. What is kept here serves only where nobody can be asked. A server
    /// may have lost what it had: the generations that this node knows are put back.
    pub fn doubt(&self) {
        self.shared.ask_generations_anew();
        self.process.doubt();
        if self.shared.is_on() {
            let shared = self.shared.clone();
            tasks::spawn("route-generations", async move { shared.put_generations_back().await });
        }
    }

    /// Obeys what is heard, as long as there is anything to hear.
    #[cfg(test)]
    pub async fn follow(&self, mut listener: Listener) {
        while let Some(heard) = listener.next().await {
            match heard {
                Heard::Said(word) | Heard::Late(word) => {
                    if let Some(order) = Order::read(&word) {
                        self.obey(&order);
                    }
                }
                Heard::Missed => self.doubt(),
            }
        }
    }

    /// Forgets in this process alone: what of a user, and how many in all.
    fn forget(&self, purge: &Purge) -> (Vec<Question>, usize) {
        if !matches!(purge, Purge::User(_)) {
            self.shared.ask_generations_anew();
        }
        let before = self.process.entries();
        let gone = self.process.forget(purge);
        let count = before.saturating_sub(self.process.entries());
        self.figures.purged(count);
        self.figures.weigh(&self.process);
        (gone, count)
    }

    fn locals(&self) -> Vec<IpAddr> {
        self.open(&self.locals).iter().copied().collect()
    }
}

/// The names whose lists have to do with a user.
fn listed_under(user: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (uid, domain) = parts(user);
    [Some(user), domain.is_some().then_some(uid)]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
}

/// What a server holds under `key`, or why it did not say.
fn row(key: &Key, held: Held) -> Result<Row, memcached::Error> {
    let value = held.value?.map(|value| match Value::read(&value, key) {
        Some(value) => value.entry.to_string(),
        None => show(&value),
    });
    let (key, name) = (show(key.as_bytes()), Some(held.name.escape_debug().to_string()));
    Ok(Row { server: held.server, key, name, value })
}

/// A server that is down is down for every key: it is told once.
fn add(errors: &mut Vec<memcached::Error>, error: memcached::Error) {
    if !errors.contains(&error) {
        errors.push(error);
    }
}

/// For an operator's eyes: no byte of a name does anything to a terminal.
pub fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
