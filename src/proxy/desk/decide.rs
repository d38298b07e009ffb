//! Where a login goes, and the login there.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::time::Instant;

use super::super::session::addr;
use super::super::site::{Site, Towards};
use super::call::{Call, Client};
use super::credentials::{Credentials, Lack};
use super::error::Error;
use super::place::{Place, Sticky};
use super::understand::{owner, understand};
use super::{Desk, Found, Missed, Upstream};
use crate::login::{Attempt, Granted, Kind, Mechanism, Refusal, Verdict};
use crate::net::{Endpoint, Stream};
use crate::observe::Level;
use crate::observe::escape::Quoted;
use crate::route::maintenance::Clientele;
use crate::route::presence::canonical;
use crate::route::{Origin, Route};
use crate::throttle::logins::Entry;
use crate::throttle::{Names, Stage};
use crate::tls;

/// How many addresses one login may try: an upstream with a hundred dead servers must not keep a
/// client waiting for a hundred timeouts.
const MOST_TRIES: usize = 6;

/// Whose mailbox a route leads to, by the account's own name where a source has said one: however
/// it is typed, its sessions belong together.
fn account<'a>(route: &'a Route, attempt: &'a Attempt) -> &'a [u8] {
    let own = route.account.as_deref().or(route.user.as_deref());
    match route.authzid.as_deref().or(attempt.authzid.as_deref()) {
        _ if attempt.mechanism == Mechanism::Unasked => attempt.mailbox(),
        Some(authzid) => authzid,
        None => own.unwrap_or(attempt.mailbox()),
    }
}

/// Whose secret is about to be judged, by the account's own name where a source has said one. None
/// where there is nothing to guess: who has proved his name is nobody else.
fn guessed_at<'a>(route: &'a Route, attempt: &'a Attempt) -> Option<&'a [u8]> {
    match attempt.mechanism {
        Mechanism::External | Mechanism::Gssapi | Mechanism::Unasked => None,
        // What a source says of the account is of the mailbox's.
        _ if attempt.authzid.is_some() => Some(route.user.as_deref().unwrap_or(&attempt.user)),
        _ => Some(route.account.as_deref().or(route.user.as_deref()).unwrap_or(&attempt.user)),
    }
}

/// What it is counted by.
fn names<'a>(route: &'a Route, attempt: &'a Attempt) -> Names<'a> {
    let mailbox = account(route, attempt);
    // The account is his whose password it is, unless he says that he acts for another.
    let login = if attempt.authzid.is_some() { &attempt.user } else { mailbox };
    Names { login, mailbox }
}

/// One login on its way.
#[derive(Clone, Copy)]
struct Hop<'a> {
    site: &'a Arc<Site>,
    attempt: &'a Attempt,
    suffix: &'a str,
    /// How many more proxies it may pass, this one included.
    ttl: u8,
    entry: Option<&'a Entry>,
    /// Among whom the user is.
    of: Clientele<'a>,
    began: Instant,
}

impl Hop<'_> {
    /// Somebody is about to see the secret.
    fn shown(&self) {
        if let Some(entry) = self.entry {
            entry.shown();
        }
    }
}

