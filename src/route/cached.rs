//! The way from a login to its route, through what is known already.

use std::pin::Pin;

use super::cache::{Answer, Ask, Ground, Question, Reason};
use super::group::Chooser;
use super::{Asker, Error, Nature, Route, Router, Source};
use crate::login::name::is_postmasters;
use crate::login::{Attempt, Secret};

impl Router {
    /// Where `attempt` goes. `tell` hears of failures that did not decide it.
    pub async fn find(
        &self,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Answer {
        let Some(question) = self.question(attempt, asker) else {
            return self.ask_sources(attempt, asker, tell).await;
        };
        // What stands in the configuration costs less than a look into the cache.
        for source in self.sources.iter() {
            match source {
                Source::Table(table) => {
                    if let Some(route) = self.look_up(table, attempt, asker)? {
                        return Ok(route);
                    }
                }
                Source::Named(named) if !named.is_remote() => {
                    let answer = named.find(attempt, asker).await.map_err(Error::from)?;
                    if let Some(answer) = answer {
                        return Ok(self.lead(answer, attempt, asker));
                    }
                }
                _ => break,
            }
        }
        let login = Login { router: self, attempt, asker, tell };
        let chooser = chooser(attempt, asker);
        let ground = self.ground(&chooser);
        self.fleet.routes.find(&question, &self.cache, &ground, &login).await
    }

    /// A kept route has failed, for `reason`: what the sources say now. It is for the caller to see
    /// whether that [leads elsewhere](Route::leads_elsewhere_than).
    ///
    /// Within [`PAUSE`](super::cache::PAUSE) after they were asked about this login, they are not
    /// asked again: what they said then is given, and it is [`Origin::Kept`](super::Origin::Kept).
    pub async fn find_anew(
        &self,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
        reason: Reason,
    ) -> Answer {
        let Some(question) = self.question(attempt, asker) else {
            return self.ask_sources(attempt, asker, tell).await;
        };
        let login = Login { router: self, attempt, asker, tell };
        let routes = &self.fleet.routes;
        let chooser = chooser(attempt, asker);
        let ground = self.ground(&chooser);
        routes.find_anew(&question, &self.cache, &ground, &login, reason).await
    }

    /// The upstream has let the login in: its route is worth keeping. Nobody waits for it.
    pub fn keep(&self, attempt: &Attempt, asker: &Asker, route: &Route) {
        if let Some(question) = self.question(attempt, asker) {
            self.fleet.routes.keep(&question, &self.cache, route);
        }
    }

    /// Whether anybody who is asked may be shown the client's secret.
    pub fn shows_secrets(&self) -> bool {
        self.sources.iter().any(|source| source.nature() == Nature::Private)
    }

    /// None where nothing that the sources say may be kept, and for the postmaster, of whom nothing
    /// that is kept shall be believed.
    fn question(&self, attempt: &Attempt, asker: &Asker) -> Option<Question> {
        let is_postmaster = self.has_postmaster() && is_postmasters(attempt.mailbox());
        if !self.cache.on || is_postmaster || !self.is_worth_keeping() {
            return None;
        }
        Question::of(attempt, asker, self.cache.scope())
    }

    /// Whether anybody answers who has not seen the secret, and is asked before those who do.
    fn is_worth_keeping(&self) -> bool {
        let first = self.sources.iter().map(Source::nature).find(|nature| *nature != Nature::Fixed);
        first == Some(Nature::Open)
    }

    fn ground<'a>(&'a self, chooser: &'a Chooser) -> Ground<'a> {
        Ground { groups: &self.groups, names: &self.names, chooser }
    }
}

/// What a group chooses its server by.
fn chooser(attempt: &Attempt, asker: &Asker) -> Chooser {
    Chooser::new(attempt.mailbox(), &asker.client, asker.protocol)
}

impl Route {
    /// Whether it is worth another try after `failed`: another server, or another name there.
    pub fn leads_elsewhere_than(&self, failed: &Self) -> bool {
        let group = |route: &Self| route.group.as_ref().map(|group| group.name.clone());
        let is_same_aim = match (group(self), group(failed)) {
            (None, None) => self.targets.servers() == failed.targets.servers(),
            (one, other) => one == other,
        };
        // A password of its own may be another one.
        !is_same_aim
            || self.secret.is_some()
            || (&self.user, &self.authzid) != (&failed.user, &failed.authzid)
            || (self.security, self.master) != (failed.security, failed.master)
    }

    /// What the cache had to do with it, as access logs say it.
    pub fn cache_status(&self) -> &'static str {
        self.trace.name()
    }
}

/// One login, as the sources are asked about it.
struct Login<'a> {
    router: &'a Router,
    attempt: &'a Attempt,
    asker: &'a Asker,
    tell: &'a (dyn Fn(Error) + Sync),
}

