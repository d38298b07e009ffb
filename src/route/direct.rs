//! Routes for somebody else to take: one address, for a name and no more.

use super::presence::canonical;
use super::{Error, Route, Router};
#[cfg(test)]
use super::{Fleet, Settings};
#[cfg(test)]
use crate::http::Names;
use crate::net::Endpoint;
#[cfg(test)]
use crate::tls::client::Connectors;

/// So many servers whose names have no address are stepped over.
const MOST_TRIES: usize = 6;

impl Router {
    /// One of `settings`, of which nothing needs a certificate.
    #[cfg(test)]
    pub fn of(settings: &Settings, names: &Names, fleet: &Fleet) -> Self {
        Self::new(settings, names, &mut Connectors::default(), fleet).expect("sources that open")
    }

    /// The address that the login of `mailbox` is to be made at by somebody who goes there himself;
    /// `port` where the route has none. None: nobody can be reached now. `tell` hears of names that
    /// have no address.
    ///
    /// Where an upstream is sticky it is where the user's sessions are, or would begin. No place at
    /// the server is taken.
    pub async fn address(
        &self,
        route: &mut Route,
        mailbox: &[u8],
        port: u16,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Option<Endpoint> {
        route.targets.for_others();
        if let Some(group) = route.group.as_ref().filter(|group| group.sticky.is_some()) {
            let (user, candidates) = (canonical(mailbox), group.candidates(port));
            let at = self.fleet.sticky.follow(&group.name, &user, &candidates).await;
            if let Some(index) = at {
                route.targets.prefer(candidates[index].name);
            }
        }
        for _ in 0..MOST_TRIES {
            match route.targets.next(port).await? {
                Ok(target) => return Some(target.endpoint),
                Err(error) => tell(Error::Address(error)),
            }
        }
        None
    }

    /// Whether the logins of `mailbox` are refused for now, by hand.
    pub fn is_in_maintenance(&self, mailbox: &[u8]) -> bool {
        let domain = mailbox.rsplit(|byte| *byte == b'@').next();
        let domain = domain.filter(|domain| domain.len() < mailbox.len());
        let domain = domain.and_then(|domain| std::str::from_utf8(domain).ok());
        self.fleet.maintenance.in_force(domain).is_some()
    }
}
