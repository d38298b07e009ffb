//! `doctor`: the steps towards a server or a handler, and what a client's address meets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Running;
use super::serving::Serving;
use super::status::ANONYMOUS;
use crate::admin::api::{Diagnosis, DoctorAsk, Examination, Problem, Subject};
use crate::login::Tell;
use crate::net::{Endpoint, connect};
use crate::observe::tasks;
use crate::proxy::Site;
use crate::proxy::directives::Header;
use crate::proxy::doctor::{Visit, Way, Whom};
use crate::route::Asker;
use crate::route::handler::show::Patient;
use crate::throttle::logins::admin::{Offender, Prospect};

/// For each step: who takes longer keeps clients waiting for as long.
const WITHIN: Duration = Duration::from_secs(10);

/// Whom a lookup is asked about: nobody, at a name that is nobody's (RFC 2606 §2).
const NOBODY: &str = "gatepost-doctor@gatepost.invalid";

impl Running {
    pub(super) async fn examine_it(
        &self,
        subject: Subject,
        ask: DoctorAsk,
    ) -> Result<Diagnosis, Problem> {
        match subject {
            Subject::Upstream => self.examine_upstream(ask).await,
            Subject::Lookup => self.examine_lookup(ask).await,
            Subject::ClientIp => self.examine_client(&ask),
        }
    }

    async fn examine_upstream(&self, ask: DoctorAsk) -> Result<Diagnosis, Problem> {
        let visits = visits(&self.serving(), &ask.name)?;
        let secret = ask.password.map(|password| password.0);
        let whom = ask.login.map(|user| Whom { user, secret });
        let has_many = visits.iter().any(|one| one.site.words.name != visits[0].site.words.name);
        let all = visits.into_iter().map(|visit| {
            let title = match has_many {
                true => format!("{} {}", visit.site.words.name, visit.title()),
                false => visit.title(),
            };
            tasks::spawn("doctor", walk(visit, title, whom.clone()))
        });
        Ok(Diagnosis::of(ask.name, joined(all.collect::<Vec<_>>()).await?))
    }

    async fn examine_lookup(&self, ask: DoctorAsk) -> Result<Diagnosis, Problem> {
        let patients = patients(&self.serving(), &ask.name)?;
        let user = ask.login.unwrap_or_else(|| NOBODY.to_owned());
        let all = patients
            .into_iter()
            .map(|(site, patient)| tasks::spawn("doctor", question(site, patient, user.clone())));
        Ok(Diagnosis::of(ask.name, joined(all.collect::<Vec<_>>()).await?))
    }

    /// `CLIENT`, or `CLIENT/PEER`: who says that the client is that one.
    fn examine_client(&self, ask: &DoctorAsk) -> Result<Diagnosis, Problem> {
        let (client, peer) = match ask.name.split_once('/') {
            Some((client, peer)) => (client, Some(peer)),
            None => (&*ask.name, None),
        };
        let ip = |text: &str| {
            text.parse::<IpAddr>().map(|ip| ip.to_canonical()).map_err(|_| {
                Problem::bad(format!("\"{text}\" is no address"))
                    .hint("give CLIENT, or CLIENT/PEER with the balancer that it comes through")
            })
        };
        let (client, peer) = (ip(client)?, peer.map(ip).transpose()?);
        let serving = self.serving();
        let offenders = self.kept.ledger.status(usize::MAX);
        let all = serving.sites.iter().map(|site| meets(site, client, peer, &offenders));
        Ok(Diagnosis::of(ask.name.clone(), all))
    }
}

