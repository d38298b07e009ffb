//! Metrics whose labels come from the configuration: a counter, gauge or histogram by its [`Name`]
//! and its labels' values. Whoever counts often resolves its own once and keeps it.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::names::{Kind, LABELLED, Name};

/// Label names, as the name's record has them, and values.
type Labels = Vec<(&'static str, Arc<str>)>;

/// 0.1 ms to 3.3 s, doubling.
fn short() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

#[derive(Debug)]
enum Any {
    Counter(Family<Labels, Counter>),
    Gauge(Family<Labels, Gauge>),
    Histogram(Family<Labels, Histogram, fn() -> Histogram>),
}

/// Every metric of [`LABELLED`].
#[derive(Debug)]
pub struct Labelled(HashMap<&'static str, Any>);

impl Labelled {
    pub fn register(registry: &mut Registry) -> Self {
        let mut all = HashMap::new();
        for name in LABELLED {
            let any = match name.kind {
                Kind::Counter => {
                    let family = Family::default();
                    registry.register(name.family(), name.help, Family::clone(&family));
                    Any::Counter(family)
                }
                Kind::Gauge => {
                    let family = Family::default();
                    registry.register(name.family(), name.help, Family::clone(&family));
                    Any::Gauge(family)
                }
                Kind::Histogram => {
                    let family = Family::new_with_constructor(short as fn() -> Histogram);
                    registry.register(name.family(), name.help, Family::clone(&family));
                    Any::Histogram(family)
                }
                Kind::Info => unreachable!("an info has its own record"),
            };
            all.insert(name.name, any);
        }
        Self(all)
    }

    pub fn counter(&self, name: &Name, values: &[&str]) -> Counter {
        match self.0.get(name.name) {
            Some(Any::Counter(family)) => family.get_or_create_owned(&labels(name, values)),
            _ => unreachable!("{} is no counter of the table", name.name),
        }
    }

    pub fn gauge(&self, name: &Name, values: &[&str]) -> Gauge {
        match self.0.get(name.name) {
            Some(Any::Gauge(family)) => family.get_or_create_owned(&labels(name, values)),
            _ => unreachable!("{} is no gauge of the table", name.name),
        }
    }

    pub fn histogram(&self, name: &Name, values: &[&str]) -> Histogram {
        match self.0.get(name.name) {
            Some(Any::Histogram(family)) => family.get_or_create_owned(&labels(name, values)),
            _ => unreachable!("{} is no histogram of the table", name.name),
        }
    }

    /// Nothing has these labels any more: what they named is gone.
    pub fn forget(&self, name: &Name, values: &[&str]) {
        let labels = labels(name, values);
        match self.0.get(name.name) {
            Some(Any::Counter(family)) => drop(family.remove(&labels)),
            Some(Any::Gauge(family)) => drop(family.remove(&labels)),
            Some(Any::Histogram(family)) => drop(family.remove(&labels)),
            None => {}
        }
    }
}

fn labels(name: &Name, values: &[&str]) -> Labels {
    debug_assert_eq!(name.labels.len(), values.len(), "{}", name.name);
    name.labels.iter().copied().zip(values.iter().map(|value| Arc::from(*value))).collect()
}
