//! The throttles of logins: asked before anything is looked up, and told how it ended.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::super::site::Site;
use super::understand::owner;
use super::{Desk, Missed};
use crate::login::{self, Attempt, Kind, Mechanism, Refusal};
use crate::throttle::logins::{Entry, RefusedBy, Who};

impl Desk<'_> {
    /// Lets an attempt begin, after the delay that it has earned; or says that it is one too many.
    /// None for who does not log in.
    pub async fn begin(&self, site: &Site, attempt: &Attempt) -> Result<Option<Entry>, Refusal> {
        if attempt.mechanism == Mechanism::Unasked {
            return Ok(None);
        }
        let ip: Option<IpAddr> = self.client(site, attempt).ip();
        // Whose password it is: of a master user, his.
        let user = owner(site, attempt);
        let who = Who { ip, user: &user, protocol: site.words.name };
        let denied = |denied: crate::throttle::logins::Denied| {
            denied.refusal(site.words.name, attempt.mechanism)
        };
        let mut entry = site.logins.before(&who).await.map_err(denied)?;
        if !entry.delay().is_zero() {
            sleep(entry.delay()).await;
        }
        entry.begin();
        Ok(Some(entry))
    }

    /// Takes note of an attempt that has failed, and gives what its client is told, and when.
    ///
    /// Who is not known hears the same as who is known by another password, after the same time.
    pub async fn end(
        &self,
        site: &Site,
        attempt: &Attempt,
        entry: Option<Entry>,
        missed: Missed,
    ) -> Refusal {
        let by = match &missed {
            Missed::Upstream(_) => RefusedBy::Upstream,
            _ => RefusedBy::Us,
        };
        let is_ours = !matches!(missed, Missed::Refused(_));
        let mut refusal = missed.into_refusal();
        // A handler that says "later" has judged nobody.
        let is_for_later = refusal.code.as_deref().is_some_and(|code| code.starts_with('4'));
        let is_failure = match refusal.kind {
            Kind::BadCredentials => by == RefusedBy::Upstream || !is_for_later,
            Kind::Forbidden => by == RefusedBy::Upstream,
            Kind::Unavailable | Kind::Internal | Kind::NeedsTls | Kind::Throttled => false,
        };
        if is_ours && !is_for_later && site.logins.says_ours(refusal.kind) {
            (refusal.text, refusal.code, refusal.bare) = (None, None, false);
            refusal.untagged.clear();
            // Nor whether there was anybody to take the token amiss.
            refusal.sasl = login::bearer::refused(attempt.mechanism);
            // Nor does it tell that a lookup has said so, and wants the client to wait, or to go.
            (refusal.wait, refusal.close) = (Duration::ZERO, false);
        }
        match entry {
            Some(entry) if is_failure => {
                let wait = entry.failed(by).await;
                refusal.wait = refusal.wait.max(wait);
            }
            Some(entry) => entry.unknown(),
            None => {}
        }
        refusal
    }
}