/// Every server that is meant, as each kind of login uses it.
fn visits(serving: &Serving, name: &str) -> Result<Vec<Visit>, Problem> {
    let (upstream, server) = match name.split_once('/') {
        Some((upstream, server)) => (upstream, Some(server)),
        None => (name, None),
    };
    let unknown = |words: String| Problem::unknown(words).hint("gatepost upstream list");
    let group = serving
        .group(upstream)
        .ok_or_else(|| unknown(format!("there is no upstream \"{upstream}\"")))?;
    let mut visits: Vec<Visit> = Vec::new();
    for site in serving.sites.iter().filter(|site| site.groups.contains_key(upstream)) {
        let towards = site.towards(Some(upstream));
        for one in group.servers().iter().filter(|one| server.is_none_or(|name| *one.text == *name))
        {
            let visit =
                Visit { site: Arc::clone(site), towards: Arc::clone(towards), server: one.clone() };
            let key = |visit: &Visit| (visit.site.words.name, visit.title(), visit.way());
            if !visits.iter().any(|known| key(known) == key(&visit)) {
                visits.push(visit);
            }
        }
    }
    match (visits.is_empty(), server) {
        (true, Some(server)) => {
            Err(unknown(format!("upstream \"{upstream}\" has no server \"{server}\"")))
        }
        (true, None) => Err(unknown(format!("nobody uses upstream \"{upstream}\""))),
        (false, _) => Ok(visits),
    }
}

async fn joined<T: Send + 'static>(
    all: Vec<tokio::task::JoinHandle<T>>,
) -> Result<Vec<T>, Problem> {
    let mut done = Vec::new();
    for one in all {
        done.push(one.await.map_err(|_| Problem::unavailable("the examination broke off"))?);
    }
    Ok(done)
}

/// All steps towards one server; of several addresses the first that answers goes on.
async fn walk(visit: Visit, title: String, whom: Option<Whom>) -> Examination {
    let mut exam = Examination::new(title, WITHIN);
    let found = exam.step("dns", visit.addresses(), |found: &Vec<_>| listed(found)).await;
    let found = found.unwrap_or_default();
    let own = &visit;
    let reach = |at: Endpoint| async move { own.connect(&at).await };
    let at = exam
        .step("connect", first(&found, reach), |(at, ())| at.to_string())
        .await
        .map(|(at, ())| at);
    // What could not be reached is not used: a step that is skipped makes nothing.
    let at = at.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into());
    let sealed = |sealed: &crate::proxy::doctor::Sealed| sealed.protocol.to_owned();
    if visit.way() == Way::Implicit {
        exam.step("tls", visit.seal(&at), sealed).await;
    }
    exam.step("greeting", visit.greeting(&at), |()| String::new()).await;
    if visit.way() == Way::StartTls {
        exam.step("tls", visit.seal(&at), sealed).await;
    }
    if let Some(whom) = whom {
        exam.step("login", visit.log_in(&at, &whom), String::clone).await;
    }
    exam
}

/// The first address that answers, and else why the last did not.
async fn first<T, F>(
    found: &[Endpoint],
    attempt: impl Fn(Endpoint) -> F,
) -> Result<(Endpoint, T), String>
where
    F: Future<Output = Result<T, String>>,
{
    let mut cause = "it has no address".to_owned();
    for at in found {
        match attempt(at.clone()).await {
            Ok(done) => return Ok((at.clone(), done)),
            Err(why) => cause = why,
        }
    }
    Err(cause)
}

