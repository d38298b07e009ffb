//! When maintenance was on: what is kept of it, and what is unusual about it. Pure.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::login::passable;
use crate::route::state::clock::Seconds;

/// How many are remembered.
const MOST: usize = 200;
/// The month within which they are counted.
pub const MONTH: Seconds = 30 * 86_400;
const LONGEST_NAME: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub scope: Scope,
    pub cause: String,
    pub is_manual: bool,
    pub began: Seconds,
    /// None while it goes on.
    pub ended: Option<Seconds>,
    /// That it lasts too long has been told.
    #[serde(default)]
    is_told: bool,
}

/// An episode as it is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reported {
    #[serde(flatten)]
    pub episode: Episode,
    pub seconds: Seconds,
    /// Longer than `maintenance_alert_length`.
    pub is_long: bool,
    /// More than `maintenance_alert_count` of its upstream within the 30 days before.
    pub is_often: bool,
}

/// The newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(VecDeque<Episode>);

impl Episode {
    pub fn new(scope: Scope, cause: &str, began: Seconds, is_manual: bool) -> Self {
        let cause = passable(cause.as_bytes());
        Self { scope, cause, is_manual, began, ended: None, is_told: false }
    }

    fn length(&self, now: Seconds) -> Seconds {
        self.ended.unwrap_or(now).saturating_sub(self.began)
    }

    fn is_own(&self, upstream: &str) -> bool {
        !self.is_manual && matches!(&self.scope, Scope::Upstream(own) if own == upstream)
    }
}

impl History {
    /// What was read may have been written by anybody.
    pub fn sound(mut self) -> Self {
        let is_plain = |text: &str| text.len() <= 512 && !text.chars().any(char::is_control);
        self.0.retain(|episode| {
            let name = match &episode.scope {
                Scope::All => "",
                Scope::Domain(name) | Scope::Upstream(name) => name,
            };
            is_plain(name) && name.len() <= LONGEST_NAME && is_plain(&episode.cause)
        });
        while self.0.len() > MOST {
            self.0.pop_front();
        }
        self
    }

    /// Says whether it is new: of one scope no more than one goes on.
    pub fn begin(&mut self, episode: Episode) -> bool {
        if self.all_open().any(|open| open.scope == episode.scope) {
            return false;
        }
        if self.0.len() >= MOST {
            // One that goes on must not be forgotten if another can be.
            let oldest = self.0.iter().position(|one| one.ended.is_some()).unwrap_or(0);
            self.0.remove(oldest);
        }
        self.0.push_back(episode);
        true
    }

    /// Gives how long it was.
    pub fn end(&mut self, scope: &Scope, now: Seconds) -> Option<Seconds> {
        let is_it = |one: &&mut Episode| one.ended.is_none() && one.scope == *scope;
        let episode = self.0.iter_mut().find(is_it)?;
        episode.ended = Some(now.max(episode.began));
        Some(episode.length(now))
    }

    pub fn all_open(&self) -> impl Iterator<Item = &Episode> {
        self.0.iter().filter(|episode| episode.ended.is_none())
    }

    /// What goes on of an upstream by itself.
    pub fn open(&self, upstream: &str) -> Option<&Episode> {
        self.all_open().find(|episode| episode.is_own(upstream))
    }

    /// How many began by themselves within the month before `now`.
    pub fn lately(&self, upstream: &str, now: Seconds) -> usize {
        let is_late = |one: &&Episode| one.began.saturating_add(MONTH) > now && one.began <= now;
        self.0.iter().filter(|one| one.is_own(upstream)).filter(is_late).count()
    }

    /// What goes on by itself for longer than `limit` and has not been told: it is now.
    pub fn overdue(&mut self, now: Seconds, limit: Seconds) -> Vec<(Scope, Seconds)> {
        let is_due = |one: &&mut Episode| {
            !one.is_manual && !one.is_told && one.ended.is_none() && one.length(now) > limit
        };
        let tell = |one: &mut Episode| {
            one.is_told = true;
            (one.scope.clone(), one.length(now))
        };
        self.0.iter_mut().filter(is_due).map(tell).collect()
    }

    /// When the next one is overdue.
    pub fn next_alert(&self, limit: Seconds) -> Option<Seconds> {
        let waits = |one: &&Episode| !one.is_manual && !one.is_told;
        let due = |one: &Episode| one.began.saturating_add(limit).saturating_add(1);
        self.all_open().filter(waits).map(due).min()
    }

    pub fn report(&self, now: Seconds, limit: Seconds, most: usize) -> Vec<Reported> {
        let reported = |episode: &Episode| {
            let seconds = episode.length(now);
            let is_often = match &episode.scope {
                Scope::Upstream(upstream) if !episode.is_manual && most > 0 => {
                    self.lately(upstream, episode.began) > most
                }
                _ => false,
            };
            let is_long = !episode.is_manual && limit > 0 && seconds > limit;
            Reported { episode: episode.clone(), seconds, is_long, is_often }
        };
        self.0.iter().rev().map(reported).collect()
    }
}
