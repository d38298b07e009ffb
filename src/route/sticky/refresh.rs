//! Renewing leases: every gatepost says again where its users are, and ends the sessions of those
//! who are somewhere else by now.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::super::presence::Lives;
use super::{Settings, Sticky, lease};
use crate::memcached::Error;
use crate::net::halt::Halt;

/// How many users are looked at together, and how many questions are under way at once.
const CHUNK: usize = 64;
const LANES: usize = 4;

/// The least time for one of them: 5,000 users in a second, however many there are.
const LEAST: Duration = Duration::from_micros(200);

/// While nothing is sticky, how often that is looked at again.
const NOTHING: Duration = Duration::from_secs(3);

impl Sticky {
    /// Renews leases until `stop`: one task for each process. Users are spread evenly over a third of
    /// the shortest lease, at most 5,000 in a second.
    pub async fn run<T: Copy>(&self, mut stop: Halt<T>) {
        tokio::select! {
            _ = self.renew_for_ever() => {}
            _ = stop.heard() => {}
        }
    }

    async fn renew_for_ever(&self) {
        // Gateposts that were started together do not ask together.
        let mut pause = self.period().unwrap_or(NOTHING).mul_f64(fastrand::f64());
        loop {
            let is_urgent = tokio::select! {
                () = sleep(pause) => false,
                () = self.0.hurry.notified() => true,
            };
            pause = match self.period() {
                None => NOTHING,
                Some(period) => {
                    let next = Instant::now() + period.mul_f64(0.8 + 0.2 * fastrand::f64());
                    let budget = if is_urgent { Duration::ZERO } else { period.mul_f64(0.8) };
                    tokio::select! {
                        () = self.renew_all(budget) => {}
                        // Now is not fast enough.
                        () = self.0.hurry.notified() => self.0.hurry.notify_one(),
                    }
                    next.saturating_duration_since(Instant::now())
                }
            };
        }
    }

    /// A third of the shortest lease.
    fn period(&self) -> Option<Duration> {
        let known = self.0.upstreams.load();
        let leases = known.values().filter_map(|one| one.described.settings);
        leases.map(|settings| settings.lease / 3).min()
    }

    /// Looks at each user once, spread over `budget`.
    pub(super) async fn renew_all(&self, budget: Duration) {
        let presence = &self.0.presence;
        // There are no more users than sessions.
        let sessions = u32::try_from(presence.len().max(1)).unwrap_or(u32::MAX);
        let each = (budget / sessions).max(LEAST);
        for part in 0..presence.parts() {
            let mut after = None;
            loop {
                let began = Instant::now();
                let (lives, last) = presence.sweep(part, after.as_deref(), CHUNK);
                if !lives.is_empty() {
                    self.renew(&lives).await;
                    let count = u32::try_from(lives.len()).unwrap_or(u32::MAX);
                    sleep_until(began + each * count).await;
                }
                if last.is_none() {
                    break;
                }
                after = last;
            }
        }
    }

    async fn renew(&self, lives: &[Lives]) {
        let lane = |number: usize| async move {
            for one in lives.iter().skip(number).step_by(LANES) {
                let Some(known) = self.upstream(&one.upstream) else { continue };
                let Some(settings) = known.described.settings else { continue };
                // A cache that is down is asked again for the next one: it says so at once.
                if let Ok(Some(server)) = self.renew_one(one, settings).await
                    && known.has(&server)
                {
                    self.0.presence.kick_elsewhere(&one.upstream, &one.user, &server);
                }
            }
        };
        tokio::join!(lane(0), lane(1), lane(2), lane(3));
    }

    /// Says that the user is where the newest session is, unless the lease says otherwise: then gives
    /// what it says, if there are sessions elsewhere.
    ///
    /// Without any cache this gatepost is the fleet: the user is where a move says, or else where the
    /// newest session is, as the next login has it too. While there is one that does not answer, that
    /// is not known.
    async fn renew_one(&self, lives: &Lives, settings: Settings) -> Result<Option<String>, Error> {
        let (key, cache) = (lease::key(&lives.upstream, &lives.user), &self.0.cache);
        let Some(here) = self.0.presence.server_of(&lives.upstream, &lives.user) else {
            return Ok(None);
        };
        let is_apart = |from: &str| lives.servers.iter().any(|at| **at != *from);
        let mut value = match cache.get(&key).await {
            Err(Error::Off) => {
                let at = self.noted(&lives.upstream, &lives.user).unwrap_or(here);
                return Ok(is_apart(&at).then(|| at.to_string()));
            }
            said => said?,
        };
        if value.is_none() {
            if cache.add(&key, here.as_bytes(), settings.lease).await? {
                value = Some(here.as_bytes().to_vec());
            } else {
                value = cache.get(&key).await?;
            }
        }
        let Some(value) = value else { return Ok(None) };
        let server = match lease::read(&value) {
            Some(said) if !said.is_reserved => said.server,
            // Nobody may have been let in on the strength of it; here somebody was.
            Some(_) | None => {
                let is_ours = cache.swap(&key, &value, here.as_bytes(), settings.lease).await?;
                return Ok((is_ours && is_apart(&here)).then(|| here.to_string()));
            }
        };
        if *server == *here {
            cache.touch(&key, settings.lease).await?;
        }
        Ok(is_apart(server).then(|| server.to_owned()))
    }
}
