//! A gatepost made up for tests: answers that never change, and a memory of what it was told to do.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use super::api::*;
use super::ops::{Ops, Reply};

/// Clones share what they were told.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    told: Arc<Mutex<Vec<String>>>,
    /// Nothing is wrong with it.
    pub is_well: bool,
}

/// 2026-11-20T18:22:18Z
pub const NOW: i64 = 1_795_198_938;

pub fn ago(seconds: i64) -> When {
    When::from_unix(NOW - seconds)
}

fn level(subject: &str, level: &str, until: Option<i64>) -> LevelSet {
    LevelSet { subject: subject.into(), level: level.into(), until: until.map(ago) }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn session(number: u64, user: &str) -> Session {
    Session {
        number,
        protocol: "imap".into(),
        user: text(user),
        client: format!("192.0.2.7:5{number:04}"),
        tls: text("TLSv1.3"),
        upstream: text("imap"),
        server: text("10.0.0.1:143"),
        since: ago(125),
        received: 900 * number,
        sent: 1_500_000 * number,
    }
}

impl Fake {
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, what: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn changed(&self, what: &str, ask: ServersAsk) -> Reply<'_, Changed> {
        self.tell(format!("{what} {ask:?}"));
        if ask.upstream != "imap" {
            return no(Problem::unknown(format!("there is no upstream \"{}\"", ask.upstream))
                .hint("gatepost upstream list"));
        }
        let servers = match ask.server {
            Some(server) => vec![server],
            None => vec!["10.0.0.1:143".into(), "10.0.0.2:143".into()],
        };
        yes(Changed {
            changed: servers,
            sessions: if ask.end { 3 } else { 0 },
            told_fleet: !what.ends_with("lock"),
            problems: vec![],
        })
    }

    fn handler(&self, what: &str, ask: HandlerAsk) -> Reply<'_, Changed> {
        self.tell(format!("{what} {ask:?}"));
        yes(Changed {
            changed: vec![ask.handler],
            sessions: 0,
            told_fleet: false,
            problems: vec![],
        })
    }
}

fn yes<'a, T: Send + 'a>(answer: T) -> Reply<'a, T> {
    Box::pin(ready(Ok(answer)))
}

fn no<'a, T: Send + 'a>(problem: Problem) -> Reply<'a, T> {
    Box::pin(ready(Err(problem)))
}

fn in_maintenance() -> Maintenance {
    Maintenance {
        domain: text("b.example"),
        upstream: None,
        by_hand: true,
        since: ago(600),
        until: Some(ago(-7200)),
        text: text("back at nine"),
        cause: None,
    }
}

