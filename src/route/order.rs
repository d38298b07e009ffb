//! What one gatepost orders all of its fleet to do.
//!
//! A node that was cut off, or has just started, may hear an order late, from before it was there
//! ([`Heard::Late`](crate::memcached::bus::Heard)). What each is worth then:
//!
//! | order | late |
//! |---|---|
//! | `ForgetAll`, `ForgetDomain`, `ForgetUser` | is obeyed: to forget twice costs a question |
//! | `Kick` | is not: who has a session here has logged in since |
//! | `Drain` | is, if nothing newer is known of that server, by its stamp |
//! | `Maintenance` | is: what is on is read afresh |

use serde::{Deserialize, Serialize};

/// An order, as it goes over the bus. Names of users are as they are looked up: lower case, with
/// their domain if they have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Order {
    /// Forget every route that is kept in the process.
    ForgetAll,
    ForgetDomain {
        domain: String,
    },
    ForgetUser {
        user: String,
    },
    /// End the sessions of a user, with the protocol's goodbye.
    Kick {
        user: String,
    },
    /// A server of an upstream takes no new sessions, or does again. `end`: those it has are ended.
    Drain {
        upstream: String,
        server: String,
        is_on: bool,
        end: bool,
        /// When it was given, in seconds since 1970; a newer one counts for more. None from an earlier
        /// version.
        #[serde(default)]
        stamp: Option<u64>,
    },
    /// Maintenance by hand began or ended, for a domain or for all: read it afresh.
    Maintenance,
}

impl Order {
    /// As the bus carries it.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an order is plain data")
    }

    /// None for what a newer gatepost may have said.
    pub fn read(word: &[u8]) -> Option<Self> {
        serde_json::from_slice(word).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_way_and_an_unknown_one_is_passed_over() {
        let order = Order::Kick { user: "mrose@example.com".into() };
        assert_eq!(Order::read(&order.to_bytes()), Some(order));
        assert_eq!(Order::read(br#"{"order":"dance"}"#), None);
        let plain = br#"{"order":"drain","upstream":"u","server":"s","is_on":true,"end":false}"#;
        let (upstream, server) = ("u".into(), "s".into());
        let drain = Order::Drain { upstream, server, is_on: true, end: false, stamp: None };
        assert_eq!(Order::read(plain), Some(drain), "an earlier version says no time");
        assert_eq!(Order::read(b"\xff\x00"), None);
    }
}
