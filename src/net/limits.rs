//! How many connections may be held at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::halt::{Halt, halt};

/// Counts what it lets in. Clones share the count.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: AtomicUsize,
    most_by_address: Option<NonZeroU32>,
    now: AtomicUsize,
    /// Empty unless addresses are counted.
    by_address: Mutex<HashMap<IpAddr, u32>>,
}

/// Why the gate stays shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("{0} worker_connections are not enough")]
    Connections(usize),
    #[error("{0} connections from one address")]
    Address(u32),
}

/// A place among the connections; dropped, it is free again.
#[derive(Debug)]
pub struct Permit {
    counts: Arc<Counts>,
    address: Option<IpAddr>,
}

impl Gate {
    /// Lets in `most` connections, and of one address no more than `most_by_address`.
    pub fn new(most: usize, most_by_address: Option<NonZeroU32>) -> Self {
        Self(Arc::new(Counts {
            most: AtomicUsize::new(most),
            most_by_address,
            now: AtomicUsize::new(0),
            by_address: Mutex::default(),
        }))
    }

    /// Lets a connection in; one by unix socket has no address.
    pub fn admit(&self, ip: Option<IpAddr>) -> Result<Permit, Full> {
        let counts = &self.0;
        let most = counts.most.load(Ordering::Relaxed);
        if counts.now.fetch_add(1, Ordering::Relaxed) >= most {
            counts.now.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Connections(most));
        }
        // From here on the permit's drop takes the count back.
        let mut permit = Permit { counts: Arc::clone(counts), address: None };
        if let (Some(most), Some(ip)) = (counts.most_by_address, ip) {
            let address = counted_as(ip);
            let mut by_address = counts.lock();
            let held = by_address.entry(address).or_default();
            if *held >= most.get() {
                drop(by_address);
                return Err(Full::Address(most.get()));
            }
            *held += 1;
            drop(by_address);
            permit.address = Some(address);
        }
        Ok(permit)
    }

    /// Lets in `most` from now on. Who is in stays in.
    pub fn allow(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// How many are in.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.now.load(Ordering::Relaxed)
    }
}

impl Permit {
    /// Hears that this connection has to give way to another, as long as it is idle.
    pub fn summons(&self) -> Halt {
        halt().1
    }

    /// Whether the connection is in the middle of something, and keeps its place whatever happens.
    pub fn keep(&self, _is_busy: bool) {}
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.now.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut by_address = self.counts.lock();
            if let Some(held) = by_address.get_mut(&address) {
                *held -= 1;
                if *held == 0 {
                    by_address.remove(&address);
                }
            }
        }
    }
}

/// An IPv6 customer has a whole /64 to choose from (RFC 6177 §2), so it counts as one.
fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let gate = Gate::new(2, None);
        let first = gate.admit(None).unwrap();
        let _second = gate.admit(None).unwrap();
        assert_eq!(gate.admit(None).unwrap_err(), Full::Connections(2));
        drop(first);
        assert!(gate.admit(None).is_ok());
        assert_eq!(gate.count(), 1);
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let gate = Gate::new(100, NonZeroU32::new(1));
        let admit = |ip: &str| gate.admit(Some(ip.parse().unwrap()));
        let held = admit("192.0.2.1").unwrap();
        assert_eq!(admit("::ffff:192.0.2.1").unwrap_err(), Full::Address(1));
        let _other = admit("2001:db8::1").unwrap();
        assert_eq!(admit("2001:db8::ffff:1").unwrap_err(), Full::Address(1), "the same /64");
        assert!(gate.admit(None).is_ok());
        drop(held);
        let _again = admit("192.0.2.1").unwrap();
        assert_eq!((gate.count(), gate.0.lock().len()), (2, 2));
    }
}