impl Ops for Fake {
    fn status(&self) -> Reply<'_, Status> {
        let lock = Locked {
            kind: "upstream".into(),
            name: "imap/10.0.0.2:143".into(),
            since: ago(90),
            cause: "connect() failed (111: Connection refused)".into(),
            next_probe: Some(ago(-210)),
        };
        let (usable, locks, maintenance, problems) = match self.is_well {
            true => (2, vec![], vec![], vec![]),
            false => (
                1,
                vec![lock],
                vec![in_maintenance()],
                vec!["certificate \"a.pem\" ends in 3 days".into()],
            ),
        };
        yes(Status {
            state: Health::Ok,
            version: "0.1.0".into(),
            pid: 4711,
            started: ago(273_840),
            uptime_s: 273_840,
            generation: 3,
            sessions: vec![
                ProtocolSessions { protocol: "imap".into(), waiting: 2, relaying: 1204 },
                ProtocolSessions { protocol: "pop3".into(), waiting: 0, relaying: 7 },
            ],
            upstreams: vec![Part::of("imap", usable, 2)],
            lookups: vec![Part::of("zimbra", 2, 2)],
            caches: vec![Part { state: Health::Off, ..Part::of("memcached", 0, 0) }],
            locks,
            maintenance,
            levels: match self.is_well {
                true => vec![],
                false => vec![level("route", "debug", Some(-600))],
            },
            problems,
        })
    }

    fn figures(&self) -> Reply<'_, Figures> {
        self.tell("figures".into());
        yes(figures(u64::try_from(self.told().len()).unwrap_or(0)))
    }

    fn sessions(&self, ask: SessionsAsk) -> Reply<'_, Sessions> {
        self.tell(format!("sessions {ask:?}"));
        let users = ["mrose@a.example", "bob@a.example", "bob@a.example"];
        let all = users.into_iter().zip(1..).map(|(user, number)| session(number, user));
        let matching: Vec<_> =
            all.filter(|session| ask.user.is_none() || session.user == ask.user).collect();
        let total = matching.len() as u64;
        let limit = usize::try_from(ask.limit.unwrap_or(ROWS)).unwrap_or(usize::MAX);
        let after = ask.after.unwrap_or(0);
        let page: Vec<_> = matching.into_iter().filter(|session| session.number > after).collect();
        let next = (page.len() > limit).then(|| page[limit - 1].number);
        yes(Sessions { sessions: page.into_iter().take(limit).collect(), total, next })
    }

    fn where_is(&self, ask: UserAsk) -> Reply<'_, Whereabouts> {
        let is_known = ask.user == "mrose@a.example";
        yes(Whereabouts {
            route: is_known.then(|| Route {
                upstream: text("imap"),
                server: "10.0.0.1:143".into(),
                origin: "shared".into(),
                age_s: 75,
            }),
            lease: is_known.then(|| Lease {
                upstream: "imap".into(),
                server: "10.0.0.1:143".into(),
                expires_s: 50,
            }),
            hash: match is_known {
                true => vec![],
                false => vec![Place { upstream: "imap".into(), server: "10.0.0.2:143".into() }],
            },
            sessions: if is_known { vec![session(1, &ask.user)] } else { vec![] },
            user: ask.user,
        })
    }

    fn kick(&self, ask: UserAsk) -> Reply<'_, Kicked> {
        self.tell(format!("kick {}", ask.user));
        yes(Kicked { user: ask.user, sessions: 2, told_fleet: true, problems: vec![] })
    }

    fn relocate(&self, ask: MoveAsk) -> Reply<'_, Moved> {
        self.tell(format!("move {ask:?}"));
        yes(Moved {
            user: ask.user,
            from: text("10.0.0.1:143"),
            to: ask.to,
            sessions: 1,
            told_fleet: false,
            problems: vec![],
        })
    }

    fn upstreams(&self) -> Reply<'_, Upstreams> {
        let server = |address: &str, state| Server {
            address: address.into(),
            state,
            weight: 1,
            sessions: 12,
            max_conns: None,
            failures: 0,
            since: None,
            last_error: None,
            next_probe: None,
            p50_ms: Some(1.5),
            p99_ms: Some(20.0),
        };
        let locked = Server {
            sessions: 0,
            failures: 3,
            since: Some(ago(90)),
            last_error: text("connect() failed (111: Connection refused)"),
            next_probe: Some(ago(-210)),
            p50_ms: None,
            p99_ms: None,
            ..server("10.0.0.2:143", ServerState::Locked)
        };
        yes(Upstreams {
            upstreams: vec![Upstream {
                name: "imap".into(),
                state: Health::Degraded,
                balance: "hash $login consistent".into(),
                sticky: true,
                servers: vec![server("10.0.0.1:143", ServerState::Up), locked],
            }],
        })
    }

    fn drain(&self, ask: ServersAsk) -> Reply<'_, Changed> {
        self.changed("drain", ask)
    }

    fn undrain(&self, ask: ServersAsk) -> Reply<'_, Changed> {
        self.changed("undrain", ask)
    }

    fn remove(&self, ask: ServersAsk) -> Reply<'_, Changed> {
        self.changed("remove", ask)
    }

    fn lock(&self, ask: ServersAsk) -> Reply<'_, Changed> {
        self.changed("lock", ask)
    }

    fn unlock(&self, ask: ServersAsk) -> Reply<'_, Changed> {
        self.changed("unlock", ask)
    }

    fn lookups(&self) -> Reply<'_, Lookups> {
        let handler = |url: &str, protocols: &[&str]| Handler {
            lookup: "zimbra".into(),
            url: url.into(),
            from: "gatepost.conf:12".into(),
            state: HandlerState::Up,
            protocols: protocols.iter().map(|&protocol| protocol.into()).collect(),
            weight: 1,
            last: Some(LastAnswer { result: "ok".into(), at: ago(2), ms: 3.25 }),
            asked: 1000,
            errors: 0,
            failures_in_row: 0,
            in_flight: 2,
            last_error: None,
            next_try: None,
            p50_ms: Some(2.0),
            p99_ms: Some(14.5),
        };
        let path = "/service/extension/nginx-lookup";
        let bad = Handler {
            state: HandlerState::SetAside,
            errors: 17,
            failures_in_row: 3,
            in_flight: 0,
            last_error: text("timed out"),
            next_try: Some(ago(-40)),
            last: None,
            p50_ms: None,
            p99_ms: None,
            ..handler(&format!("https://store2.example:7072{path}"), &["imap"])
        };
        yes(Lookups {
            handlers: vec![
                handler(&format!("http://store1.example:7072{path}"), &["imap", "smtp"]),
                bad,
            ],
        })
    }

    fn enable_handler(&self, ask: HandlerAsk) -> Reply<'_, Changed> {
        self.handler("enable", ask)
    }

    fn disable_handler(&self, ask: HandlerAsk) -> Reply<'_, Changed> {
        self.handler("disable", ask)
    }

    fn caches(&self) -> Reply<'_, Caches> {
        let server = |address: &str, state| CacheServer {
            address: address.into(),
            state,
            requests: 5000,
            errors: 2,
            last_error: None,
            p50_ms: Some(0.2),
            p99_ms: Some(0.9),
        };
        yes(Caches {
            process: Process { entries: 900, bytes: 180_000, max_bytes: 16 << 20 },
            servers: vec![
                server("10.0.0.8:11211", Health::Ok),
                server("10.0.0.9:11211", Health::Down),
            ],
            kinds: vec![KindCount {
                tier: "process".into(),
                kind: "route".into(),
                hits: 800,
                stale: 3,
                misses: 200,
                refused: 0,
                errors: 0,
            }],
        })
    }

    fn purge(&self, ask: PurgeAsk) -> Reply<'_, Purged> {
        self.tell(format!("purge {ask:?}"));
        let users = ask.users.iter();
        let removed = users.flat_map(|user| {
            ["10.0.0.8:11211", "10.0.0.9:11211"].map(|server| Removed {
                server: server.into(),
                key: format!("route:proto=imap;user={user}"),
                found: server.contains(".8:"),
            })
        });
        yes(Purged {
            removed: removed.collect(),
            entries: 1,
            told_fleet: true,
            problems: if ask.all { vec!["10.0.0.9:11211 is down".into()] } else { vec![] },
        })
    }

    fn cached(&self, ask: ListAsk) -> Reply<'_, Entries> {
        let user = ask.user.unwrap_or_else(|| "mrose@a.example".into());
        let entry = |server: &str, value: Option<&str>| Entry {
            server: server.into(),
            key: format!("route:proto=imap;user={user}"),
            value: value.map(Into::into),
            ttl_s: value.map(|_| 1800),
        };
        yes(Entries {
            entries: vec![
                entry("10.0.0.8:11211", Some("10.0.0.1:143")),
                entry("10.0.0.9:11211", None),
            ],
            total: 2,
            next: None,
            problems: vec![],
        })
    }

    fn offenders(&self, _: OffendersAsk) -> Reply<'_, Offenders> {
        let offender = |kind: &str, key: &str, verdict, until| Offender {
            kind: kind.into(),
            key: key.into(),
            failures: 9,
            verdict,
            until,
        };
        yes(Offenders {
            offenders: vec![
                offender("address", "192.0.2.66", Verdict::Denied, Some(ago(-300))),
                offender("user", "bob@a.example", Verdict::Watched, None),
            ],
            total: 2,
            next: None,
        })
    }

    fn forgive(&self, ask: ForgiveAsk) -> Reply<'_, Forgiven> {
        self.tell(format!("forgive {ask:?}"));
        yes(Forgiven { forgiven: if ask.all { 2 } else { 1 }, problems: vec![] })
    }

    fn spared(&self) -> Reply<'_, Spared> {
        let networks = vec!["198.51.100.0/24".into()];
        yes(Spared { networks, until: BTreeMap::new(), problems: vec![] })
    }

    fn levels(&self) -> Reply<'_, Levels> {
        yes(Levels {
            levels: vec![level("route", "debug", Some(-600))],
            modules: vec!["route".into()],
        })
    }

    fn set_level(&self, ask: LevelAsk) -> Reply<'_, Levels> {
        self.tell(format!("level {ask:?}"));
        if ask.subject.as_deref() == Some("kitchen") {
            return no(Problem::unknown("there is no module \"kitchen\"").hint("all, route"));
        }
        let until = ask.for_s.and_then(|seconds| i64::try_from(seconds).ok()).map(|after| -after);
        let set = ask.subject.zip(ask.level);
        let levels = set.into_iter().map(|(of, name)| level(&of, &name, until)).collect();
        yes(Levels { levels, modules: vec!["route".into()] })
    }

    fn reopen(&self) -> Reply<'_, Reopened> {
        self.tell("reopen".into());
        yes(Reopened { failed: 0 })
    }

    fn turn(&self, ask: TurnAsk) -> Reply<'_, TurnedLogs> {
        self.tell(format!("turn {ask:?}"));
        let one = |file: &str| TurnedLog { file: file.into(), to: format!("{file}-20261120") };
        match ask.file.as_deref() {
            Some("/var/log/none.log") => {
                let problems = vec!["there is no log \"/var/log/none.log\"".to_owned()];
                yes(TurnedLogs { turned: vec![], problems })
            }
            file => {
                let file = file.unwrap_or("/var/log/gatepost/access.log");
                yes(TurnedLogs { turned: vec![one(file)], problems: vec![] })
            }
        }
    }

    fn vitals(&self) -> Reply<'_, Vitals> {
        yes(Vitals {
            pid: 4711,
            listens: vec!["10.0.0.9:143 (mail.a.example)".into()],
            metrics: "gatepost_up 1\n".into(),
            warnings: vec!["2026/11/20 18:22:18 [warn] 4711#1: planted".into()],
        })
    }

    fn spare(&self, ask: SpareAsk) -> Reply<'_, Spared> {
        self.tell(format!("spare {ask:?}"));
        let after = ask.for_s.and_then(|seconds| i64::try_from(seconds).ok());
        let until = after.map(|after| (ask.network.clone(), ago(-after)));
        let networks = if ask.off { vec![] } else { vec![ask.network] };
        yes(Spared { networks, until: until.into_iter().collect(), problems: vec![] })
    }

    fn maintenance(&self) -> Reply<'_, Maintenances> {
        yes(Maintenances {
            maintenance: if self.is_well { vec![] } else { vec![in_maintenance()] },
            problems: vec![],
        })
    }

    fn maintain(&self, ask: MaintainAsk) -> Reply<'_, Maintenances> {
        self.tell(format!("maintain {ask:?}"));
        let MaintainAsk { domain, until, text } = ask;
        let one = Maintenance {
            domain,
            upstream: None,
            by_hand: true,
            since: ago(0),
            until,
            text,
            cause: None,
        };
        yes(Maintenances { maintenance: vec![one], problems: vec![] })
    }

    fn end_maintenance(&self, ask: EndAsk) -> Reply<'_, Maintenances> {
        self.tell(format!("end {ask:?}"));
        yes(Maintenances { maintenance: vec![], problems: vec![] })
    }

    fn report(&self, _: ReportAsk) -> Reply<'_, Report> {
        let episodes = vec![Episode {
            kind: EpisodeKind::Maintenance,
            name: "all".into(),
            by_hand: false,
            began: ago(90_000),
            ended: Some(ago(87_000)),
            cause: text("no server of \"imap\" is usable"),
        }];
        let warnings = warnings(
            &episodes,
            ago(0),
            Usual { length: Some(std::time::Duration::from_secs(1800)), count: Some(1) },
        );
        yes(Report { episodes, total: 1, next: None, warnings })
    }

    fn addresses(&self) -> Reply<'_, Addresses> {
        let local =
            |interface: &str, address: &str| (interface.to_owned(), address.parse().unwrap());
        let assigned = Assigned {
            listen: "192.0.2.1:143".into(),
            server: "mail.a.example".into(),
            domain: text("a.example"),
        };
        yes(assign(
            [local("eth0", "192.0.2.1"), local("eth0", "192.0.2.2")],
            &[(Reach::One("192.0.2.1".parse().expect("an address")), assigned)],
        ))
    }

    fn examine(&self, subject: Subject, ask: DoctorAsk) -> Reply<'_, Diagnosis> {
        let password = ask.password.as_ref().map(|password| password.0.reveal().to_vec());
        let password = password.map(|bytes| String::from_utf8(bytes).unwrap());
        self.tell(format!("examine {} {} {:?} {password:?}", subject.name(), ask.name, ask.login));
        let step = |step: &str, outcome, ms, text: &str| Step {
            target: "10.0.0.2:143".into(),
            step: step.into(),
            outcome,
            ms,
            text: text.into(),
        };
        if ask.name == "well" {
            let steps = vec![step("dns", Outcome::Ok, 0.4, "10.0.0.2")];
            return yes(Diagnosis { name: ask.name, ok: true, failed: None, steps });
        }
        let refused = "connect() failed (111: Connection refused)";
        yes(Diagnosis {
            name: ask.name,
            ok: false,
            failed: text("connect"),
            steps: vec![
                step("dns", Outcome::Ok, 0.4, "10.0.0.2"),
                step("connect", Outcome::Failed, 1.2, refused),
                step("greeting", Outcome::Skipped, 0.0, ""),
            ],
        })
    }
}

