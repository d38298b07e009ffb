//! What is measured: the load, the unit of its cost, and the ratio to nginx that gatepost shall reach.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::peers::Peer;
use crate::{Result, spent};

/// No load takes longer: the slowest, 8,000 logins over TLS through a slow proxy, takes a tenth of it. Loads of more
/// logins have longer.
const LONGEST: Duration = Duration::from_secs(120);
/// No proxy is slower.
const LOGINS_A_SECOND: u64 = 1_000;
/// The proxy notices that its clients have left.
const AFTERWARDS: Duration = Duration::from_millis(100);
/// Until an idle session is really idle: what was allocated for its login has been given back.
const SETTLED: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    MsPerLogin,
    MsPerMessage,
    SecondsPerGb,
    UsPerRoundTrip,
    UsPerHandshake,
    KibPerSession,
    BytesPerRoute,
    MsLatency,
    MsSlowest,
}

impl Unit {
    /// Memory that other work has left behind would bend it.
    pub const fn is_memory(self) -> bool {
        matches!(self, Self::KibPerSession | Self::BytesPerRoute)
    }

    /// It is read off the clock and costs no work of its own.
    pub const fn is_clock(self) -> bool {
        matches!(self, Self::MsLatency | Self::MsSlowest)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Measure {
    pub name: &'static str,
    pub unit: Unit,
    /// What gatepost shall need at the most, as a part of what nginx needs.
    pub goal: Option<f64>,
    work: &'static str,
    tls: bool,
    clients: u64,
    bound: Bound,
    resume: bool,
    users: u64,
    /// Logins before what counts.
    warm_up: Option<WarmUp>,
    /// Measured only if it is asked for by its name.
    pub on_demand: bool,
}

#[derive(Clone, Copy, Debug)]
struct WarmUp {
    count: u64,
    users: u64,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Count(u64),
    Seconds(f64),
}

const fn row(
    name: &'static str,
    unit: Unit,
    goal: Option<f64>,
    work: &'static str,
    clients: u64,
    bound: Bound,
) -> Measure {
    Measure {
        name,
        unit,
        goal,
        work,
        tls: false,
        clients,
        bound,
        resume: false,
        users: USERS,
        warm_up: None,
        on_demand: false,
    }
}

const fn over_tls(row: Measure) -> Measure {
    Measure { tls: true, ..row }
}

const fn on_demand(row: Measure, users: u64, warm_up: WarmUp) -> Measure {
    Measure { users, warm_up: Some(warm_up), on_demand: true, ..row }
}

const fn resumed(row: Measure) -> Measure {
    Measure { resume: true, ..row }
}

/// How many users take turns where nothing depends on it.
const USERS: u64 = 1_000;
/// So many that a gatepost with room for 200 routes does not know them.
const MANY: u64 = 16_000;
const MILLION: u64 = 1_000_000;
/// Logins that begin each second where they wait for no others.
const RATE: u64 = 1_000;

use Bound::{Count, Seconds};
use Unit::{
    BytesPerRoute, KibPerSession, MsLatency, MsPerLogin, MsPerMessage, MsSlowest, SecondsPerGb,
    UsPerHandshake, UsPerRoundTrip,
};

pub const ALL: &[Measure] = &[
    row("login-plain", MsPerLogin, Some(0.90), "login", 256, Count(16_000)),
    over_tls(row("login-tls", MsPerLogin, Some(0.65), "login", 256, Count(8_000))),
    row("submit-plain", MsPerMessage, Some(1.00), "submit", 64, Count(8_000)),
    over_tls(row("submit-tls", MsPerMessage, Some(1.00), "submit", 64, Count(8_000))),
    row("fetch-plain", SecondsPerGb, Some(0.55), "fetch", 4, Seconds(4.0)),
    over_tls(row("fetch-tls", SecondsPerGb, Some(0.35), "fetch", 4, Seconds(4.0))),
    row("noop-plain", UsPerRoundTrip, Some(0.95), "noop", 16, Seconds(4.0)),
    over_tls(row("noop-tls", UsPerRoundTrip, None, "noop", 16, Seconds(4.0))),
    over_tls(row("handshake-full", UsPerHandshake, None, "handshake", 256, Count(8_000))),
    resumed(over_tls(row(
        "handshake-resumed",
        UsPerHandshake,
        None,
        "handshake",
        256,
        Count(8_000),
    ))),
    row("idle-plain", KibPerSession, Some(0.40), "idle", 1, Count(5_000)),
    over_tls(row("idle-tls", KibPerSession, Some(0.42), "idle", 1, Count(5_000))),
    over_tls(row("latency-tls", MsLatency, None, "login", 1, Count(50))),
    on_demand(
        row("route-login", MsPerLogin, None, "login", 256, Count(MANY)),
        MANY,
        WarmUp { count: MANY, users: MANY },
    ),
    // The same number of logins by few users: what the sessions themselves leave behind is there before.
    on_demand(
        row("route-memory", BytesPerRoute, None, "login", 256, Count(MILLION)),
        MILLION,
        WarmUp { count: MANY, users: USERS },
    ),
    // 1,000 logins a second, each of another user, while one of two handlers hangs (gatepost-hang).
    Measure {
        users: MANY,
        on_demand: true,
        ..row("lookup-hang", MsSlowest, None, "open", RATE, Seconds(10.0))
    },
];

impl Measure {
    /// An eighth of the work, to see whether everything runs.
    pub const fn quick(self) -> Self {
        let bound = match self.bound {
            Count(count) if count < 1_000 => Count(count),
            Count(count) => Count(count / 8),
            Seconds(_) => Seconds(0.5),
        };
        let clients = if matches!(self.unit, MsSlowest) { self.clients / 8 } else { self.clients };
        Self { bound, clients, ..self }
    }

    /// What is played before it and does not count.
    pub fn warm_up(&self) -> Option<Self> {
        let WarmUp { count, users } = self.warm_up?;
        Some(Self { bound: Count(count), users, warm_up: None, ..*self })
    }

    pub const fn longest(&self) -> Duration {
        match self.bound {
            Count(count) if count / LOGINS_A_SECOND > LONGEST.as_secs() => {
                Duration::from_secs(count / LOGINS_A_SECOND)
            }
            _ => LONGEST,
        }
    }

    /// What the clients' side of it is started with.
    pub fn load(&self, peer: &Peer, folder: &Path, post_quantum: bool) -> Vec<String> {
        let at: SocketAddr = match (self.work, self.tls) {
            ("submit", true) => peer.smtps,
            ("submit", false) => peer.smtp,
            (_, true) => peer.tls,
            (_, false) => peer.plain,
        };
        let mut line =
            vec!["load".to_owned(), self.work.to_owned(), "--to".to_owned(), at.to_string()];
        let mut say = |name: &str, value: String| line.extend([name.to_owned(), value]);
        match self.unit {
            // So many a second.
            MsSlowest => say("--rate", self.clients.to_string()),
            _ => say("--clients", self.clients.to_string()),
        }
        say("--users", self.users.to_string());
        match self.bound {
            Count(count) => say("--count", count.to_string()),
            Seconds(seconds) => say("--seconds", seconds.to_string()),
        }
        if self.tls {
            say("--certificate", folder.display().to_string());
        }
        line.extend(self.resume.then(|| "--resume".to_owned()));
        line.extend(post_quantum.then(|| "--post-quantum".to_owned()));
        line
    }

    /// What else there is to say of it.
    pub fn told(&self, did: &Did) -> Option<String> {
        let Did { done, p50, p99, most, late, .. } = did;
        let [p50, p99, most] = [p50, p99, most].map(|time| time * 1e3);
        (self.unit == MsSlowest).then(|| {
            format!(
                "{done} logins, half within {p50:.1} ms, 99 % within {p99:.1} ms, the slowest \
                 {most:.1} ms; {late} slower than 1 s. "
            )
        })
    }

    /// Lets the clients loose on `peer` and says what it cost in the measure's unit.
    pub async fn take(&self, peer: &Peer, bench: &Path, load: &[String]) -> Result<Figure> {
        let pid = peer.pid()?;
        match self.unit {
            KibPerSession => self.memory(pid, bench, load).await,
            BytesPerRoute => {
                sleep(SETTLED).await;
                let before = spent::pss(pid)?;
                let did = play(bench, load, self.longest()).await?;
                sleep(SETTLED).await;
                let more = spent::pss(pid)?.saturating_sub(before);
                Ok(Figure { cost: (more * 1024) as f64 / did.done, did })
            }
            MsSlowest => {
                let did = play(bench, load, self.longest()).await?;
                Ok(Figure { cost: did.most * 1e3, did })
            }
            MsLatency => {
                let did = play(bench, load, self.longest()).await?;
                Ok(Figure { cost: did.p50 * 1e3, did })
            }
            _ => {
                let before = spent::cpu(pid);
                let did = play(bench, load, self.longest()).await?;
                sleep(AFTERWARDS).await;
                let cost = spent::cpu(pid).saturating_sub(before).as_secs_f64();
                Ok(Figure { cost: self.per_unit(cost, &did), did })
            }
        }
    }

    fn per_unit(&self, cost: f64, did: &Did) -> f64 {
        match self.unit {
            MsPerLogin | MsPerMessage => cost * 1e3 / did.done,
            SecondsPerGb => cost * 1e9 / did.bytes,
            UsPerRoundTrip | UsPerHandshake => cost * 1e6 / did.done,
            KibPerSession | BytesPerRoute | MsLatency | MsSlowest => cost,
        }
    }

    /// How much the peer has grown with the sessions that lie idle, for each.
    async fn memory(&self, pid: i32, bench: &Path, load: &[String]) -> Result<Figure> {
        let before = spent::pss(pid)?;
        let mut clients = start(bench, load)?;
        let mut output = BufReader::new(clients.stdout.take().ok_or("no output")?);
        let mut ready = String::new();
        timeout(LONGEST, output.read_line(&mut ready))
            .await
            .map_err(|_| "the idle sessions take too long")??;
        if ready.trim() != "ready" {
            clients.wait().await?;
            return Err("the idle sessions did not all log in".into());
        }
        sleep(SETTLED).await;
        let after = spent::pss(pid)?;
        // The end of its input sends the clients home.
        drop(clients.stdin.take());
        let did = finish(clients, output, LONGEST).await?;
        Ok(Figure { cost: after.saturating_sub(before) as f64 / did.done, did })
    }
}

/// What one measure of one peer came to.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// In the measure's unit.
    pub cost: f64,
    pub did: Did,
}

/// What the clients have done, in their own words.
#[derive(Clone, Copy, Debug)]
pub struct Did {
    pub done: f64,
    pub bytes: f64,
    /// On the clock.
    pub seconds: f64,
    pub p50: f64,
    pub p99: f64,
    pub most: f64,
    /// How many took longer than a second.
    pub late: f64,
}

fn start(bench: &Path, load: &[String]) -> Result<Child> {
    let command = Command::new(bench)
        .args(load)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    Ok(command?)
}

pub async fn play(bench: &Path, load: &[String], longest: Duration) -> Result<Did> {
    let mut clients = start(bench, load)?;
    let output = BufReader::new(clients.stdout.take().ok_or("no output")?);
    finish(clients, output, longest).await
}

async fn finish(
    mut clients: Child,
    mut output: BufReader<tokio::process::ChildStdout>,
    longest: Duration,
) -> Result<Did> {
    let mut said = String::new();
    let all = async {
        output.read_to_string(&mut said).await?;
        clients.wait().await
    };
    let ended = timeout(longest, all).await.map_err(|_| "the clients take too long")??;
    let said: HashMap<&str, f64> = said
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let word = |name| said.get(name).copied().ok_or("the clients failed (see above)");
    if !ended.success() {
        return Err("the clients failed (see above)".into());
    }
    Ok(Did {
        done: word("done")?,
        bytes: word("bytes")?,
        seconds: word("seconds")?,
        p50: word("p50")?,
        p99: word("p99")?,
        most: word("most")?,
        late: word("late")?,
    })
}
