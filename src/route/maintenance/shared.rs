//! What was ordered by hand, across the nodes of a fleet: an entry in the cache, and an order on the
//! bus to read it afresh.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notice::{Order, check_text};
use super::{Fault, MOST, Maintenance, Reach, Scope};
use crate::memcached::{Error, Key};
use crate::net::halt::Halt;
use crate::observe::Level;
use crate::route::order;
use crate::route::state::clock::Seconds;

/// How long the cache keeps it; a node that starts later has what it kept itself.
const TTL: Duration = Duration::from_secs(30 * 86_400);
/// How often a change is tried again that another node's change came before.
const TRIES: usize = 4;
/// How long to sleep where nothing is to come.
const IDLE: Duration = Duration::from_secs(3600);

/// All orders, and how new they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    pub revision: u64,
    pub orders: BTreeMap<Scope, Order>,
}

/// As it is written: a map's keys must be texts in JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    revision: u64,
    orders: Vec<(Scope, Order)>,
}

impl Serialize for Sheet {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let orders = self.orders.iter().map(|(scope, order)| (scope.clone(), order.clone()));
        Written { revision: self.revision, orders: orders.collect() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Sheet {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(from)?;
        Ok(Self { revision: written.revision, orders: written.orders.into_iter().collect() })
    }
}

impl Sheet {
    /// What can be used of what was read: it may have been written by anybody.
    pub fn sound(mut self) -> Self {
        self.orders.retain(|scope, order| {
            let is_plain = |text: &str| text.len() <= 255 && !text.chars().any(char::is_control);
            let scope_is_ours = match scope {
                Scope::All => true,
                Scope::Domain(domain) => is_domain(domain),
                Scope::Upstream(_) => false,
            };
            let is_text = |text: &str| check_text(text).is_ok();
            scope_is_ours && is_plain(&order.by) && order.text.as_deref().is_none_or(is_text)
        });
        while self.orders.len() > MOST {
            self.orders.pop_last();
        }
        self
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().map(Self::sound)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a sheet is plain data")
    }
}

fn is_domain(text: &str) -> bool {
    let is_letter =
        |byte: u8| !byte.is_ascii_control() && !byte.is_ascii_uppercase() && byte != b'@';
    (1..=253).contains(&text.len()) && text.bytes().all(|byte| is_letter(byte) && byte != b' ')
}

fn key() -> Key {
    Key::of("maintenance", &[])
}

impl Maintenance {
    /// Puts a maintenance on, or changes the one that is. `by`: who wants it, for the log. Durable
    /// once [`Store::flush`](crate::route::state::Store::flush) has returned.
    pub async fn on(
        &self,
        scope: Scope,
        text: Option<String>,
        until: Option<Seconds>,
        by: &str,
    ) -> Result<Reach, Fault> {
        if let Some(text) = &text {
            check_text(text).map_err(Fault::Text)?;
        }
        let scope = match scope {
            Scope::Domain(domain) => {
                let domain = domain.to_lowercase();
                if !is_domain(&domain) {
                    return Err(Fault::Domain(domain));
                }
                Scope::Domain(domain)
            }
            Scope::All => Scope::All,
            Scope::Upstream(upstream) => return Err(Fault::Domain(upstream)),
        };
        let now = self.0.clock.now();
        if until.is_some_and(|until| until <= now) {
            return Err(Fault::Past);
        }
        if self.lock().sheet.orders.len() >= MOST {
            return Err(Fault::TooMany);
        }
        let by: String = by.chars().filter(|letter| !letter.is_control()).take(60).collect();
        Ok(self
            .change(&|sheet| {
                let since = sheet.orders.get(&scope).map_or(now, |order| order.since);
                let order = Order { text: text.clone(), since, until, by: by.clone() };
                sheet.orders.insert(scope.clone(), order);
            })
            .await)
    }

    /// Ends a maintenance that was put on by hand; says whether there was one.
    pub async fn off(&self, scope: &Scope) -> (bool, Reach) {
        let was_on = self.lock().sheet.orders.contains_key(scope);
        let reach = self.change(&|sheet| drop(sheet.orders.remove(scope))).await;
        (was_on, reach)
    }

