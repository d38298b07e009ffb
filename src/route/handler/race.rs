//! One question and several handlers: who is asked first, who next, and when.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use tokio::time::{Instant, sleep_until, timeout};

use super::hedge::{Hedge, SILENT};
use super::peer::Peer;
use super::state::Fit;
use super::{Error, Lookup, Picks, Said};
use crate::observe::tasks;
use crate::route::lookup::Flaw;

/// How long a handler that lost may go on: long enough to see that it lives, and to keep its
/// connection. One that hangs is found out by it.
const LINGERS: Duration = Duration::from_secs(1);

/// How long seeing whether a handler is back may take.
const PROBE: Duration = Duration::from_secs(5);

type Answering = Pin<Box<dyn Future<Output = Result<(Said, String), Error>> + Send>>;

/// A handler that is being asked.
struct Runner {
    peer: Arc<Peer>,
    began: Instant,
    answering: Answering,
}

/// The handlers that have not been asked yet, in the order in which they may be.
struct Rest<'a> {
    healthy: Vec<&'a Arc<Peer>>,
    /// The least bad first.
    aside: Vec<&'a Arc<Peer>>,
    picks: Picks,
}

impl Lookup {
    /// Asks until one handler answers; gives who it was, too. Of those that failed all but the last
    /// are told to `tell`; the last is the error.
    pub async fn ask_any(
        &self,
        turn: usize,
        question: &(dyn Fn(&Peer) -> Request<()> + Send + Sync),
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<(Said, String), Error> {
        let began = Instant::now();
        let deadline = began + self.timeout;
        let mut rest = self.rest(turn, began);
        if self.picks == Picks::Two {
            self.probe(&rest, question, began);
        }
        self.budget().asked(began);
        let mut running: Vec<Runner> = Vec::new();
        let mut failed: Option<Error> = None;
        loop {
            if running.is_empty() {
                let now = Instant::now();
                let is_over = failed.is_some() && now >= deadline;
                let next = if is_over { None } else { rest.next(now) };
                let Some((peer, others)) = next else {
                    return Err(failed.unwrap_or_else(|| self.nobody()));
                };
                if let Some(error) = failed.take() {
                    tell(error);
                }
                let within = self.share(others, deadline.duration_since(now));
                running.push(start(peer, question(peer), within));
            }
            let outcome = match self.wake(&running, &rest, Instant::now()) {
                Some(at) => tokio::select! {
                    biased;
                    outcome = first(&mut running) => Some(outcome),
                    () = sleep_until(at) => None,
                },
                None => Some(first(&mut running).await),
            };
            let now = Instant::now();
            match outcome {
                Some((index, Ok(answer))) => {
                    running.swap_remove(index);
                    running.into_iter().for_each(linger);
                    failed.into_iter().for_each(tell);
                    return Ok(answer);
                }
                Some((index, Err(error))) => {
                    running.swap_remove(index);
                    if let Some(before) = failed.replace(error) {
                        tell(before);
                    }
                    // Another is on its way, but it may hang.
                    if !running.is_empty()
                        && now < deadline
                        && let Some(peer) = rest.next_healthy(now)
                    {
                        running.push(start(peer, question(peer), deadline - now));
                    }
                }
                None => {
                    if let Some(peer) = self.second(&running, &mut rest, now) {
                        running.push(start(peer, question(peer), deadline.duration_since(now)));
                    }
                }
            }
        }
    }

    /// How long a handler may take while so many `others` wait for their turn. Where no second one
    /// is asked beside it, one that swallows the question must not eat the time of the others.
    fn share(&self, others: usize, left: Duration) -> Duration {
        match self.hedge {
            Hedge::Off => left / u32::try_from(others + 1).unwrap_or(u32::MAX),
            Hedge::Own | Hedge::After(_) => left,
        }
    }

    /// When to see whether another is to be asked as well.
    fn wake(&self, running: &[Runner], rest: &Rest<'_>, now: Instant) -> Option<Instant> {
        let last = running.last()?;
        if rest.healthy.is_empty() && rest.aside.is_empty() {
            return None;
        }
        let after = last.peer.state.hedge_after(self.hedge, now)?;
        // Past that, silence is looked for from time to time.
        let times = [last.began + after, last.began + SILENT, now + SILENT / 4];
        times.into_iter().find(|time| *time > now)
    }

    /// Whom to ask as well: as long as few questions are asked twice, or if the one that was asked
    /// last is silent while others are not.
    fn second<'a>(
        &self,
        running: &[Runner],
        rest: &mut Rest<'a>,
        now: Instant,
    ) -> Option<&'a Arc<Peer>> {
        let last = running.last()?;
        let is_silent = now.duration_since(last.began) >= SILENT && last.peer.state.is_silent(now);
        let may = match rest.healthy.is_empty() {
            true => is_silent,
            false => rest.has_live(now) && (is_silent || self.budget().may_hedge(now)),
        };
        if !may {
            return None;
        }
        last.peer.state.hedged();
        rest.next(now).map(|(peer, _)| peer)
    }

    /// Sees whether handlers that were set aside are back, beside the question itself, so that
    /// nobody's login waits for it.
    fn probe(
        &self,
        rest: &Rest<'_>,
        question: &(dyn Fn(&Peer) -> Request<()> + Send + Sync),
        now: Instant,
    ) {
        if rest.healthy.is_empty() {
            return;
        }
        for peer in rest.aside.iter().filter(|peer| peer.state.fit(now) == Fit::Due) {
            let asking = peer.ask(question(peer), PROBE.min(self.timeout));
            tasks::spawn("lookup probe", async move {
                // What comes of it is noted in the handler's state.
                asking.await.ok();
            });
        }
    }

    fn rest(&self, turn: usize, now: Instant) -> Rest<'_> {
        let (before, from) = self.peers.split_at(turn % self.peers.len());
        let mut rest = Rest { healthy: Vec::new(), aside: Vec::new(), picks: self.picks };
        for peer in from.iter().chain(before) {
            match peer.state.fit(now) {
                Fit::Healthy => rest.healthy.push(peer),
                // By turns, a question itself sees whether a handler is back.
                Fit::Due if self.picks == Picks::Turns => rest.healthy.push(peer),
                Fit::Due | Fit::Aside => rest.aside.push(peer),
                Fit::Disabled => {}
            }
        }
        if self.picks == Picks::Two {
            rest.aside.sort_by_key(|peer| peer.state.fails());
        }
        rest
    }

    fn nobody(&self) -> Error {
        Error { what: self.way.name(), server: self.label().to_owned(), flaw: Flaw::Disabled }
    }
}

