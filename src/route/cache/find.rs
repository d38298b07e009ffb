//! How a question goes through the tiers, and what is learnt on the way.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::super::{Error, NotFound, Origin, Route};
use super::figures::{Result as Told, Tier};
use super::flight::{Lead, Seat};
use super::process::{Kept, Ticket, Worth, spread};
use super::shared::Found;
use super::{Answer, Ask, Entry, Ground, Outcome, PAUSE, Question, Reason, Routes, Settings};
use super::{Status, Trace, life};
use crate::login::{Kind, Refusal};
use crate::observe::tasks;

impl Routes {
    /// What answers `question`: from the process, from the shared cache, or from the sources.
    pub async fn find(
        &self,
        question: &Question,
        settings: &Settings,
        ground: &Ground<'_>,
        ask: &impl Ask,
    ) -> Answer {
        let key = question.to_bytes();
        loop {
            let held = self.process.get(&key);
            let told = match &held {
                Some((kept, Worth::Fresh)) => {
                    if let Some(route) = self.serve(kept, ground, Status::Hit) {
                        self.figures.asked(Tier::Process, question, Told::Hit);
                        return Ok(route);
                    }
                    Told::Miss
                }
                Some((kept, Worth::Stale)) if ask.is_open() => {
                    if let Some(route) = self.serve(kept, ground, Status::Stale) {
                        self.figures.asked(Tier::Process, question, Told::Stale);
                        self.refresh(question, &key, settings, kept, ask);
                        return Ok(route);
                    }
                    Told::Miss
                }
                Some(_) => Told::Stale,
                None => match self.process.refusal(&key) {
                    Some(refusal) => {
                        self.figures.asked(Tier::Process, question, Told::Hit);
                        return Err(unknown(&refusal));
                    }
                    None => Told::Miss,
                },
            };
            self.figures.asked(Tier::Process, question, told);
            let search = Search { question, key: &key, settings, ground, held };
            if !ask.is_open() {
                return self.look_further(&search, ask).await.0;
            }
            let outcome = match self.waiting.join(&key).await {
                Seat::Lead(lead) => {
                    let (answer, outcome) = self.look_further(&search, ask).await;
                    lead.land(outcome);
                    return answer;
                }
                Seat::Follow(outcome) => outcome,
                Seat::Again => continue,
            };
            let found = match outcome {
                Outcome::Kept(kept) => self.serve(&kept, ground, Status::Hit),
                Outcome::Fresh(entry, ticket) => fresh(&entry, ticket, ground),
                Outcome::Refused(refusal, true) => return Err(unknown(&refusal)),
                Outcome::Refused(refusal, false) => match self.serve_old(&search) {
                    Some(route) => Some(route),
                    None => return Err(failed(&refusal)),
                },
                Outcome::Private => None,
            };
            return match found {
                Some(route) => Ok(route),
                None => ask.ask().await,
            };
        }
    }