fn listed(found: &[Endpoint]) -> String {
    let shown = |at: &Endpoint| at.ip().map_or_else(|| at.to_string(), |ip| ip.to_string());
    found.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// Every handler of the lookups that are meant: by a block's name, a URL, or a host and port.
fn patients(serving: &Serving, name: &str) -> Result<Vec<(Arc<Site>, Patient)>, Problem> {
    let mut found: Vec<(Arc<Site>, Patient)> = Vec::new();
    for site in &serving.sites {
        for handler in site.router.handlers() {
            let title = if handler.title().is_empty() { ANONYMOUS } else { handler.title() };
            for patient in handler.patients(site.router.names()) {
                let is_meant = title == name || patient.is_called(name);
                let is_known = found.iter().any(|(_, known)| known.url() == patient.url());
                if is_meant && !is_known {
                    found.push((Arc::clone(site), patient));
                }
            }
        }
    }
    match found.is_empty() {
        true => Err(Problem::unknown(format!("there is no lookup and no handler \"{name}\""))
            .hint("gatepost lookup list")),
        false => Ok(found),
    }
}

/// All steps towards one handler.
async fn question(site: Arc<Site>, patient: Patient, user: String) -> Examination {
    let mut exam = Examination::new(patient.title().to_owned(), WITHIN);
    let found = exam.step("dns", patient.addresses(), |found: &Vec<_>| listed(found)).await;
    let found = found.unwrap_or_default();
    let open = |at: Endpoint| async move {
        let deadline = Instant::now() + WITHIN;
        let opened = connect::open(&at, connect::Options::default(), deadline).await;
        opened.map_err(|error| error.to_string())
    };
    let opened = exam.step("connect", first(&found, open), |(at, _)| at.to_string()).await;
    if let Some((connector, host)) = patient.security() {
        let sealing = async {
            let (_, plain) = opened.ok_or_else(|| "not connected".to_owned())?;
            let deadline = Instant::now() + WITHIN;
            let connected = connector.connect(plain, host, deadline).await;
            connected.map(|done| done.protocol).map_err(|error| error.to_string())
        };
        exam.step("tls", sealing, |protocol| (*protocol).to_owned()).await;
    }
    let nobody = Endpoint::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let asker = Asker {
        protocol: site.words.name,
        client: nobody.clone(),
        host: None,
        local: nobody,
        secure_upstream: false,
        attempt: 1,
        tls: None,
        proxied: None,
        headers: Vec::new(),
    };
    exam.step("answer", patient.ask(&user, &asker), String::clone).await;
    exam
}

/// What a client meets at one virtual server.
fn meets(site: &Site, client: IpAddr, peer: Option<IpAddr>, offenders: &[Offender]) -> Examination {
    let mut exam = Examination::new(format!("{} {}", site.words.name, site.name), WITHIN);
    let at = |ip: IpAddr| Endpoint::from(SocketAddr::new(ip, 0));
    let counts = match peer {
        Some(peer) if site.settings.believes(&at(peer)) => {
            exam.note("peer", Ok(format!("{peer} is believed: it is in set_real_ip_from")));
            client
        }
        Some(peer) => {
            let words =
                format!("{peer} is not in set_real_ip_from: its clients are all taken for {peer}");
            exam.note("peer", Err(words));
            peer
        }
        None => client,
    };
    let is_trusted = site.settings.believes(&at(counts));
    let words = match is_trusted {
        true => format!("{counts}, which is believed about others, too"),
        false => counts.to_string(),
    };
    exam.note("client", Ok(words));
    exam.note(
        "throttle",
        site.logins.of_address(counts, offenders).map_or_else(
            || Ok("no failures".to_owned()),
            |(offender, prospect)| {
                let some = if offender.failures == 1 { "failure" } else { "failures" };
                let words = format!(
                    "{} {some} of {}, forgotten in {} s",
                    offender.failures, offender.name, offender.seconds_left
                );
                match prospect {
                    Prospect::Free => Ok(words),
                    Prospect::Delayed => Ok(format!("{words}: logins wait")),
                    Prospect::Denied => Err(format!("{words}: logins are refused")),
                }
            },
        ),
    );
    let mut names: Vec<_> = site.groups.keys().collect();
    names.sort();
    let own = std::iter::once(("", &site.towards));
    let groups = names.into_iter().map(|name| (&**name, site.towards(Some(name))));
    for (name, towards) in own.chain(groups) {
        let told = told(site.words.name, &towards.tells);
        let what =
            if name.is_empty() { "any other upstream".to_owned() } else { format!("\"{name}\"") };
        exam.note("told", Ok(format!("{what} hears of {counts} by {told}")));
    }
    exam
}

/// By what an upstream is told who the client is.
fn told(protocol: &str, tells: &crate::proxy::directives::Tells) -> String {
    let mut ways = Vec::new();
    match tells.header {
        Header::Off => {}
        Header::V1 => ways.push("PROXY v1"),
        Header::V2 => ways.push("PROXY v2"),
    }
    let by = match protocol {
        "imap" => (tells.imap_id, "ID", "ID if it is offered"),
        "pop3" => (tells.pop3_xoip, "XOIP", "XOIP if it is offered"),
        "smtp" | "lmtp" => (tells.xclient, "XCLIENT", "XCLIENT if it is offered"),
        _ => (Tell::Off, "", ""),
    };
    match by {
        (Tell::On, always, _) => ways.push(always),
        (Tell::Auto, _, maybe) => ways.push(maybe),
        (Tell::Off, ..) => {}
    }
    if ways.is_empty() { "nothing".to_owned() } else { ways.join(" and ") }
}
