//! Asking for the route of a login, and telling the log what came of it.

use tokio::time::Instant;

use super::super::site::{Security, Site};
use super::understand::lack_of_domain;
use super::{Desk, Found, Missed};
use crate::login::Attempt;
use crate::observe::Level;
use crate::observe::escape::Quoted;
use crate::observe::metrics::Phase;
use crate::route::{self, Asker, NotFound, Reason, Route};

impl Desk<'_> {
    pub async fn find(&self, site: &Site, attempt: &Attempt) -> Found {
        let asker = self.asker(site, attempt).await;
        let tell = |error: route::Error| self.tell(&error);
        let began = Instant::now();
        let found = site.router.find(attempt, &asker, &tell).await;
        let took = began.elapsed();
        self.session.line(|line| {
            line.lookup = Some(took);
            line.cache = found.as_ref().ok().map(Route::cache_status);
        });
        if let Ok(route) = &found {
            let group = route.group.as_ref().map(|group| group.name.as_str());
            site.towards(group).counters.took(Phase::Lookup, took);
        }
        let missed = match found {
            Ok(route) => return Ok(route),
            Err(not_found) => self.unfound(not_found),
        };
        if matches!(missed, Missed::Unknown(_))
            && let Some(words) = lack_of_domain(site, attempt, &self.session.local)
        {
            self.session.log(Level::Info, Some("in auth state"), words);
        }
        Err(missed)
    }

    /// The route as it is now, where the one that failed was a kept one; none if it leads to the same
    /// place, or if nobody can say: what is known already is then told to the client.
    pub async fn find_anew(
        &self,
        site: &Site,
        attempt: &Attempt,
        failed: &Route,
        reason: Reason,
    ) -> Option<Route> {
        let asker = self.asker(site, attempt).await;
        let tell = |error: route::Error| self.tell(&error);
        match site.router.find_anew(attempt, &asker, &tell, reason).await {
            Ok(route) => route.leads_elsewhere_than(failed).then_some(route),
            Err(not_found) => {
                self.unfound(not_found);
                None
            }
        }
    }

    pub async fn asker(&self, site: &Site, attempt: &Attempt) -> Asker {
        let session = self.session;
        Asker {
            protocol: site.words.name,
            client: self.client(site, attempt),
            host: Some(self.host(site, attempt).await.into()),
            local: session.local.clone(),
            secure_upstream: matches!(site.towards.security, Security::Implicit(_)),
            attempt: session.line(|line| line.attempts),
            tls: session.security(),
            proxied: session.proxied,
            headers: session.line(|line| site.router.headers(line)),
        }
    }

    fn tell(&self, error: &route::Error) {
        let doing = match error {
            route::Error::Handler(_) => "in http auth state",
            _ => "in auth state",
        };
        self.session.log(error.level(), Some(doing), error);
    }

    fn unfound(&self, not_found: NotFound) -> Missed {
        if let Some(cause) = &not_found.cause {
            self.tell(cause);
        }
        if let Some(text) = &not_found.refusal.text {
            let words = format!("client login failed: \"{}\"", Quoted(text.as_bytes()));
            self.session.log(Level::Info, Some("in http auth state"), words);
        }
        match not_found.unseen {
            true => Missed::Unknown(not_found.refusal),
            false => Missed::Refused(not_found.refusal),
        }
    }
}
