//! What an administrator sees of what is kept.

use super::entry::{Aim, Entry};
use super::figures::{KINDS, RESULTS, TIERS};
use super::purge::{Purge, Row};
use super::shared::Value;
use super::{Routes, purge};

/// What is kept in the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    pub entries: u64,
    pub bytes: u64,
    pub most_bytes: u64,
}

/// How often a tier was asked for entries of a kind, by what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub tier: &'static str,
    pub kind: &'static str,
    pub hits: u64,
    pub stale: u64,
    pub misses: u64,
    pub refused: u64,
    pub errors: u64,
}

/// A route that is kept of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The group it leads to; none where servers are written.
    pub group: Option<String>,
    pub servers: Vec<String>,
    /// Not in the shared cache alone.
    pub is_here: bool,
    /// Since the sources said so.
    pub age_s: u64,
}

impl Routes {
    pub fn weight(&self) -> Weight {
        Weight {
            entries: self.process.entries() as u64,
            bytes: self.process.bytes(),
            most_bytes: self.process.most_bytes(),
        }
    }

    /// In the order of tiers and kinds.
    pub fn asked(&self) -> Vec<Asked> {
        let mut all = Vec::new();
        for (at, tier) in TIERS.into_iter().enumerate() {
            for (of, kind) in KINDS.into_iter().enumerate() {
                let [hits, stale, misses, refused, errors] = self.figures.counts(at, of);
                all.push(Asked { tier, kind, hits, stale, misses, refused, errors });
            }
        }
        debug_assert_eq!(RESULTS.len(), 5);
        all
    }

    /// What this process keeps that `purge` would forget, by key.
    pub fn kept(&self, purge: &Purge) -> Vec<Row> {
        let rows = self.process.list(purge).into_iter().map(|(question, kept)| Row {
            server: purge::PROCESS.into(),
            key: purge::show(question.key().as_bytes()),
            name: None,
            value: Entry::read(&kept.entry).map(|entry| entry.to_string()),
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    }

    /// The newest route that is kept of `user`, here or else in the shared cache.
    pub async fn known(&self, user: &str) -> Option<Known> {
        let now = self.process.now();
        let list = self.process.list(&Purge::user(user));
        let newest = list.into_iter().min_by_key(|(_, kept)| now.since(kept.asked));
        if let Some((_, kept)) = newest {
            let age = now.since(kept.asked);
            return Some(Known::of(Entry::read(&kept.entry)?, true, age.as_secs()));
        }
        if !self.shared.is_on() {
            return None;
        }
        let now = self.process.unix(now);
        let user = user.to_ascii_lowercase();
        let mut newest: Option<Known> = None;
        for key in self.keys_of(user.as_bytes(), &mut Vec::new()).await {
            for held in self.shared.get_everywhere(&key).await {
                let Ok(Some(value)) = held.value else { continue };
                let Some(value) = Value::read(&value, &key) else { continue };
                let found = Known::of(value.entry, false, now.saturating_sub(value.asked));
                if newest.as_ref().is_none_or(|known| found.age_s < known.age_s) {
                    newest = Some(found);
                }
            }
        }
        newest
    }
}

impl Known {
    fn of(entry: Entry, is_here: bool, age_s: u64) -> Self {
        let (group, servers) = match entry.aim {
            Aim::Group(name) => (Some(name.to_string()), Vec::new()),
            Aim::Servers(servers) => (None, servers.iter().map(ToString::to_string).collect()),
        };
        Self { group, servers, is_here, age_s }
    }
}
