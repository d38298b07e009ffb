//! What all gateposts count together, in the cache that they share.
//!
//! Of each key there are two counters: failures, and failures forgiven. The second is written only by
//! the node that began the first one's window, for as long as that goes on, so that nothing is ever
//! forgiven of a window that comes later.

use super::directives::Settings;
use super::figures::By;
use super::ledger::{Claims, Forgiven};
use super::name::{Net, Of, key};
use super::window::Rule;
use crate::memcached::{Cache, Error};

/// Whom an attempt is by, in the words of the cache's keys.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    pub user: &'a [u8],
    pub address: Net,
    pub network: Net,
}

impl<'a> Whom<'a> {
    pub fn of(&self, by: By) -> Of<'a> {
        match by {
            By::Address => Of::Net(self.address),
            By::Prefix => Of::Net(self.network),
            By::Account => Of::Account(self.user),
            By::Pair => Of::Pair(self.user, self.address),
            _ => Of::User(self.user),
        }
    }
}

/// What the cache says of one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Failures, claim by claim.
    pub counts: [u32; 3],
    pub is_known: bool,
    pub zimbra: u64,
}

/// What is to be asked, all of it at once.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub claims: Option<&'a Claims>,
    /// Whether the user is known at the address.
    pub known: bool,
    /// Zimbra's counter of the user's logins.
    pub zimbra: Option<&'a crate::memcached::Key>,
}

/// Asks for all of it in one round trip; a second one follows only where enough has failed for what
/// has been forgiven to matter.
pub async fn ask(cache: &Cache, whom: &Whom<'_>, ask: &Ask<'_>) -> Result<Seen, Error> {
    let count = async |at: usize| match ask.claims.and_then(|claims| claims[at]) {
        Some(claim) => failed(cache, whom.of(claim.by), &claim.rule).await,
        None => Ok(0),
    };
    let is_known = async {
        match ask.known {
            true => {
                let value = cache.get(&key("known", whom.of(By::Pair))).await?;
                Ok(value.is_some_and(|value| value == b"1"))
            }
            false => Ok(false),
        }
    };
    let zimbra = async {
        match ask.zimbra {
            Some(key) => cache.counted(key).await,
            None => Ok(0),
        }
    };
    let (first, second, third, is_known, zimbra) =
        tokio::join!(count(0), count(1), count(2), is_known, zimbra);
    Ok(Seen { counts: [first?, second?, third?], is_known: is_known?, zimbra: zimbra? })
}

async fn failed(cache: &Cache, of: Of<'_>, rule: &Rule) -> Result<u32, Error> {
    let failed = cache.counted(&key("failed", of)).await?;
    let failed = match failed >= u64::from(rule.free.clamp(1, rule.most)) {
        true => failed.saturating_sub(cache.counted(&key("forgiven", of)).await?),
        false => failed,
    };
    Ok(u32::try_from(failed).unwrap_or(u32::MAX))
}

/// Counts a failure by each of `claims`. Gives the claims whose window has begun with it.
pub async fn tell_failed(cache: &Cache, whom: &Whom<'_>, claims: &Claims) -> [bool; 3] {
    let count = async |at: usize| match claims[at] {
        Some(claim) => {
            let key = key("failed", whom.of(claim.by));
            // Of an error nothing more follows: this node has counted.
            cache.count(&key, 1, claim.rule.window).await.is_ok_and(|count| count == 1)
        }
        None => false,
    };
    let (first, second, third) = tokio::join!(count(0), count(1), count(2));
    [first, second, third]
}

/// Takes back what has been forgiven, and makes a user known.
pub async fn tell_succeeded(
    cache: &Cache,
    whom: &Whom<'_>,
    forgiven: [Option<Forgiven>; 3],
    makes_known: bool,
    settings: &Settings,
) {
    let forgive = async |at: usize| {
        if let Some(Forgiven { by, count, left }) = forgiven[at] {
            // A counter that lives no second longer is not worth one that does.
            let left = std::time::Duration::from_secs(left.as_secs());
            if !left.is_zero() {
                let _ = cache.count(&key("forgiven", whom.of(by)), count.into(), left).await;
            }
        }
    };
    let know = async {
        if makes_known {
            let _ = cache.put(&key("known", whom.of(By::Pair)), b"1", settings.known).await;
        }
    };
    let _ = tokio::join!(forgive(0), forgive(1), forgive(2), know);
}
