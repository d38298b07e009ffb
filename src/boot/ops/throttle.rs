//! `throttle`: who has failed logins, and forgiving them.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::{Running, Told, page, times};
use crate::admin::api::{
    ForgiveAsk, Forgiven, MOST_ROWS, Offender, Offenders, OffendersAsk, Problem, SpareAsk, Spared,
    Verdict,
};
use crate::config::value::cidr;
use crate::throttle::logins::Spare;
use crate::throttle::logins::admin::{self, Prospect, Target};

/// So many are looked through at the most.
const MOST: usize = 20_000;

/// The longest `--for`, in seconds.
const LONGEST: u64 = 365 * 86_400;

impl Running {
    pub(super) async fn list_offenders(&self, ask: OffendersAsk) -> Result<Offenders, Problem> {
        let serving = self.serving();
        let worst = |one: &admin::Offender| {
            let all = serving.sites.iter().map(|site| site.logins.prospect(one));
            all.max().unwrap_or(Prospect::Free)
        };
        let mut found: Vec<_> = self.kept.ledger.status(MOST);
        // The worst first; a pair that fails seldom is behind an address that does often.
        found.sort_by_key(|one| std::cmp::Reverse((worst(one), one.failures)));
        let (rows, total, next) = page(found, ask.after, ask.limit);
        let offenders = rows.into_iter().map(|one| {
            let prospect = worst(&one);
            offender(one, prospect)
        });
        Ok(Offenders { offenders: offenders.collect(), total, next })
    }

    pub(super) async fn list_spared(&self) -> Result<Spared, Problem> {
        let all = self.kept.ledger.whitelisted();
        let until = all.iter().filter_map(|own| Some((own.net.to_string(), times::of(own.until?))));
        let until = until.collect();
        let networks = all.iter().map(|own| own.net.to_string()).collect();
        Ok(Spared { networks, until, problems: Vec::new() })
    }

    pub(super) async fn spare_them(&self, ask: SpareAsk) -> Result<Spared, Problem> {
        let net = cidr(&ask.network).ok_or_else(|| {
            Problem::bad(format!("\"{}\" is neither an address nor a network", ask.network))
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let until = match ask.for_s {
            Some(seconds) if !(1..=LONGEST).contains(&seconds) => {
                return Err(Problem::bad(format!("\"for_s\" must be from 1 to {LONGEST}")));
            }
            Some(seconds) => Some(now.saturating_add(seconds)),
            None => None,
        };
        let order = Spare { net, until };
        // Kept before the answer, as every order is.
        let mut problems = match ask.off {
            true => Told::of(self.kept.ledger.unspare(net).await).problems,
            false => Told::of(self.kept.ledger.whitelist(order).await).problems,
        };
        problems.extend(self.flush().await);
        Ok(Spared { problems, ..self.list_spared().await? })
    }

    pub(super) async fn forgive_them(&self, ask: ForgiveAsk) -> Result<Forgiven, Problem> {
        let offenders = self.kept.ledger.status(MOST);
        let targets = match &ask.key {
            None => {
                let all = offenders.iter().flat_map(|one| targets(&one.name, &offenders));
                let mut all: Vec<Target> = all.collect();
                all.sort_by_key(|target| format!("{target:?}"));
                all.dedup();
                // Each is a word to the fleet.
                all.truncate(usize::try_from(MOST_ROWS).unwrap_or(usize::MAX));
                all
            }
            Some(key) => targets(key, &offenders),
        };
        let (mut forgiven, mut told) = (0, Told { fleet: true, problems: Vec::new() });
        for target in &targets {
            let (count, error) = self.kept.ledger.forgive(target).await;
            forgiven += count as u64;
            told = told.and(Told::of(error));
        }
        Ok(Forgiven { forgiven, problems: told.problems })
    }
}

/// Who is meant by a name as the list has it: an address, a network (every address in it that has
/// failed), a user, with quotes or without, or a user at an address.
fn targets(key: &str, offenders: &[admin::Offender]) -> Vec<Target> {
    let user = |name: &str| Target::User(name.trim_matches('"').to_owned());
    if let Ok(ip) = key.parse::<IpAddr>() {
        return vec![Target::Address(ip)];
    }
    if let Some(net) = cidr(key) {
        let inside = offenders.iter().filter_map(|one| one.name.parse::<IpAddr>().ok());
        let mut inside: Vec<_> = inside.filter(|ip| net.contains(*ip)).collect();
        // The network's own count goes with any of its addresses.
        if inside.is_empty() {
            inside.extend(key.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok()));
        }
        return inside.into_iter().map(Target::Address).collect();
    }
    match key.rsplit_once(" at ") {
        Some((name, _)) => vec![user(name)],
        None => vec![user(key)],
    }
}

fn offender(one: admin::Offender, prospect: Prospect) -> Offender {
    let verdict = match prospect {
        Prospect::Free => Verdict::Watched,
        Prospect::Delayed => Verdict::Delayed,
        Prospect::Denied => Verdict::Denied,
    };
    let left = Duration::from_secs(one.seconds_left);
    let until = (prospect != Prospect::Free).then(|| times::at(Instant::now() + left));
    let kind = if one.kind == "prefix" { "network" } else { one.kind };
    let key = match one.kind {
        "user" => one.name.trim_matches('"').to_owned(),
        _ => one.name,
    };
    Offender { kind: kind.to_owned(), key, failures: one.failures.into(), verdict, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: &'static str, name: &str) -> admin::Offender {
        admin::Offender { kind, name: name.into(), failures: 3, seconds_left: 60 }
    }

    #[test]
    fn whatever_the_list_shows_can_be_forgiven() {
        let ip = |text: &str| Target::Address(text.parse().unwrap());
        let user = |text: &str| Target::User(text.into());
        let all = [failed("address", "192.0.2.7"), failed("address", "192.0.2.9")];
        for (key, want) in [
            ("192.0.2.7", vec![ip("192.0.2.7")]),
            ("2001:db8::1", vec![ip("2001:db8::1")]),
            ("192.0.2.0/24", vec![ip("192.0.2.7"), ip("192.0.2.9")]),
            ("198.51.100.0/24", vec![ip("198.51.100.0")]),
            ("\"mrose\"", vec![user("mrose")]),
            ("bob@a.example", vec![user("bob@a.example")]),
            ("\"mrose\" at 192.0.2.7", vec![user("mrose")]),
        ] {
            assert_eq!(targets(key, &all), want, "{key}");
        }
    }

    #[tokio::test]
    async fn who_is_let_alone_has_no_end() {
        let free = offender(failed("prefix", "192.0.2.0/24"), Prospect::Free);
        assert_eq!((&*free.kind, free.verdict, free.until), ("network", Verdict::Watched, None));
        let denied = offender(failed("user", "\"a\""), Prospect::Denied);
        assert!(denied.verdict == Verdict::Denied && denied.until.is_some());
        assert_eq!(denied.key, "a");
    }
}
