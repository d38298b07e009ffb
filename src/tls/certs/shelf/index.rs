//! Whose certificate is it? By name, by wildcard, by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Entry;

/// Those that serve, for each name the one first that lives longest.
#[derive(Debug, Default)]
pub struct Index {
    all: Vec<Arc<Entry>>,
    exact: HashMap<Box<str>, Vec<Arc<Entry>>>,
    /// By what stands behind the `*.`.
    wildcard: HashMap<Box<str>, Vec<Arc<Entry>>>,
    address: HashMap<IpAddr, Vec<Arc<Entry>>>,
}

impl Index {
    pub fn of(all: Vec<Arc<Entry>>) -> Self {
        let mut index = Self::default();
        let mut by_life: Vec<_> = all.iter().filter_map(|one| Some((one.facts()?, one))).collect();
        by_life.sort_by(|(a, one), (b, other)| {
            b.not_after.cmp(&a.not_after).then_with(|| one.certificate().cmp(other.certificate()))
        });
        for (facts, entry) in by_life {
            for name in &facts.names {
                let list = match name.strip_prefix("*.") {
                    Some(rest) => index.wildcard.entry(rest.into()),
                    None => index.exact.entry(name.clone()),
                };
                list.or_default().push(Arc::clone(entry));
            }
            for ip in &facts.addresses {
                index.address.entry(*ip).or_default().push(Arc::clone(entry));
            }
        }
        index.all = all;
        index
    }

    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.all
    }

    pub fn exact(&self, name: &str) -> &[Arc<Entry>] {
        self.exact.get(name.strip_suffix('.').unwrap_or(name)).map_or(&[], Vec::as_slice)
    }

    /// RFC 6125 §6.4.3: the wildcard stands for one whole label, the first.
    pub fn wildcard(&self, name: &str) -> &[Arc<Entry>] {
        let name = name.strip_suffix('.').unwrap_or(name);
        let rest = name.split_once('.').filter(|(label, _)| !label.is_empty());
        rest.and_then(|(_, rest)| self.wildcard.get(rest)).map_or(&[], Vec::as_slice)
    }

    pub fn address(&self, ip: IpAddr) -> &[Arc<Entry>] {
        self.address.get(&ip.to_canonical()).map_or(&[], Vec::as_slice)
    }
}