    /// Changes the orders of the fleet, and ours.
    async fn change(&self, edit: &(dyn Fn(&mut Sheet) + Send + Sync)) -> Reach {
        let mut trouble = None;
        if self.0.cache.is_on() {
            for _ in 0..TRIES {
                match self.change_shared(edit).await {
                    Ok(Some(sheet)) => {
                        self.turn_to(&mut self.lock(), sheet);
                        let said = self.0.bus.say(&order::Order::Maintenance.to_bytes()).await;
                        return match said {
                            Ok(()) => Reach::Fleet,
                            Err(error) => Reach::HereOnly(error.to_string()),
                        };
                    }
                    Ok(None) => trouble = Some("others change it at the same time".to_owned()),
                    Err(error) => {
                        trouble = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        let mut state = self.lock();
        let sheet = edited(&state.sheet, edit);
        self.turn_to(&mut state, sheet);
        trouble.map_or(Reach::Here, Reach::HereOnly)
    }

    /// None: another node has changed it in between.
    async fn change_shared(
        &self,
        edit: &(dyn Fn(&mut Sheet) + Send + Sync),
    ) -> Result<Option<Sheet>, Error> {
        let own = self.lock().sheet.clone();
        let old = self.0.cache.get(&key()).await?;
        let known =
            old.as_deref().and_then(Sheet::read).filter(|sheet| sheet.revision > own.revision);
        let sheet = edited(&known.unwrap_or(own), edit);
        let bytes = sheet.to_bytes();
        let is_done = match old {
            Some(old) => self.0.cache.swap(&key(), &old, &bytes, TTL).await?,
            None => self.0.cache.add(&key(), &bytes, TTL).await?,
        };
        Ok(is_done.then_some(sheet))
    }

    /// Reads afresh what the fleet has ordered; what is older than ours is set right.
    pub async fn reload(&self) {
        if !self.0.cache.is_on() {
            return;
        }
        let found = match self.0.cache.get(&key()).await {
            Ok(found) => found,
            Err(error) => {
                let words = format_args!("what maintenance is on cannot be read: {error}");
                self.0.voice.say(Level::Warn, words);
                return;
            }
        };
        let shared = found.as_deref().and_then(Sheet::read);
        let own = self.lock().sheet.clone();
        let revision = shared.as_ref().map_or(0, |sheet| sheet.revision);
        if revision > own.revision {
            if let Some(sheet) = shared {
                self.turn_to(&mut self.lock(), sheet);
            }
        } else if revision < own.revision {
            // The cache was lost, or has missed what we were told. A failure is told by the next.
            let _ = match &found {
                Some(old) => self.0.cache.swap(&key(), old, &own.to_bytes(), TTL).await,
                None => self.0.cache.add(&key(), &own.to_bytes(), TTL).await,
            };
        }
    }

    /// Ends what has an end, tells what lasts too long, and hears what the fleet orders, until
    /// `stop`.
    pub async fn run<T: Copy>(&self, mut stop: Halt<T>) {
        let mut heard = self.0.bus.listen();
        let mut is_deaf = false;
        self.reload().await;
        loop {
            let wait = match self.look() {
                Some(at) => Duration::from_secs(at.saturating_sub(self.0.clock.now())),
                None => IDLE,
            };
            tokio::select! {
                () = tokio::time::sleep(wait.min(IDLE)) => {}
                () = self.0.changed.notified() => {}
                word = heard.next(), if !is_deaf => match word {
                    Some(word) => if concerns_us(&word) {
                        self.reload().await;
                    },
                    None => is_deaf = true,
                },
                _ = stop.heard() => return,
            }
        }
    }
}

fn concerns_us(heard: &crate::memcached::bus::Heard) -> bool {
    use crate::memcached::bus::Heard;
    match heard {
        Heard::Said(word) | Heard::Late(word) => {
            order::Order::read(word) == Some(order::Order::Maintenance)
        }
        Heard::Missed => true,
    }
}

fn edited(sheet: &Sheet, edit: &(dyn Fn(&mut Sheet) + Send + Sync)) -> Sheet {
    let mut sheet = sheet.clone();
    edit(&mut sheet);
    sheet.revision = sheet.revision.saturating_add(1);
    sheet
}