impl Ask for Login<'_> {
    fn is_open(&self) -> bool {
        self.router.sources.iter().all(|source| source.nature() != Nature::Private)
    }

    async fn ask(&self) -> Answer {
        self.router.ask_sources(self.attempt, self.asker, self.tell).await
    }

    fn later(&self) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let (router, asker) = (self.router.clone(), self.asker.clone());
        let attempt = Attempt { secret: Secret::default(), ..self.attempt.clone() };
        Box::pin(async move { router.ask_sources(&attempt, &asker, &|_| {}).await })
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::config::Block;
    use crate::http::stub::{Book, Stub, head};
    use crate::login::{Attempt, Mechanism};
    use crate::memcached::Cache;
    use crate::net::Endpoint;
    use crate::observe::{Metrics, names};
    use crate::route::{Fleet, Settings};
    use crate::tls::client::Connectors;

    fn router(conf: &str, fleet: &Fleet) -> Router {
        let settings = Settings::read(&Block::parse(conf), &Settings::default());
        let names: crate::http::Names = Book::of(&[]);
        Router::new(&settings, &names, &mut Connectors::default(), fleet).unwrap()
    }

    fn asker() -> Asker {
        Asker {
            protocol: "imap",
            client: Endpoint::Tcp("192.0.2.1:4711".parse().unwrap()),
            host: None,
            local: Endpoint::Tcp("192.0.2.2:143".parse().unwrap()),
            secure_upstream: false,
            attempt: 1,
            tls: None,
            proxied: None,
            headers: Vec::new(),
        }
    }

    fn attempt(user: &str) -> Attempt {
        Attempt::new(Mechanism::Plain, user.as_bytes(), Secret::new("tanstaaf"))
    }

    #[tokio::test]
    async fn what_a_handler_said_upon_a_password_is_asked_for_each_time() {
        let ok = [("Auth-Status", "OK"), ("Auth-Server", "192.0.2.9"), ("Auth-Port", "1143")];
        let (stub, address) = Stub::tcp(move |_, _, _| head(200, &ok)).await;
        let fleet = Fleet::new(Cache::memory(), Metrics::new());
        let conf = format!("auth_http {address}; route {{ @table.example 192.0.2.5; }}");
        let router = router(&conf, &fleet);
        for user in ["mrose@example.com", "mrose@table.example"] {
            for _ in 0..3 {
                let route = router.find(&attempt(user), &asker(), &|_| {}).await.unwrap();
                assert_eq!(route.cache_status(), "BYPASS");
                router.keep(&attempt(user), &asker(), &route);
                let reason = Reason::LoginRefused;
                let again = router.find_anew(&attempt(user), &asker(), &|_| {}, reason).await;
                assert!(!again.unwrap().leads_elsewhere_than(&route));
            }
        }
        assert_eq!(stub.heads().len(), 6);
        let asked = |tier| {
            let results = ["hit", "stale", "miss", "refused", "error"];
            let count = |result| {
                fleet.metrics.counter(&names::CACHE_REQUESTS, &[tier, "route", result]).get()
            };
            results.map(count).iter().sum::<u64>()
        };
        assert_eq!(
            (asked("process"), asked("shared")),
            (0, 0),
            "nobody looks for what is not there"
        );
    }

    /// A router that has kept the routes of `mrose@example.com`, asked of a handler that is gone.
    async fn learnt() -> Router {
        let ok = [("Auth-Status", "OK"), ("Auth-Server", "192.0.2.9"), ("Auth-Port", "1143")];
        let (_stub, address) = Stub::tcp(move |_, _, _| head(200, &ok)).await;
        let fleet = Fleet::new(Cache::off(), Metrics::new());
        let conf = format!("lookup z {{ send_password off; handler {address}/; hedge off; }}");
        let router = router(&conf, &fleet);
        let (attempt, asker) = (attempt("mrose@example.com"), asker());
        let route = router.find(&attempt, &asker, &|_| {}).await.unwrap();
        assert_eq!(route.cache_status(), "MISS");
        router.keep(&attempt, &asker, &route);
        router
    }

    #[tokio::test]
    async fn what_is_kept_is_given_at_once() {
        let router = learnt().await;
        let (attempt, asker) = (attempt("mrose@example.com"), asker());
        let mut finding = std::pin::pin!(router.find(&attempt, &asker, &|_| {}));
        let mut cx = Context::from_waker(Waker::noop());
        // Polled once: it waits for nothing, neither for a lock nor for another task.
        let Poll::Ready(found) = finding.as_mut().poll(&mut cx) else { panic!("it waits") };
        assert_eq!(found.unwrap().cache_status(), "HIT");
    }

    /// What a login costs whose route is kept: time here, and allocations under `valgrind`, by the
    /// difference of two runs. Run with `HITS=100000 cargo nextest run --run-ignored only
    /// --no-capture what_a_hit_costs`.
    #[tokio::test]
    #[ignore = "a measurement"]
    #[expect(clippy::print_stdout, reason = "what it is for")]
    async fn what_a_hit_costs() {
        let hits: u32 = std::env::var("HITS").map_or(100_000, |text| text.parse().unwrap());
        let router = learnt().await;
        let (attempt, asker) = (attempt("mrose@example.com"), asker());
        let began = std::time::Instant::now();
        for _ in 0..hits {
            router.find(&attempt, &asker, &|_| {}).await.unwrap();
        }
        println!("{hits} hits: {:?} each", began.elapsed() / hits.max(1));
    }

    #[test]
    fn with_the_cache_off_there_is_nothing_to_look_for() {
        let off = router("route_cache off;", &Fleet::new(Cache::memory(), Metrics::new()));
        assert_eq!(off.question(&attempt("a@x.example"), &asker()), None);
    }
}
