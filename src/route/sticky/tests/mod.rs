//! Several gateposts on one cache, on paused time.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::super::order::Order;
use super::super::presence::{Session, Stay};
use super::orders::{Leased, NoSuchServer};
use super::*;
use crate::memcached::bus::Heard;
use crate::net::Endpoint;
use crate::net::halt::{Trigger, halt};
use crate::observe::tasks;

mod apart;
mod strangers;
mod together;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(120);
const MAIL: &str = "stores";

/// One gatepost.
struct Node {
    sticky: Sticky,
    presence: Presence,
    metrics: Metrics,
    /// What this one thinks of the servers.
    servers: Vec<(&'static str, Stand)>,
    sessions: Vec<(u64, String, String, Stay)>,
    number: u64,
    _stop: Trigger,
}

/// A fleet of so many, on one cache. `run`: its leases are renewed, and orders obeyed.
fn fleet<const N: usize>(cache: &Cache, is_running: bool) -> [Node; N] {
    let bus = Bus::new(cache.clone());
    [(); N].map(|()| Node::new(cache, &bus, is_running))
}

impl Node {
    fn new(cache: &Cache, bus: &Bus, is_running: bool) -> Self {
        let (presence, metrics) = (Presence::new(), Metrics::new());
        let sticky = Sticky::new(cache.clone(), bus.clone(), metrics.clone(), presence.clone());
        let (stop, halt) = halt();
        let servers = ["a", "b", "c"].map(|name| (name, Stand::Open)).to_vec();
        let node =
            Self { sticky, presence, metrics, servers, sessions: vec![], number: 0, _stop: stop };
        node.configure(&["a", "b", "c"]);
        if is_running {
            let (sticky, mut words) = (node.sticky.clone(), bus.listen());
            tasks::spawn("orders", async move {
                while let Some(heard) = words.next().await {
                    match heard {
                        Heard::Said(word) => {
                            if let Some(order) = Order::read(&word) {
                                sticky.obey(&order);
                            }
                        }
                        Heard::Late(_) | Heard::Missed => sticky.missed(),
                    }
                }
            });
            let sticky = node.sticky.clone();
            tasks::spawn("leases", async move { sticky.run(halt).await });
        }
        node
    }

    fn configure(&self, servers: &[&str]) {
        let described = |name: &str, settings| Described {
            name: name.into(),
            settings,
            servers: servers.iter().map(|name| (Arc::from(*name), 1)).collect(),
        };
        let sticky = Some(Settings { lease: LEASE });
        let loose = Described { servers: vec![("x".into(), 1)], ..described("loose", None) };
        self.sticky.adopt([described(MAIL, sticky), loose]);
    }

    fn is(&mut self, server: &str, stand: Stand) {
        for one in &mut self.servers {
            if one.0 == server {
                one.1 = stand;
            }
        }
    }

    async fn place(&self, user: &str) -> Option<(&'static str, How)> {
        let placed = self.placed(user).await?;
        Some((self.servers[placed.index].0, placed.how))
    }

    async fn placed(&self, user: &str) -> Option<Placed> {
        let all: Vec<_> = self
            .servers
            .iter()
            .map(|(name, stand)| Candidate { name, weight: 1, stand: *stand })
            .collect();
        self.sticky.place(MAIL, user, &all).await
    }

    /// A login from its placing to its session; says where it went, and why there.
    async fn log_in(&mut self, user: &str) -> (&'static str, How) {
        let placed = self.placed(user).await.unwrap();
        self.let_in(user, &placed).await;
        (self.servers[placed.index].0, placed.how)
    }

    /// The server where the user was placed takes the password.
    async fn let_in(&mut self, user: &str, placed: &Placed) {
        let server = self.servers[placed.index].0;
        self.sticky.settle(MAIL, user, server, Some(placed)).await;
        self.enter(user, server);
    }

    fn enter(&mut self, user: &str, server: &str) {
        let end: Endpoint = "192.0.2.1:1".parse::<SocketAddr>().unwrap().into();
        self.number += 1;
        let stay = self.presence.enter(Session {
            id: self.number,
            user,
            protocol: "imap",
            tls: None,
            site: "mail.example",
            client: &end,
            upstream: MAIL,
            server,
            address: &end,
            since: SystemTime::UNIX_EPOCH,
        });
        self.sessions.push((self.number, user.to_owned(), server.to_owned(), stay));
    }

    fn log_off(&mut self, user: &str) {
        self.sessions.retain(|(_, name, ..)| name != user);
    }

    /// Who was told to end does; says how many that were.
    fn end_the_kicked(&mut self) -> usize {
        let before = self.sessions.len();
        self.sessions.retain(|(.., stay)| stay.kick().is_none());
        before - self.sessions.len()
    }

    fn servers_of(&self, user: &str) -> Vec<&str> {
        let of_user = self.sessions.iter().filter(|(_, name, ..)| name == user);
        of_user.map(|(_, _, server, _)| server.as_str()).collect()
    }
}

async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A user whose first guess is this one of a, b and c.
fn user_at(server: &str) -> String {
    let names = ["a", "b", "c"];
    let all = || names.iter().map(|name| (*name, 1));
    (0..)
        .map(|n| format!("user{n}@example.com"))
        .find(|user| names[first_guess(user, all()).unwrap()] == server)
        .unwrap()
}
