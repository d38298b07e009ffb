//! Who is not on duty, across the nodes of a fleet: a sheet in the cache that every node reads at its
//! start, when orders may have been missed, and once a minute.
//!
//! What a node knows better it writes back. So a node that was cut off while a server was drained
//! learns it, and a cache that was lost has all of it again within a minute.

use std::time::Duration;

use super::Servers;
use super::servers::Duty;
use super::sheet::{Ordered, Sheet, Taken};
use crate::memcached::{Error, Key};
use crate::net::halt::Halt;
use crate::observe::Level;
use crate::route::order::Order;

/// How long the cache keeps it: nodes write it back when it has gone.
const TTL: Duration = Duration::from_secs(30 * 86_400);

/// How often it is read.
const PERIOD: Duration = Duration::from_secs(60);

/// How often it is tried to be written while others write it, too.
const TRIES: usize = 4;

fn key() -> Key {
    Key::of("drains", &[])
}

impl Servers {
    /// Learns what the fleet knows of servers that are not on duty, and tells it what it does not know.
    /// What has changed here is given to `obey`, as the orders that would have done it.
    ///
    /// # Errors
    /// If the cache cannot be read, or not be written.
    pub async fn share(&self, obey: impl Fn(&Order) + Sync) -> Result<(), Error> {
        for _ in 0..TRIES {
            let found = self.cache().get(&key()).await?;
            let shared = found.as_deref().and_then(Sheet::read).unwrap_or_default();
            let (own, orders) = self.merge(&shared);
            orders.iter().for_each(&obey);
            if own == shared {
                return Ok(());
            }
            let bytes = own.to_bytes();
            let is_done = match found {
                Some(old) => self.cache().swap(&key(), &old, &bytes, TTL).await?,
                None => self.cache().add(&key(), &bytes, TTL).await?,
            };
            if is_done {
                return Ok(());
            }
        }
        // Others write all the time, and what they write we read in a minute.
        Ok(())
    }

    /// Goes on sharing until `stop`.
    pub async fn run<T: Copy>(&self, mut stop: Halt<T>, obey: impl Fn(&Order) + Sync) {
        loop {
            match self.share(&obey).await {
                // Who has no cache is the fleet; who has one that is down hears so already.
                Ok(()) | Err(Error::Off | Error::Down(_) | Error::Silent(_)) => {}
                Err(error) => {
                    let words = format_args!("what servers are drained cannot be shared: {error}");
                    self.voice().say(Level::Warn, words);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = self.wait_for_doubt() => {}
                _ = stop.heard() => return,
            }
        }
    }

    /// Does what a node of the fleet has ordered, if it is about servers, and nothing newer is known.
    pub fn obey(&self, order: &Order) -> Option<Taken> {
        let Order::Drain { upstream, server, is_on, end, stamp } = order else { return None };
        let duty = match (is_on, end) {
            (false, _) => Duty::Active,
            (true, false) => Duty::Drained,
            (true, true) => Duty::Removed,
        };
        // An earlier version gives no stamp: it is an order of now.
        let one = stamp.map(|stamp| Ordered { stamp, duty });
        Some(self.hear(upstream, server, duty, one))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::sleep;

    use super::*;
    use crate::config::Block;
    use crate::memcached::Cache;
    use crate::net::halt::halt;
    use crate::observe::{Metrics, tasks};
    use crate::route::Fleet;
    use crate::route::group::{Group, Limits};

    const SECOND: Duration = Duration::from_secs(1);

    fn node(cache: &Cache) -> Fleet {
        let fleet = Fleet::new(cache.clone(), Metrics::new());
        let block = Block::parse("upstream stores { server 192.0.2.1; server 192.0.2.2; }");
        Group::read(block.blocks("upstream")[0], &Limits::default()).join(&fleet.servers);
        fleet
    }

    fn drained(fleet: &Fleet) -> Vec<String> {
        fleet.servers.drained().into_iter().map(|(_, server, _)| server).collect()
    }

    async fn share(fleet: &Fleet) {
        fleet.servers.share(|_| ()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_drains_another_learns_and_a_lost_cache_gets_it_back() {
        let cache = Cache::memory();
        let [one, two] = [node(&cache), node(&cache)];
        one.servers.drain("stores", "192.0.2.1", true).unwrap();
        share(&one).await;
        share(&two).await;
        assert_eq!(drained(&two), ["192.0.2.1"]);
        let status = two.servers.status();
        assert!(status.iter().any(|one| one.server == "192.0.2.1" && one.duty == Duty::Drained));

        cache.delete(&key()).await.unwrap();
        share(&two).await;
        let three = node(&cache);
        share(&three).await;
        assert_eq!(drained(&three), ["192.0.2.1"]);

        // It is taken back while one is away, who has it still and would write it again.
        three.servers.drain("stores", "192.0.2.1", false).unwrap();
        share(&three).await;
        for fleet in [&one, &two, &three] {
            share(fleet).await;
            assert!(drained(fleet).is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_was_not_heard_is_read_when_in_doubt_and_once_a_minute() {
        let cache = Cache::memory();
        let [one, two] = [node(&cache), node(&cache)];
        let (_trigger, stop) = halt::<()>();
        let obeyed = std::sync::Arc::new(Mutex::new(Vec::new()));
        let (own, heard) = (two.servers.clone(), std::sync::Arc::clone(&obeyed));
        tasks::spawn("drains", async move {
            own.run(stop, |order| heard.lock().unwrap().push(order.clone())).await;
        });
        sleep(SECOND).await;
        one.servers.drain("stores", "192.0.2.1", true).unwrap();
        share(&one).await;
        sleep(SECOND).await;
        assert!(drained(&two).is_empty(), "nobody has told it");
        sleep(PERIOD).await;
        assert_eq!(drained(&two), ["192.0.2.1"]);

        one.servers.set_duty("stores", "192.0.2.2", Duty::Removed).unwrap();
        share(&one).await;
        two.servers.missed();
        sleep(SECOND).await;
        assert_eq!(drained(&two), ["192.0.2.1", "192.0.2.2"]);
        let obeyed = obeyed.lock().unwrap();
        assert!(
            matches!(
                &obeyed[..],
                [Order::Drain { end: false, .. }, Order::Drain { end: true, .. },]
            ),
            "the sessions of a removed server are ended: {obeyed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_drained_is_written_when_the_cache_is_back() {
        let cache = Cache::memory();
        let [one, two] = [node(&cache), node(&cache)];
        cache.break_for_tests(true);
        one.servers.drain("stores", "192.0.2.1", true).unwrap();
        assert!(one.servers.share(|_| ()).await.is_err());
        cache.break_for_tests(false);
        share(&one).await;
        share(&two).await;
        assert_eq!(drained(&two), ["192.0.2.1"]);
    }
}
