mod age;
mod anew;
mod flights;
mod forgetting;
mod hostile;
mod live;
mod measure;
mod poison;
mod vectors;
mod zimbra;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::question::Question;
use super::*;
use crate::http::Names;
use crate::http::stub::Book;
use crate::login::{Attempt, Kind, Mechanism, Secret};
use crate::memcached::Key;
use crate::net::Endpoint;
use crate::observe::{names, tasks};
use crate::route::group::{Groups, Server, Targets};
use crate::route::{Asker, Error, Origin};

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(1000);
const STALE: Duration = Duration::from_secs(500);

fn settings() -> Settings {
    let block = crate::config::Block::parse("route_cache on ttl=1000s alias_ttl=1000s stale=500s;");
    Settings::read(&block, &Settings::default())
}

/// What the source says.
#[derive(Clone, Debug)]
enum Reply {
    To(&'static str),
    /// To that server, as that account.
    As(&'static str, &'static str),
    Unknown,
    Down,
    /// What is for this login alone.
    Private(&'static str),
    WrongPassword,
}

use Reply::{As, Down, To, Unknown, WrongPassword};

/// The same server for everybody.
static ANYBODY: std::sync::LazyLock<crate::route::Chooser> =
    std::sync::LazyLock::new(crate::route::Chooser::default);

/// A source that says the same until it is told otherwise.
#[derive(Debug)]
struct Source {
    reply: Mutex<Reply>,
    delay: Mutex<Duration>,
    asked: AtomicUsize,
    is_private: bool,
}

/// A gatepost as far as routes go.
#[derive(Clone, Debug)]
struct Node {
    routes: Routes,
    settings: Settings,
    source: Arc<Source>,
    groups: Arc<Groups>,
    names: Names,
    metrics: Metrics,
}

impl Node {
    fn new(reply: Reply) -> Self {
        Self::on(&Cache::off(), reply)
    }

    fn on(cache: &Cache, reply: Reply) -> Self {
        Self::with(&Bus::new(cache.clone()), cache, Format::Gatepost, reply)
    }

    fn with(bus: &Bus, cache: &Cache, format: Format, reply: Reply) -> Self {
        let metrics = Metrics::new();
        Self::of(Routes::new(cache.clone(), bus.clone(), &metrics, format), metrics, reply)
    }

    fn of(routes: Routes, metrics: Metrics, reply: Reply) -> Self {
        let settings = settings();
        routes.set_up(&settings);
        let source = Source {
            reply: Mutex::new(reply),
            delay: Mutex::default(),
            asked: AtomicUsize::new(0),
            is_private: false,
        };
        let names: Names = Book::of(&[]);
        Self { routes, settings, source: source.into(), groups: Arc::default(), names, metrics }
    }

    fn private(mut self) -> Self {
        let reply = self.source.reply.lock().unwrap().clone();
        let (delay, asked) = (Mutex::default(), AtomicUsize::new(0));
        self.source = Arc::new(Source { reply: reply.into(), delay, asked, is_private: true });
        self
    }

    fn says(&self, reply: Reply) {
        *self.source.reply.lock().unwrap() = reply;
    }

    fn takes(&self, delay: Duration) {
        *self.source.delay.lock().unwrap() = delay;
    }

    fn asked(&self) -> usize {
        self.source.asked.load(Ordering::SeqCst)
    }

    fn question(&self, user: &str) -> Question {
        question(&self.settings, user)
    }

    fn ground(&self) -> Ground<'_> {
        Ground { groups: &self.groups, names: &self.names, chooser: &ANYBODY }
    }

    fn asking(&self) -> Asking {
        Asking { node: self.clone() }
    }

    async fn find(&self, user: &str) -> Answer {
        let (question, ask) = (self.question(user), self.asking());
        self.routes.find(&question, &self.settings, &self.ground(), &ask).await
    }

    async fn find_anew(&self, user: &str, reason: Reason) -> Answer {
        let (question, ask) = (self.question(user), self.asking());
        self.routes.find_anew(&question, &self.settings, &self.ground(), &ask, reason).await
    }

    /// As a login goes that the upstream lets in; gives what happened, in short.
    async fn log_in(&self, user: &str) -> String {
        let found = self.find(user).await;
        if let Ok(route) = &found {
            self.routes.keep(&self.question(user), &self.settings, route);
        }
        settle().await;
        show(&found)
    }

    /// What `find` gives, in short.
    async fn see(&self, user: &str) -> String {
        let found = show(&self.find(user).await);
        settle().await;
        found
    }

    fn evicted(&self, reason: &str) -> u64 {
        self.metrics.counter(&names::CACHE_EVICTIONS, &[reason]).get()
    }

    fn told(&self, tier: &str, result: &str) -> u64 {
        self.metrics.counter(&names::CACHE_REQUESTS, &[tier, "route", result]).get()
    }
}

/// Lets spawned tasks run to where they wait.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn show(answer: &Answer) -> String {
    match answer {
        Ok(route) => {
            let servers = route.targets.servers().iter().map(ToString::to_string);
            let servers = servers.collect::<Vec<_>>().join(",");
            let user = route.user.as_ref().map(|user| format!(" as {}", user.escape_ascii()));
            format!("{} {servers}{}", route.cache_status(), user.unwrap_or_default())
        }
        Err(not_found) => format!("{:?}", not_found.refusal.kind),
    }
}

fn attempt(user: &[u8]) -> Attempt {
    Attempt::new(Mechanism::Plain, user, Secret::new("tanstaaf"))
}

fn asker() -> Asker {
    Asker {
        protocol: "imap",
        client: Endpoint::Tcp("192.0.2.7:4711".parse().unwrap()),
        host: None,
        local: Endpoint::Tcp("192.0.2.2:143".parse().unwrap()),
        secure_upstream: true,
        attempt: 1,
        tls: None,
        proxied: None,
        headers: Vec::new(),
    }
}

fn question(settings: &Settings, user: &str) -> Question {
    Question::of(&attempt(user.as_bytes()), &asker(), settings.scope()).unwrap()
}

struct Asking {
    node: Node,
}

impl Asking {
    async fn reply(node: Node) -> Answer {
        node.source.asked.fetch_add(1, Ordering::SeqCst);
        // As it was when it was asked.
        let reply = node.source.reply.lock().unwrap().clone();
        let delay = *node.source.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let to = |server: &str| {
            let servers = Arc::new([Server::parse(server).unwrap()]);
            Route { keepable: true, ..Route::to(Targets::new(servers, 0, &node.names)) }
        };
        let no = |kind, keepable| {
            let (refusal, cause) = (Refusal::new(kind), Some(Error::Unknown));
            Err(NotFound { refusal, cause, keepable, unseen: true })
        };
        match reply {
            To(server) => Ok(to(server)),
            As(server, user) => Ok(Route { user: Some(user.as_bytes().into()), ..to(server) }),
            Reply::Private(server) => Ok(Route { keepable: false, ..to(server) }),
            Unknown => no(Kind::BadCredentials, true),
            WrongPassword => no(Kind::BadCredentials, false),
            Down => no(Kind::Unavailable, false),
        }
    }
}

impl Ask for Asking {
    fn is_open(&self) -> bool {
        !self.node.source.is_private
    }

    async fn ask(&self) -> Answer {
        Self::reply(self.node.clone()).await
    }

    fn later(&self) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(Self::reply(self.node.clone()))
    }
}