impl Desk<'_> {
    pub async fn decide(
        &self,
        site: &Arc<Site>,
        attempt: &Attempt,
        found: Option<Found>,
    ) -> Result<(Upstream, Granted), Refusal> {
        let session = self.session;
        let ttl = attempt.claims.ttl.map_or(site.settings.ttl, |ttl| ttl.min(site.settings.ttl));
        if ttl == 0 {
            let words = "login has passed through too many proxies: a loop";
            session.log(Level::Error, Some("in auth state"), words);
            return Err(Refusal::new(Kind::Unavailable));
        }
        let (attempt, suffix) = understand(site, attempt);
        let name = canonical(attempt.mailbox());
        let domain = name.split_once('@').map(|(_, domain)| domain);
        if let Some(notice) = site.fleet.maintenance.in_force(domain) {
            let words = format!("client login failed: \"{}\"", Quoted(notice.text.as_bytes()));
            session.log(Level::Info, Some("in auth state"), words);
            return Err(notice.refusal());
        }
        let entry = self.begin(site, &attempt).await?;
        let (of, began) = (Clientele { protocol: site.words.name, domain }, Instant::now());
        let (entry_at, suffix) = (entry.as_ref(), &*suffix);
        let hop = Hop { site, attempt: &attempt, suffix, ttl, entry: entry_at, of, began };
        let led = self.lead(&hop, found).await;
        match led {
            Ok((upstream, granted, route)) => {
                site.fleet.maintenance.somebody_for(of);
                if route.keepable {
                    let asker = self.asker(site, &attempt).await;
                    site.router.keep(&attempt, &asker, &route);
                }
                if let Some(mut entry) = entry {
                    let account = route.account.as_deref().or(route.user.as_deref());
                    entry.is_of(account.unwrap_or(&attempt.user));
                    let denied = entry.succeeded().await.err();
                    if let Some(denied) = denied {
                        return Err(denied.refusal(site.words.name, attempt.mechanism));
                    }
                }
                Ok((upstream, granted))
            }
            Err(missed) => {
                if matches!(missed, Missed::Upstream(_)) {
                    site.fleet.maintenance.somebody_for(of);
                }
                if missed.is_nobody()
                    && attempt.mechanism != Mechanism::Unasked
                    && let Some((refusal, took)) = site.fleet.maintenance.outage(of)
                {
                    // Those who exist cannot be let in now: so nobody hears more than they.
                    let wait = took.saturating_sub(began.elapsed());
                    if let Some(entry) = entry {
                        entry.unknown();
                    }
                    return Err(Refusal { wait, ..refusal });
                }
                Err(self.end(site, &attempt, entry, missed).await)
            }
        }
    }

    /// Counts an attempt by the account that a route leads to, whatever name has led there.
    async fn hold_to(&self, hop: &Hop<'_>, route: &Route) -> Result<(), Missed> {
        let Some((entry, account)) = hop.entry.zip(guessed_at(route, hop.attempt)) else {
            return Ok(());
        };
        // Another name of its own is guessed at as the account is.
        let own = owner(hop.site, hop.attempt);
        let account = if account == &*hop.attempt.user { &*own } else { account };
        match entry.hold_to(account).await {
            true => Ok(()),
            // A name that is nobody's would hear the same.
            false => Err(Missed::Unknown(Refusal::new(Kind::BadCredentials))),
        }
    }

    /// Finds the route and goes there. A kept one that fails, or whose upstream does not know the
    /// user, is looked up again, once: the user may have moved.
    async fn lead(
        &self,
        hop: &Hop<'_>,
        found: Option<Found>,
    ) -> Result<(Upstream, Granted, Route), Missed> {
        if hop.attempt.disproved {
            if let Some(Ok(route)) = &found {
                self.hold_to(hop, route).await?;
            }
            // One that nobody knows hears the same as one whose password is wrong, whatever a handler
            // has said of it. And as with a handler, who is not made to wait is sent away: guessing
            // costs a connection each time.
            let words = "client login failed: \"wrong proof\"";
            self.session.log(Level::Info, Some("in auth state"), words);
            let refusal = Refusal { close: true, ..Refusal::new(Kind::BadCredentials) };
            return Err(Missed::Refused(refusal));
        }
        if hop.site.router.shows_secrets() {
            hop.shown();
        }
        let mut route = match found {
            Some(found) => found?,
            None => self.find(hop.site, hop.attempt).await?,
        };
        self.hold_to(hop, &route).await?;
        let missed = match self.knock(hop, &mut route).await {
            Ok((upstream, granted)) => return Ok((upstream, granted, route)),
            Err(missed) => missed,
        };
        if matches!(route.origin, Origin::Kept { .. })
            && let Some(reason) = missed.is_worth_another_look()
            && let Some(mut fresh) = self.find_anew(hop.site, hop.attempt, &route, reason).await
        {
            self.hold_to(hop, &fresh).await?;
            let (upstream, granted) = self.knock(hop, &mut fresh).await?;
            return Ok((upstream, granted, fresh));
        }
        Err(missed)
    }

    /// Tries the addresses of a route until one rules.
    async fn knock(&self, hop: &Hop<'_>, route: &mut Route) -> Result<(Upstream, Granted), Missed> {
        let Hop { site, attempt, suffix, ttl, entry, .. } = *hop;
        let session = self.session;
        self.check(attempt, route)?;
        let names = names(route, attempt);
        session.count(Stage::LoggingIn, Some(&names)).map_err(|over| over.refusal())?;
        let group = route.group.as_ref().map(|group| group.name.as_str());
        let towards = Arc::clone(site.towards(group));
        let overriding;
        let security = match route.security {
            None => &towards.security,
            Some(wanted) => {
                overriding =
                    towards.security_of(wanted).ok_or_else(|| self.lacks(Lack::Tls, route))?;
                &overriding
            }
        };
        let is_smtp = matches!(site.words.name, "smtp" | "lmtp");
        let credentials = Credentials::new(attempt, route, &towards.tells, is_smtp, suffix)
            .map_err(|lack| self.lacks(lack, route))?;
        session.line(|line| line.upstream_name = group.map(Into::into));
        let endpoint = self.client(site, attempt);
        let client =
            Client { endpoint: &endpoint, host: self.host(site, attempt).await, ttl: ttl - 1 };
        // A message without a login goes where its recipient's sessions are, and is none of them.
        let (user, port) = (canonical(account(route, attempt)), security.port(site.words));
        let is_guest = attempt.mechanism == Mechanism::Unasked;
        let mut sticky = Sticky::of(&site.fleet, route, &user, port, is_guest);
        if let Some(sticky) = &mut sticky {
            sticky.place(route).await;
        }
        for tries in 1.. {
            let mut target = match route.targets.next(port).await {
                None => break,
                Some(Ok(target)) => target,
                Some(Err(error)) => {
                    session.log(Level::Error, Some("connecting to upstream"), error);
                    if tries >= MOST_TRIES {
                        route.targets.nobody(port);
                        break;
                    }
                    continue;
                }
            };
            session.line(|line| line.upstream = Some(addr(&target.endpoint)));
            let greeted = AtomicBool::new(false);
            let call = Call {
                session,
                site,
                towards: &towards,
                security,
                target: &target,
                greeted,
                entry,
            };
            let done = match target.endpoint == session.local {
                true => Err(Error::Loop),
                false => call.make(attempt, &credentials, &client).await,
            };
            match done {
                Ok((mut upstream, verdict)) => {
                    if let Some(slot) = &target.slot {
                        slot.works();
                    }
                    let address = || target.endpoint.to_string().into();
                    let server = target.server.clone().unwrap_or_else(address);
                    if matches!(verdict, Verdict::Accepted(_))
                        && let Some(sticky) = sticky
                    {
                        sticky.settle(&server);
                    }
                    upstream.place = Some(Place {
                        user: if attempt.envelope.is_some() { String::new() } else { user },
                        group: route.group.clone(),
                        server,
                        endpoint: target.endpoint.clone(),
                        slot: target.slot.take(),
                    });
                    return self.settle(site, &towards, &target.endpoint, upstream, verdict);
                }
                Err(error) => {
                    towards.counters.failed(error.phase());
                    session.log(Level::Error, Some(error.doing()), &error);
                    if !error.is_worth_another_try() {
                        break;
                    }
                    if let Some(slot) = target.slot.take() {
                        slot.failed(&error);
                    }
                    if tries >= MOST_TRIES {
                        route.targets.nobody(port);
                        break;
                    }
                    if let Some(sticky) = &mut sticky {
                        sticky.place(route).await;
                    }
                }
            }
        }
        let ailing = route.group.as_ref().and_then(|group| {
            let notice = site.fleet.maintenance.of_upstream(&group.name)?;
            Some(Missed::Gone(notice.refusal()))
        });
        let group = route.group.as_ref().map(|group| group.name.as_str());
        site.fleet.maintenance.nobody_for(hop.of, group, hop.began.elapsed());
        Err(ailing.unwrap_or(Missed::Unreachable))
    }

    /// Where the table decides, nobody has checked what the client claims: only what it has proved
    /// to us, or will to the upstream, counts.
    fn check(&self, attempt: &Attempt, route: &Route) -> Result<(), Refusal> {
        let is_proved = route.is_checked
            || match attempt.mechanism {
                Mechanism::Login
                | Mechanism::Plain
                | Mechanism::AuthLogin
                | Mechanism::XOauth2
                | Mechanism::OauthBearer
                | Mechanism::Unasked => true,
                Mechanism::External => {
                    self.session.guest().certificate.as_deref() == Some(attempt.mailbox())
                }
                Mechanism::Gssapi => attempt.authzid.is_none(),
                Mechanism::Apop | Mechanism::CramMd5 | Mechanism::ScramSha256 => false,
            };
        if is_proved {
            return Ok(());
        }
        let words = "client login failed: \"nobody has checked this login\"";
        self.session.log(Level::Info, Some("in auth state"), words);
        Err(Refusal::new(Kind::Forbidden))
    }

    /// The login cannot be made, for want of something that an admin must see to.
    fn lacks(&self, lack: Lack, route: &Route) -> Refusal {
        if lack == Lack::Judge {
            let words = format!("client login failed: \"{lack}\"");
            self.session.log(Level::Info, Some("in auth state"), words);
            return Refusal::new(Kind::Forbidden);
        }
        let words = match &route.handler {
            Some(handler) => format!("auth http server {handler} {lack}"),
            None => format!("the route {lack}"),
        };
        self.session.log(Level::Error, Some("in http auth state"), words);
        Refusal::new(Kind::Internal)
    }

    fn settle(
        &self,
        site: &Site,
        towards: &Towards,
        endpoint: &Endpoint,
        upstream: Upstream,
        verdict: Verdict,
    ) -> Result<(Upstream, Granted), Missed> {
        match verdict {
            Verdict::Accepted(mut granted) => {
                let lacking = match std::mem::take(&mut granted.offers) {
                    offers if matches!(site.words.name, "smtp" | "lmtp") => {
                        site.offer.learn(endpoint, offers)
                    }
                    _ => Vec::new(),
                };
                if !lacking.is_empty() {
                    let lacking = lacking.join(", ");
                    let words =
                        format!("upstream does not offer what clients were told: {lacking}");
                    self.session.log(Level::Warn, Some("in auth state"), words);
                }
                let security = match &upstream.stream {
                    Stream::Client(stream) => {
                        Some(tls::suites::version_name(stream.get_ref().1.protocol_version()))
                    }
                    _ => None,
                };
                self.session.line(|line| line.upstream_tls = security);
                Ok((upstream, granted))
            }
            Verdict::Refused { kind, text, untagged, sasl } => {
                let mut refusal = Refusal::new(kind);
                refusal.untagged = untagged;
                refusal.sasl = sasl;
                let is_for_clients = site.settings.pass_error_message || is_referral(&text);
                // What bans clients reads the first of these; the other is the upstream's affair.
                let (level, what) = match kind {
                    Kind::BadCredentials | Kind::Forbidden | Kind::Throttled => {
                        (Level::Info, "client login failed")
                    }
                    Kind::Unavailable | Kind::Internal | Kind::NeedsTls => {
                        (Level::Error, "upstream sent invalid response")
                    }
                };
                let line = format!("{what}: \"{}\"", Quoted(text.trim_ascii()));
                self.session.log(level, Some("reading response from upstream"), line);
                Err(Missed::Upstream(if is_for_clients {
                    refusal.with_text(&text)
                } else {
                    refusal
                }))
            }
            Verdict::Misbehaved(words) => {
                let error = Error::Misbehaved(words);
                towards.counters.failed(error.phase());
                self.session.log(Level::Error, Some(error.doing()), &error);
                Err(Missed::Refused(Refusal::new(Kind::Unavailable)))
            }
        }
    }
}

/// RFC 2193 §3: a referral is for the client to follow, whatever else it may hear.
fn is_referral(text: &[u8]) -> bool {
    text.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"[REFERRAL "))
        || text.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"(REFERRAL "))
        || text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"[ALERT]"))
}