    /// Beyond the process: the shared cache, then the sources.
    async fn look_further(&self, search: &Search<'_>, ask: &impl Ask) -> (Answer, Outcome) {
        let Search { question, key, settings, ground, held } = search;
        let ticket = self.process.ticket();
        let mut old = held.as_ref().map(|(kept, _)| Arc::clone(kept));
        let is_past = matches!(held, Some((_, Worth::Stale)));
        let deadline = self.shared.deadline();
        if self.shared.is_on()
            && !is_past
            && let Some(kept) = self.read_shared(search, ticket, deadline).await
        {
            let now = self.process.now();
            let is_fresh = kept.worth(now) == Some(Worth::Fresh);
            let status = if is_fresh { Status::Hit } else { Status::Stale };
            if (is_fresh || ask.is_open())
                && let Some(route) = self.serve(&kept, ground, status)
            {
                if !is_fresh {
                    self.refresh(question, key, settings, &kept, ask);
                }
                return (Ok(route), Outcome::Kept(kept));
            }
            old = Some(kept);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = ask.ask().await;
        match answer {
            Ok(mut route) => {
                let status = if old.is_some() { Status::Expired } else { Status::Miss };
                route.trace = Trace { status, ticket };
                let outcome = match Entry::of(&route) {
                    Some(entry) => Outcome::Fresh(entry.to_bytes().into(), ticket),
                    None => Outcome::Private,
                };
                (Ok(route), outcome)
            }
            Err(not_found) if not_found.is_for_later() => {
                let outcome = Outcome::Refused(Arc::new(not_found.refusal.clone()), false);
                let old = old.and_then(|kept| self.serve(&kept, ground, Status::Stale));
                (old.ok_or(not_found), outcome)
            }
            Err(not_found) if not_found.keepable => {
                let refusal = not_found.refusal.clone();
                if let Some(old) = &old {
                    let until = Instant::now() + left;
                    self.drop_both(question, key, Some(old), Reason::Changed, until).await;
                }
                self.remember_refusal(search, &refusal, ticket);
                (Err(not_found), Outcome::Refused(Arc::new(refusal), true))
            }
            Err(not_found) => (Err(not_found), Outcome::Private),
        }
    }

    /// What the shared cache has, taken into the process.
    async fn read_shared(
        &self,
        search: &Search<'_>,
        ticket: Ticket,
        deadline: Instant,
    ) -> Option<Arc<Kept>> {
        let Search { question, key, settings, .. } = search;
        let (told, found) = match self.shared.get(question, deadline).await {
            Found::Entry(entry, asked) => (Told::Hit, Some((entry, asked))),
            Found::Miss => (Told::Miss, None),
            Found::Refused => (Told::Refused, None),
            Found::Error(_) => (Told::Error, None),
        };
        let kept = found.and_then(|(entry, asked)| {
            let now = self.process.now();
            let life = life(question, &entry, settings);
            let age = match asked {
                Some(asked) => Duration::from_secs(self.process.unix(now).saturating_sub(asked)),
                // Nobody knows: as good a guess as any.
                None => life / 2,
            };
            let asked = now.before(age);
            let chance = fastrand::f64();
            let kept = Kept::new(entry.to_bytes(), asked, now, life, settings, chance);
            kept.share();
            kept.worth(now).map(|worth| (Arc::new(kept), worth))
        });
        let told = match &kept {
            Some((_, Worth::Stale)) => Told::Stale,
            None if told == Told::Hit => Told::Miss,
            _ => told,
        };
        self.figures.asked(Tier::Shared, question, told);
        let (kept, _) = kept?;
        self.process.put(key, Arc::clone(&kept), ticket);
        self.figures.weigh(&self.process);
        Some(kept)
    }

    /// Asks anew, behind the back of whoever is served with what is there.
    fn refresh(
        &self,
        question: &Question,
        key: &[u8],
        settings: &Settings,
        old: &Arc<Kept>,
        ask: &impl Ask,
    ) {
        if old.is_held(self.process.now()) {
            return;
        }
        if let Some(lead) = self.renewing.lead(key) {
            let renewal = Renewal { question, key, settings };
            drop(self.renew_apart(&renewal, Some(old), ask, Reason::Changed, lead));
        }
    }

    /// Asks and learns on its own: a client that leaves does not stop it.
    fn renew_apart(
        &self,
        renewal: &Renewal<'_>,
        old: Option<&Arc<Kept>>,
        ask: &impl Ask,
        reason: Reason,
        lead: Lead<Outcome>,
    ) -> JoinHandle<Answer> {
        let (routes, question, key) =
            (self.clone(), renewal.question.clone(), Box::<[u8]>::from(renewal.key));
        let (settings, old, asking) = (renewal.settings.clone(), old.cloned(), ask.later());
        tasks::spawn("route-renewal", async move {
            let ticket = routes.process.ticket();
            let mut answer = asking.await;
            let renewal = Renewal { question: &question, key: &key, settings: &settings };
            let outcome = routes.renew(&renewal, old.as_ref(), ticket, &mut answer, reason).await;
            lead.land(outcome);
            answer
        })
    }

    /// The route that is kept for `question` has failed, for `reason`: what the sources say now.
    ///
    /// Within [`PAUSE`] after they were asked, that is what they said then.
    pub async fn find_anew(
        &self,
        question: &Question,
        settings: &Settings,
        ground: &Ground<'_>,
        ask: &impl Ask,
        reason: Reason,
    ) -> Answer {
        let key = question.to_bytes();
        let renewal = Renewal { question, key: &key, settings };
        let lead = loop {
            if !ask.is_open() {
                break None;
            }
            let outcome = match self.renewing.join(&key).await {
                Seat::Lead(lead) => break Some(lead),
                Seat::Again => continue,
                Seat::Follow(outcome) => outcome,
            };
            let found = match outcome {
                Outcome::Kept(kept) => self.serve(&kept, ground, Status::Hit),
                Outcome::Fresh(entry, ticket) => fresh(&entry, ticket, ground),
                Outcome::Refused(refusal, true) => return Err(unknown(&refusal)),
                Outcome::Refused(refusal, false) => return Err(failed(&refusal)),
                Outcome::Private => None,
            };
            return match found {
                Some(route) => Ok(route),
                None => ask.ask().await,
            };
        };
        let now = self.process.now();
        let old = self.process.get(&key).map(|(kept, _)| kept);
        if let Some(old) = &old
            && (now.since(old.asked) < PAUSE || old.is_held(now))
            && let Some(route) = self.serve(old, ground, Status::Hit)
        {
            return Ok(route);
        }
        match lead {
            Some(lead) => {
                let answer = self.renew_apart(&renewal, old.as_ref(), ask, reason, lead).await;
                // It has panicked, or the process ends.
                answer.unwrap_or_else(|_| Err(failed(&Refusal::new(Kind::Internal))))
            }
            None => {
                let ticket = self.process.ticket();
                let mut answer = ask.ask().await;
                self.renew(&renewal, old.as_ref(), ticket, &mut answer, reason).await;
                answer
            }
        }
    }

    /// Learns what the sources say about somebody whose route is kept.
    async fn renew(
        &self,
        renewal: &Renewal<'_>,
        old: Option<&Arc<Kept>>,
        ticket: Ticket,
        answer: &mut Answer,
        reason: Reason,
    ) -> Outcome {
        let Renewal { question, key, settings } = renewal;
        let deadline = self.shared.deadline();
        match answer {
            Ok(route) => {
                route.trace = Trace { status: Status::Expired, ticket };
                let Some(entry) = Entry::of(route) else {
                    self.drop_both(question, key, old.map(|old| &**old), reason, deadline).await;
                    return Outcome::Private;
                };
                let is_same = old.is_some_and(|old| *old.entry == *entry.to_bytes());
                if old.is_some() && !is_same {
                    self.figures.evicted(reason);
                }
                // An upstream has let this user in before. Where it is sent elsewhere after a failure,
                // others hear of it once it has let the login in there.
                let kept = self.take_in(renewal, &entry, ticket);
                if is_same || reason == Reason::Changed {
                    self.publish(question, settings, &entry, &kept, ticket);
                } else {
                    self.drop_shared(question, entry.account(question), deadline).await;
                }
                Outcome::Fresh(entry.to_bytes().into(), ticket)
            }
            Err(not_found) if not_found.is_for_later() => {
                if let Some(old) = old {
                    let pause = spread(PAUSE, fastrand::f64());
                    old.hold(self.process.now().after(pause));
                }
                Outcome::Refused(Arc::new(not_found.refusal.clone()), false)
            }
            Err(not_found) => {
                self.drop_both(question, key, old.map(|old| &**old), reason, deadline).await;
                if !not_found.keepable {
                    return Outcome::Private;
                }
                let refusal = not_found.refusal.clone();
                let life = spread(settings.negative, fastrand::f64());
                self.process.put_refusal(key, refusal.clone(), life, ticket);
                Outcome::Refused(Arc::new(refusal), true)
            }
        }
    }

    /// The upstream has let the login in to which `route` led.
    pub fn keep(&self, question: &Question, settings: &Settings, route: &Route) {
        let Trace { status: Status::Miss | Status::Expired, ticket } = route.trace else { return };
        let Some(entry) = Entry::of(route) else { return };
        if let Some(local) = question.local() {
            self.learn_local(local);
        }
        let key = question.to_bytes();
        let known = self.process.get(&key).map(|(kept, _)| kept);
        let kept = match known {
            // Another session was first, or a refresh.
            Some(kept) if kept.asked >= ticket.asked && *kept.entry == *entry.to_bytes() => kept,
            _ => self.take_in(&Renewal { question, key: &key, settings }, &entry, ticket),
        };
        self.publish(question, settings, &entry, &kept, ticket);
    }

    fn take_in(&self, renewal: &Renewal<'_>, entry: &Entry, ticket: Ticket) -> Arc<Kept> {
        let Renewal { question, key, settings } = renewal;
        let (now, life) = (self.process.now(), life(question, entry, settings));
        let bytes = entry.to_bytes();
        let kept = Kept::new(bytes, ticket.asked, now, life, settings, fastrand::f64());
        let kept = Arc::new(kept);
        self.process.put(key, Arc::clone(&kept), ticket);
        self.figures.weigh(&self.process);
        kept
    }

    /// Writes to the shared cache, once, and without anybody waiting for it.
    fn publish(
        &self,
        question: &Question,
        settings: &Settings,
        entry: &Entry,
        kept: &Kept,
        ticket: Ticket,
    ) {
        if !self.shared.is_on() || !self.process.is_valid(ticket) || !kept.share() {
            return;
        }
        let (routes, question, entry) = (self.clone(), question.clone(), entry.clone());
        let life = spread(settings.shared(life(&question, &entry, settings)), fastrand::f64());
        tasks::spawn("route-publish", async move {
            let asked = routes.process.unix(ticket.asked);
            // A cache that is down is told by those who ask it.
            let _ = routes.shared.put(&question, &entry, asked, life).await;
            if !routes.process.is_valid(ticket) {
                let _ = routes.shared.delete(&question, entry.account(&question)).await;
            }
        });
    }

    /// Until `deadline` it is waited for that the shared cache forgets it too.
    async fn drop_both(
        &self,
        question: &Question,
        key: &[u8],
        old: Option<&Kept>,
        reason: Reason,
        deadline: Instant,
    ) {
        let account = old.and_then(|old| Entry::read(&old.entry));
        let account = account.as_ref().map_or(&b""[..], |entry| entry.account(question));
        if self.process.remove(key) {
            self.figures.evicted(reason);
            self.figures.weigh(&self.process);
        }
        self.drop_shared(question, account, deadline).await;
    }

    async fn drop_shared(&self, question: &Question, account: &[u8], deadline: Instant) {
        if !self.shared.is_on() {
            return;
        }
        let (shared, question, account) = (self.shared.clone(), question.clone(), account.to_vec());
        let dropping = tasks::spawn("route-drop", async move {
            // It dies with its time if the cache cannot be told.
            let _ = shared.delete(&question, &account).await;
        });
        // It goes on where nobody waits any more.
        let _ = timeout_at(deadline, dropping).await;
    }

    fn remember_refusal(&self, search: &Search<'_>, refusal: &Refusal, ticket: Ticket) {
        let life = spread(search.settings.negative, fastrand::f64());
        self.process.put_refusal(search.key, refusal.clone(), life, ticket);
        self.figures.weigh(&self.process);
    }

    fn serve(&self, kept: &Kept, ground: &Ground<'_>, status: Status) -> Option<Route> {
        let age = self.process.now().since(kept.asked);
        let mut route = Entry::read(&kept.entry)?.route(ground, Origin::Kept { age })?;
        route.trace.status = status;
        Some(route)
    }

    /// What is past its time, where nobody can be asked.
    fn serve_old(&self, search: &Search<'_>) -> Option<Route> {
        let (kept, _) = search.held.as_ref()?;
        self.serve(kept, search.ground, Status::Stale)
    }
}

/// A question on its way.
struct Search<'a> {
    question: &'a Question,
    key: &'a [u8],
    settings: &'a Settings,
    ground: &'a Ground<'a>,
    /// What the process has, that does not do.
    held: Option<(Arc<Kept>, Worth)>,
}

struct Renewal<'a> {
    question: &'a Question,
    key: &'a [u8],
    settings: &'a Settings,
}

impl NotFound {
    /// Nobody has said no: whoever was to be asked is away.
    fn is_for_later(&self) -> bool {
        matches!(self.refusal.kind, Kind::Unavailable | Kind::Internal)
    }
}

fn unknown(refusal: &Refusal) -> NotFound {
    NotFound { refusal: refusal.clone(), cause: Some(Error::Unknown), keepable: true, unseen: true }
}

/// What the leader's log has the cause of. Nobody is asked together who is shown a secret.
fn failed(refusal: &Refusal) -> NotFound {
    NotFound { refusal: refusal.clone(), cause: None, keepable: false, unseen: true }
}

/// The answer that somebody else waited for, as one's own.
fn fresh(entry: &[u8], ticket: Ticket, ground: &Ground<'_>) -> Option<Route> {
    let mut route = Entry::read(entry)?.route(ground, Origin::Fresh)?;
    route.trace = Trace { status: Status::Miss, ticket };
    Some(route)
}