/// Figures that have grown by the same steps `times` times, a second each.
pub fn figures(times: u64) -> Figures {
    let imap = ProtocolFigures {
        protocol: "imap".into(),
        waiting: 2,
        relaying: 1204,
        logins: 1000 + 40 * times,
        refused: 10 + times,
        received: 2_000_000 * times,
        sent: 30_000_000 * times,
    };
    let pop3 = ProtocolFigures { protocol: "pop3".into(), relaying: 7, ..Default::default() };
    let upstream = |name: &str, state, usable, sessions| UpstreamFigures {
        name: name.into(),
        state,
        usable,
        servers: 2,
        sessions,
        logins: 30 * times,
        failures: times,
        received: 1_000_000 * times,
        sent: 20_000_000 * times,
    };
    let user = |user: &str, sessions, received, sent| UserFigures {
        user: user.into(),
        sessions,
        received,
        sent,
    };
    Figures {
        at: When::from_unix(NOW + i64::try_from(times).unwrap_or(0)),
        uptime_ms: 273_840_000 + 1000 * times,
        version: "0.1.0".into(),
        protocols: vec![imap, pop3],
        upstreams: vec![
            upstream("imap", Health::Degraded, 1, 1204),
            upstream("pop", Health::Ok, 2, 7),
        ],
        cache: CacheFigures {
            state: Health::Ok,
            usable: 2,
            servers: 2,
            entries: 900,
            bytes: 180_000,
            process_hits: 70 * times,
            shared_hits: 20 * times,
            misses: 10 * times,
            errors: 0,
        },
        throttle: ThrottleFigures { allowed: 40 * times, delayed: 2 * times, denied: times },
        users: vec![
            user("mrose@a.example", 2, 5_000 + 100 * times, 900_000 * times),
            user("bob@a.example", 5, 9_000, 1_000),
        ],
    }
}
