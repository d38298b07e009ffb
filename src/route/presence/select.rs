//! Sessions as an administrator asks for them: some of them, by number, or what they carry in all.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::entry::Entry;
use super::{Presence, Seen, lock};
use crate::config::Cidr;

/// Which sessions: every part that is given must match.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// [`canonical`](super::canonical), as all names here.
    pub user: Option<String>,
    pub domain: Option<String>,
    pub client: Option<Cidr>,
    pub protocol: Option<String>,
    pub upstream: Option<String>,
    pub server: Option<String>,
}

/// Bytes from clients and to them. A session of now counts as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Of sessions that go on.
    pub protocols: BTreeMap<&'static str, (u64, u64)>,
    /// Of all sessions since the start.
    pub upstreams: BTreeMap<Arc<str>, OfUpstream>,
    /// Of sessions that go on: who carries most.
    pub users: Vec<OfUser>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfUpstream {
    pub logins: u64,
    pub received: u64,
    pub sent: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfUser {
    pub user: Arc<str>,
    pub sessions: u64,
    pub received: u64,
    pub sent: u64,
}

impl Filter {
    fn lets(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, has: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == has)
        };
        let place = &entry.place;
        is(&self.user, &entry.user)
            && is(&self.protocol, place.protocol)
            && is(&self.upstream, &place.upstream)
            && is(&self.server, &place.server)
            && self.domain.as_deref().is_none_or(|domain| {
                entry.user.rsplit_once('@').is_some_and(|(_, own)| own == domain)
            })
            && self
                .client
                .as_ref()
                .is_none_or(|net| entry.client().is_some_and(|ip| net.contains(ip)))
    }
}

impl Presence {
    /// At most `most` of the sessions that `filter` lets through, by number, with higher numbers than
    /// `after`; and how many it lets through in all. Looks at every session.
    pub fn select(&self, filter: &Filter, after: u64, most: usize) -> (Vec<Seen>, u64) {
        let (mut numbers, mut total) = (BinaryHeap::new(), 0);
        let mut chosen = BTreeMap::new();
        for shard in &self.0.shards {
            for held in lock(shard).iter().filter(|held| filter.lets(&held.0)) {
                total += 1;
                let is_near =
                    numbers.len() < most || numbers.peek().is_some_and(|last| held.0.id < *last);
                if held.0.id <= after || most == 0 || !is_near {
                    continue;
                }
                if numbers.len() == most
                    && let Some(last) = numbers.pop()
                {
                    chosen.remove(&last);
                }
                numbers.push(held.0.id);
                chosen.insert(held.0.id, Arc::clone(&held.0));
            }
        }
        (chosen.into_values().map(|entry| entry.seen()).collect(), total)
    }

    /// What was carried, and the `most` users who carry most. Looks at every session.
    pub fn carried(&self, most: usize) -> Carried {
        let mut all = Carried::default();
        let add = |sum: &mut (u64, u64), (up, down): (u64, u64)| {
            *sum = (sum.0.saturating_add(up), sum.1.saturating_add(down));
        };
        all.upstreams.extend(self.0.places.ended());
        for shard in &self.0.shards {
            // In the order of users.
            let mut users: Vec<OfUser> = Vec::new();
            for held in lock(shard).iter() {
                let (entry, (up, down)) = (&held.0, held.0.bytes());
                add(all.protocols.entry(entry.place.protocol).or_default(), (up, down));
                if let Some(upstream) = all.upstreams.get_mut(&entry.place.upstream) {
                    upstream.received = upstream.received.saturating_add(up);
                    upstream.sent = upstream.sent.saturating_add(down);
                }
                match users.last_mut() {
                    _ if entry.user.is_empty() => {}
                    Some(last) if last.user == entry.user => {
                        last.sessions += 1;
                        last.received += up;
                        last.sent += down;
                    }
                    _ => {
                        let user = Arc::clone(&entry.user);
                        users.push(OfUser { user, sessions: 1, received: up, sent: down });
                    }
                }
            }
            all.users.append(&mut users);
            let rank = |one: &OfUser| std::cmp::Reverse((one.received + one.sent, one.sessions));
            all.users.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.user.cmp(&b.user)));
            all.users.truncate(most);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::UNIX_EPOCH;

    use super::super::{Session, Stay};
    use super::*;
    use crate::config::value::cidr;
    use crate::net::Endpoint;

    fn enter(
        all: &Presence,
        id: u64,
        user: &str,
        (protocol, upstream): (&'static str, &str),
    ) -> Stay {
        let ends = [format!("192.0.2.{id}:4711"), "10.0.0.1:143".to_owned()]
            .map(|text| Endpoint::from(text.parse::<SocketAddr>().unwrap()));
        all.enter(Session {
            id,
            user,
            protocol,
            tls: None,
            site: "mail",
            client: &ends[0],
            upstream,
            server: "a",
            address: &ends[1],
            since: UNIX_EPOCH,
        })
    }

    #[test]
    fn sessions_are_chosen_by_what_is_asked_and_come_by_number() {
        let all = Presence::new();
        let _stays = [
            enter(&all, 5, "z@a.example", ("imap", "stores")),
            enter(&all, 3, "y@b.example", ("pop3", "stores")),
            enter(&all, 9, "z@a.example", ("pop3", "")),
            enter(&all, 1, "x@a.example", ("imap", "other")),
        ];
        let text = |text: &str| Some(text.to_owned());
        for (filter, want) in [
            (Filter::default(), &[1, 3, 5, 9][..]),
            (Filter { user: text("z@a.example"), ..Filter::default() }, &[5, 9]),
            (Filter { domain: text("a.example"), ..Filter::default() }, &[1, 5, 9]),
            (Filter { client: cidr("192.0.2.0/30"), ..Filter::default() }, &[1, 3]),
            (Filter { protocol: text("pop3"), ..Filter::default() }, &[3, 9]),
            (Filter { upstream: text("stores"), ..Filter::default() }, &[3, 5]),
            (Filter { server: text("b"), ..Filter::default() }, &[]),
        ] {
            let (found, total) = all.select(&filter, 0, 100);
            let numbers: Vec<_> = found.iter().map(|seen| seen.id).collect();
            assert_eq!((&*numbers, total), (want, want.len() as u64), "{filter:?}");
        }
        let page = |after, most| {
            let (found, total) = all.select(&Filter::default(), after, most);
            assert_eq!(total, 4);
            found.iter().map(|seen| seen.id).collect::<Vec<_>>()
        };
        assert_eq!((page(0, 2), page(3, 2), page(9, 2)), (vec![1, 3], vec![5, 9], vec![]));
        assert!(page(0, 0).is_empty());
    }

    #[test]
    fn what_is_carried_counts_while_it_goes_on_and_after() {
        let all = Presence::new();
        let one = enter(&all, 1, "a", ("imap", "stores"));
        let two = enter(&all, 2, "b", ("pop3", "stores"));
        one.leash().carried(10, 100);
        two.leash().carried(1, 500);
        let seen = all.carried(1);
        let whole = OfUpstream { logins: 2, received: 11, sent: 600 };
        assert_eq!(seen.upstreams["stores"], whole);
        assert_eq!(seen.protocols["imap"], (10, 100));
        assert_eq!(seen.users.len(), 1);
        assert_eq!((&*seen.users[0].user, seen.users[0].sent), ("b", 500));
        assert_eq!(all.of("a")[0].received, 10);
        drop(two);
        let seen = all.carried(9);
        assert_eq!((seen.upstreams["stores"], seen.users.len()), (whole, 1));
        assert_eq!(seen.protocols.get("pop3"), None);
    }
}