impl<'a> Rest<'a> {
    /// Who is asked next; where nobody is healthy, who is set aside. And how many more there are of
    /// that kind.
    fn next(&mut self, now: Instant) -> Option<(&'a Arc<Peer>, usize)> {
        if let Some(peer) = self.next_healthy(now) {
            return Some((peer, self.healthy.len()));
        }
        let peer = (!self.aside.is_empty()).then(|| self.aside.remove(0))?;
        Some((peer, self.aside.len()))
    }

    fn next_healthy(&mut self, now: Instant) -> Option<&'a Arc<Peer>> {
        if self.healthy.is_empty() {
            return None;
        }
        let index = match self.picks {
            Picks::Turns => 0,
            Picks::Two => better_of_two(&self.healthy, now, fastrand::f64(), fastrand::f64()),
        };
        Some(self.healthy.remove(index))
    }

    fn has_live(&self, now: Instant) -> bool {
        self.healthy.iter().any(|peer| !peer.state.is_silent(now))
    }
}

/// Of two that chance draws, by their weights, the one where a question has less to expect.
fn better_of_two(peers: &[&Arc<Peer>], now: Instant, one: f64, other: f64) -> usize {
    let first = draw(peers, None, one);
    if peers.len() == 1 {
        return first;
    }
    let second = draw(peers, Some(first), other);
    let cost = |index: usize| {
        let peer: &Peer = peers[index];
        // One that is silent is the last choice, whatever it was before.
        (peer.state.is_silent(now), peer.state.cost(now) / f64::from(peer.weight))
    };
    if cost(second) < cost(first) { second } else { first }
}

/// An index, by the weights of all but the one at `without`.
fn draw(peers: &[&Arc<Peer>], without: Option<usize>, chance: f64) -> usize {
    let those = || peers.iter().enumerate().filter(|(index, _)| Some(*index) != without);
    let all: f64 = those().map(|(_, peer)| f64::from(peer.weight)).sum();
    let mut left = chance * all;
    let mut last = 0;
    for (index, peer) in those() {
        last = index;
        left -= f64::from(peer.weight);
        if left < 0.0 {
            break;
        }
    }
    last
}

fn start(peer: &Arc<Peer>, question: Request<()>, within: Duration) -> Runner {
    let answering = Box::pin(peer.ask(question, within));
    Runner { peer: Arc::clone(peer), began: Instant::now(), answering }
}

/// The first of them that ends, and how.
async fn first(running: &mut [Runner]) -> (usize, Result<(Said, String), Error>) {
    poll_fn(|cx| {
        for (index, runner) in running.iter_mut().enumerate() {
            if let Poll::Ready(outcome) = runner.answering.as_mut().poll(cx) {
                return Poll::Ready((index, outcome));
            }
        }
        Poll::Pending
    })
    .await
}

/// One that lost may go on for a moment, for its own sake; then it is dropped, and its connection
/// closed.
fn linger(runner: Runner) {
    tasks::spawn("lookup loser", async move {
        if timeout(LINGERS, runner.answering).await.is_err() {
            runner.peer.state.strike(Instant::now());
        }
    });
}
