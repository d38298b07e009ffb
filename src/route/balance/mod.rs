//! Which of several servers is next: nginx's methods, over numbers alone. Pure: chance is an
//! argument, and what is remembered between two choices is in the [`Entrant`]s.
//!
//! **In and out.** Who asks brings one [`Entrant`] for each server that may be chosen now, and gets
//! the place of one of them in that list. What may be chosen (who is down, full or drained) is
//! decided elsewhere.

pub mod hash;
mod ring;

use std::sync::Arc;

pub use ring::{MOST_WEIGHT, Ring};

/// One unit of weight, as it is counted here: slow start needs less than one.
pub const UNIT: i64 = 1000;

/// A server that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Its place among all servers of the group.
    pub index: usize,
    /// In [`UNIT`]s: its written weight, or less while it recovers.
    pub weight: i64,
    /// What the smooth round robin remembers of it.
    pub current: i64,
    /// How many connections it has.
    pub conns: usize,
}

/// How the next server is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By turns, smoothly: five, one and one make `aabacaa`, not `aaaaabc`.
    #[default]
    RoundRobin,
    /// The fewest connections for its weight; among equals, by turns.
    LeastConn,
    /// One at random; with `two`, the one of two that has fewer connections for its weight.
    Random { two: bool },
    /// By what the hash of a key meets first; none: by the remainder of a division.
    Hash(Option<Arc<Ring>>),
    /// By the client's network.
    IpHash,
}

impl Method {
    /// Whether it can tell one server that is left for the others' sake (`backup`), and one that
    /// recovers (`slow_start`): as in nginx.
    pub fn knows_backup(&self) -> bool {
        matches!(self, Self::RoundRobin | Self::LeastConn)
    }
}

/// nginx's smooth weighted round robin: who has waited longest for its weight.
pub fn round_robin(entrants: &mut [Entrant]) -> Option<usize> {
    let mut total = 0_i64;
    let mut best: Option<usize> = None;
    for at in 0..entrants.len() {
        let entrant = &mut entrants[at];
        entrant.current = entrant.current.saturating_add(entrant.weight);
        total = total.saturating_add(entrant.weight);
        if best.is_none_or(|best| entrants[at].current > entrants[best].current) {
            best = Some(at);
        }
    }
    let best = best?;
    entrants[best].current = entrants[best].current.saturating_sub(total);
    Some(best)
}

/// The fewest connections for its weight; among equals, by turns.
pub fn least_conn(entrants: &mut [Entrant]) -> Option<usize> {
    let least = *entrants.iter().min_by(|a, b| load(a, b))?;
    let is_least = |one: &Entrant| load(one, &least).is_eq();
    let mut equals: Vec<_> = entrants.iter().filter(|one| is_least(one)).copied().collect();
    let at = round_robin(&mut equals)?;
    let chosen = equals[at].index;
    for equal in equals {
        if let Some(own) = entrants.iter_mut().find(|own| own.index == equal.index) {
            *own = equal;
        }
    }
    entrants.iter().position(|entrant| entrant.index == chosen)
}

/// One at random by weight. `chance` gives any number below the one it is given.
pub fn random(
    entrants: &[Entrant],
    two: bool,
    chance: &mut dyn FnMut(u64) -> u64,
) -> Option<usize> {
    let first = pick(entrants, None, chance)?;
    if !two || entrants.len() == 1 {
        return Some(first);
    }
    let second = pick(entrants, Some(first), chance)?;
    let is_lighter = load(&entrants[second], &entrants[first]).is_lt();
    Some(if is_lighter { second } else { first })
}

fn pick(
    entrants: &[Entrant],
    but: Option<usize>,
    chance: &mut dyn FnMut(u64) -> u64,
) -> Option<usize> {
    let weight = |at: usize| entrants[at].weight.max(1).unsigned_abs();
    let places = || (0..entrants.len()).filter(|at| Some(*at) != but);
    let total: u64 = places().map(weight).sum();
    let mut drawn = (total > 0).then(|| chance(total).min(total - 1))?;
    for at in places() {
        match drawn.checked_sub(weight(at)) {
            Some(rest) => drawn = rest,
            None => return Some(at),
        }
    }
    None
}

/// Connections for their weight, compared without a division.
fn load(a: &Entrant, b: &Entrant) -> std::cmp::Ordering {
    let weighed =
        |conns: usize, weight: i64| conns as u128 * u128::from(weight.max(1).unsigned_abs());
    weighed(a.conns, b.weight).cmp(&weighed(b.conns, a.weight))
}

#[cfg(test)]
mod tests;
