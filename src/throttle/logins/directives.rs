//! How often somebody may fail to log in, and Zimbra's limits of its proxy.

use std::sync::Arc;
use std::time::Duration;

use super::window::Rule;
use crate::config::value::{Cidr, Wrong, cidr, read_time};
use crate::config::{Block, Directive, MAIL, SERVER, Secret, Statement, Takes};

const fn one(name: &'static str, default: &'static str, doc: &'static str) -> Directive {
    let (within, takes) = (&[MAIL, SERVER], Takes::Args(1, 1));
    Directive { name, within, takes, repeats: false, default, secret: Secret::None, doc }
}

const fn many(
    name: &'static str,
    repeats: bool,
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive {
        name,
        within: &[MAIL, SERVER],
        takes: Takes::AtLeast(1),
        repeats,
        default,
        secret: Secret::None,
        doc,
    }
}

const fn flag(name: &'static str, default: &'static str, doc: &'static str) -> Directive {
    let (within, takes) = (&[MAIL, SERVER], Takes::Flag);
    Directive { name, within, takes, repeats: false, default, secret: Secret::None, doc }
}

pub const DIRECTIVES: &[Directive] = &[
    flag(
        "login_throttle",
        "on",
        "Whether failed logins are counted and, beyond the limits of `login_failures_*`, refused before \
         anything is looked up. Counts are shared by all servers of this gatepost and, with \
         `memcached`, by all gateposts. Zimbra's limits (`mail_login_*`) hold either way.",
    ),
    many(
        "login_failures_address",
        false,
        "30/10m free=5 delay=500ms max_delay=8s",
        "How many logins may fail from one client address (IPv6: one /64) within a time: `NUMBER/TIME \
         [free=NUMBER] [delay=TIME] [max_delay=TIME]`, or `off`. The time begins with the first failure. \
         After `free` failures each further attempt waits `delay`, then twice as long, up to \
         `max_delay`; after NUMBER it is refused until the time is over. Users who have logged in from \
         that address before (`login_known`) are neither delayed nor refused by it, nor do they count.",
    ),
    many(
        "login_failures_prefix",
        false,
        "150/10m free=50 delay=500ms max_delay=8s",
        "The same for the network that an address lies in (`login_prefix`).",
    ),
    many(
        "login_failures_user",
        false,
        "10/10m free=3 delay=500ms max_delay=8s",
        "The same for one user, from wherever; users that do not exist count like those that do. \
         Addresses that the user has logged in from before are let alone: there as many failures are \
         borne, counted by themselves.",
    ),
    many(
        "login_attempts_address",
        false,
        "6000/1m",
        "How many logins one client address may attempt, whatever becomes of them: `NUMBER/TIME`, or \
         `off`. So many at once, and then one each TIME/NUMBER. Within the process only, by the governor \
         crate; users who are known at that address do not count.",
    ),
    Directive {
        name: "login_prefix",
        within: &[MAIL, SERVER],
        takes: Takes::Args(2, 2),
        repeats: false,
        default: "24 56",
        secret: Secret::None,
        doc: "How many bits of an address make its network: of IPv4 (8 to 32), of IPv6 (16 to 64).",
    },
    many(
        "login_whitelist",
        true,
        "127.0.0.0/8 ::1",
        "Addresses and networks that are neither counted nor refused by `login_failures_address`, \
         `login_failures_prefix` and `login_attempts_address`; `none` for none. Limits by user hold for \
         them too: a webmail on this host brings strangers.",
    ),
    one(
        "login_known",
        "30d",
        "For how long a user who has logged in from an address is known there; a login renews it. `0`: \
         nobody is.",
    ),
    one(
        "login_throttle_fail",
        "open",
        "What holds while the counters that gateposts share cannot be reached: `open`: what this one has \
         counted by itself; `closed`: logins are refused, except of users known at their address.",
    ),
    one(
        "login_rejectmsg",
        "",
        "What a login that is one too many is told, in place of words of our own.",
    ),
    one(
        "login_failure_delay",
        "1s",
        "How long after its beginning a failed login is answered at the least, whoever refused it; with \
         it those that an upstream refuses teach how long that takes, and all then take as long. So \
         nobody learns by a clock which users exist. `0` for none of it.",
    ),
    flag(
        "login_failure_uniform",
        "on",
        "Whether wrong credentials are answered in words of our own, even where the lookup or, under \
         `proxy_pass_error_message on`, the upstream has others: theirs may differ for a user that does \
         not exist.",
    ),
    one(
        "mail_login_ip_max",
        "0",
        "Zimbra's: how many connections one client address may open within `mail_login_ip_ttl`, whether \
         or not anybody logs in; `0`: any number. Beyond it the client is told so instead of being \
         greeted. IMAP, POP3, SMTP, LMTP and ManageSieve count apart. Zimbra's own default is 1000.",
    ),
    one(
        "mail_login_ip_ttl",
        "60s",
        "How long `mail_login_ip_max` counts, from the first connection on. For IMAP and POP3 their own \
         times hold, as with Zimbra.",
    ),
    one(
        "mail_login_ip_imap_max",
        "0",
        "Zimbra's: as `mail_login_ip_max`, for IMAP alone; `0`: as that says.",
    ),
    one("mail_login_ip_imap_ttl", "60s", "How long connections by IMAP are counted."),
    one(
        "mail_login_ip_pop3_max",
        "0",
        "Zimbra's: as `mail_login_ip_max`, for POP3 alone; `0`: as that says.",
    ),
    one("mail_login_ip_pop3_ttl", "60s", "How long connections by POP3 are counted."),
    one(
        "mail_login_ip_rejectmsg",
        "Login rejected from this IP",
        "What a connection that is one too many is told.",
    ),
    one(
        "mail_login_user_max",
        "0",
        "Zimbra's: how many logins of one user may succeed within `mail_login_user_ttl`; `0`: any number. \
         Failed ones do not count. Zimbra's own default is 100.",
    ),
    one(
        "mail_login_user_ttl",
        "60s",
        "How long `mail_login_user_max` counts, from the first login on.",
    ),
    one(
        "mail_login_user_rejectmsg",
        "Login rejected for this user",
        "What a login that is one too many is told.",
    ),
    many(
        "mail_whitelist_ip",
        true,
        "",
        "Zimbra's: addresses and networks whose connections `mail_login_ip_*` does not count.",
    ),
    one(
        "mail_whitelist_ip_ttl",
        "300s",
        "For how long other proxies of the fleet remember whether an address is on the list.",
    ),
];

/// What holds in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub on: bool,
    pub address: Option<Rule>,
    pub prefix: Option<Rule>,
    pub user: Option<Rule>,
    pub attempts: Option<Quota>,
    /// Of IPv4, of IPv6.
    pub bits: (u8, u8),
    pub whitelist: Arc<[Cidr]>,
    pub known: Duration,
    /// Without the shared counters nobody is let in.
    pub fails_closed: bool,
    pub text: Option<Arc<str>>,
    pub failure_delay: Duration,
    pub uniform: bool,
    pub zimbra: Zimbra,
}

/// So many at once, and then one each `per / most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub most: u32,
    pub per: Duration,
}

/// A fixed window; none where `most` is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    pub most: u64,
    pub ttl: Duration,
}

/// Zimbra's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zimbra {
    pub ip: Fixed,
    pub imap: Fixed,
    pub pop3: Fixed,
    pub ip_text: Arc<str>,
    pub user: Fixed,
    pub user_text: Arc<str>,
    pub whitelist: Arc<[Cidr]>,
    pub whitelist_ttl: Duration,
}

const NUMBER: std::ops::RangeInclusive<u64> = 0..=u32::MAX as u64;
const FORM: &str = "NUMBER/TIME [free=NUMBER] [delay=TIME] [max_delay=TIME] or \"off\"";
/// A client that is kept longer is gone.
const LONGEST: Duration = Duration::from_secs(60);

impl Default for Settings {
    fn default() -> Self {
        let rule = |most, free| Rule {
            most,
            window: Duration::from_secs(600),
            free,
            delay: Duration::from_millis(500),
            longest: Duration::from_secs(8),
        };
        let loopback = ["127.0.0.0/8", "::1"].map(|net| cidr(net).expect("it is a network"));
        let none = Fixed { most: 0, ttl: Duration::from_secs(60) };
        Self {
            on: true,
            address: Some(rule(30, 5)),
            prefix: Some(rule(150, 50)),
            user: Some(rule(10, 3)),
            attempts: Some(Quota { most: 6000, per: Duration::from_secs(60) }),
            bits: (24, 56),
            whitelist: loopback.into(),
            known: Duration::from_secs(30 * 24 * 3600),
            fails_closed: false,
            text: None,
            failure_delay: Duration::from_secs(1),
            uniform: true,
            zimbra: Zimbra {
                ip: none,
                imap: none,
                pop3: none,
                ip_text: "Login rejected from this IP".into(),
                user: none,
                user_text: "Login rejected for this user".into(),
                whitelist: Arc::default(),
                whitelist_ttl: Duration::from_secs(300),
            },
        }
    }
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        let zimbra = &outer.zimbra;
        let text =
            |name: &str, outer: &Arc<str>| block.text(name).map_or(outer.clone(), Into::into);
        let fixed = |max: &str, ttl: &str, outer: Fixed| Fixed {
            most: block.number(max, NUMBER).unwrap_or(outer.most),
            ttl: block.time(ttl).map_or(outer.ttl, |ttl| ttl.max(Duration::from_secs(1))),
        };
        Self {
            on: block.flag("login_throttle").unwrap_or(outer.on),
            address: rule(block, "login_failures_address", outer.address),
            prefix: rule(block, "login_failures_prefix", outer.prefix),
            user: rule(block, "login_failures_user", outer.user),
            attempts: attempts(block, outer.attempts),
            bits: bits(block).unwrap_or(outer.bits),
            whitelist: nets(block, "login_whitelist", &outer.whitelist),
            known: block.time("login_known").unwrap_or(outer.known),
            fails_closed: block
                .choice("login_throttle_fail", &[("open", false), ("closed", true)])
                .unwrap_or(outer.fails_closed),
            text: block.text("login_rejectmsg").map(Into::into).or_else(|| outer.text.clone()),
            failure_delay: failure_delay(block).unwrap_or(outer.failure_delay),
            uniform: block.flag("login_failure_uniform").unwrap_or(outer.uniform),
            zimbra: Zimbra {
                ip: fixed("mail_login_ip_max", "mail_login_ip_ttl", zimbra.ip),
                imap: fixed("mail_login_ip_imap_max", "mail_login_ip_imap_ttl", zimbra.imap),
                pop3: fixed("mail_login_ip_pop3_max", "mail_login_ip_pop3_ttl", zimbra.pop3),
                ip_text: text("mail_login_ip_rejectmsg", &zimbra.ip_text),
                user: fixed("mail_login_user_max", "mail_login_user_ttl", zimbra.user),
                user_text: text("mail_login_user_rejectmsg", &zimbra.user_text),
                whitelist: nets(block, "mail_whitelist_ip", &zimbra.whitelist),
                whitelist_ttl: block
                    .time("mail_whitelist_ip_ttl")
                    .map_or(zimbra.whitelist_ttl, |ttl| ttl.max(Duration::from_secs(1))),
            },
        }
    }
}

fn failure_delay(block: &Block) -> Option<Duration> {
    let at = block.statement("login_failure_delay")?;
    let delay = block.time_of(at, 0)?;
    if delay > LONGEST {
        block.fault(at, "\"login_failure_delay\" must not be longer than 60s");
    }
    Some(delay.min(LONGEST))
}

/// The rule of `name`; none where it is off.
fn rule(block: &Block, name: &str, outer: Option<Rule>) -> Option<Rule> {
    let Some(at) = block.statement(name) else { return outer };
    match read_rule(at.args()) {
        Ok(rule) => rule,
        Err(word) => {
            let text =
                format!("invalid value \"{word}\" in \"{name}\" directive, it must be {FORM}");
            block.fault(at, text);
            outer
        }
    }
}

/// `NUMBER/TIME [free=] [delay=] [max_delay=]`, or `off`; else the word that is wrong.
fn read_rule(words: &[String]) -> Result<Option<Rule>, &str> {
    let [first, more @ ..] = words else { return Err("") };
    if first == "off" {
        return more.first().map_or(Ok(None), |word| Err(word));
    }
    let Quota { most, per } = read_quota(first).map_err(|_| first.as_str())?;
    let mut rule =
        Rule { most, window: per, free: most / 3, delay: Duration::ZERO, longest: LONGEST };
    let (mut delay, mut longest) = (None, None);
    for word in more {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let time = || read_time(value).ok().filter(|time| *time <= LONGEST);
        match key {
            "free" => rule.free = number(value).ok_or(word.as_str())?,
            "delay" => delay = Some(time().ok_or(word.as_str())?),
            "max_delay" => longest = Some(time().ok_or(word.as_str())?),
            _ => return Err(word),
        }
    }
    // Each of the two has its own default, and the longer one bounds the other.
    rule.delay = delay.unwrap_or(Duration::from_millis(500));
    rule.longest = longest.unwrap_or(Duration::from_secs(8).max(rule.delay));
    Ok(Some(rule))
}

fn number(word: &str) -> Option<u32> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// `NUMBER/TIME`, both more than nothing.
fn read_quota(word: &str) -> Result<Quota, Wrong> {
    let (most, per) = word.split_once('/').ok_or(Wrong::Form)?;
    let most = number(most).filter(|most| *most > 0).ok_or(Wrong::Form)?;
    let per = read_time(per)?;
    // The least that a memcached knows is a second; a nanosecond each is the least that is told apart.
    match per >= Duration::from_secs(1) && per.as_nanos() >= u128::from(most) {
        true => Ok(Quota { most, per }),
        false => Err(Wrong::Form),
    }
}

fn attempts(block: &Block, outer: Option<Quota>) -> Option<Quota> {
    let name = "login_attempts_address";
    let Some(at) = block.statement(name) else { return outer };
    let read = match at.args() {
        [word] if word == "off" => return None,
        [word] => read_quota(word).ok(),
        _ => None,
    };
    if read.is_none() {
        let text =
            format!("invalid value in \"{name}\" directive, it must be NUMBER/TIME or \"off\"");
        block.fault(at, text);
    }
    read.or(outer)
}

fn bits(block: &Block) -> Option<(u8, u8)> {
    let at = block.statement("login_prefix")?;
    Some((block.number_of(at, 0, 8..=32)?, block.number_of(at, 1, 16..=64)?))
}

/// The networks of all statements of `name`; those of `outer` where there is none.
fn nets(block: &Block, name: &str, outer: &Arc<[Cidr]>) -> Arc<[Cidr]> {
    if !block.has(name) {
        return Arc::clone(outer);
    }
    let mut nets = Vec::new();
    for at in block.all(name) {
        if at.args() == ["none"] {
            continue;
        }
        nets.extend((0..at.args().len()).filter_map(|index| net(block, at, index)));
    }
    nets.into()
}

fn net(block: &Block, at: &Statement, index: usize) -> Option<Cidr> {
    let expected = "an address or a network such as \"10.0.0.0/8\"";
    block.read(at, index, expected, |word| cidr(word).ok_or(Wrong::Form))
}

/// What must hold for any rule, its words parted by blanks.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let words: Vec<_> = input.split(|byte| *byte == b' ').map(String::from_utf8_lossy).collect();
    let words: Vec<_> = words.into_iter().map(String::from).collect();
    let Ok(Some(rule)) = read_rule(&words) else { return };
    assert!(rule.most > 0 && rule.window >= Duration::from_secs(1) && rule.longest <= LONGEST);
    let mut last = Duration::ZERO;
    for count in (0..70).chain([u32::MAX]) {
        let delay = rule.delay(count);
        assert!(delay >= last && delay <= rule.longest, "after {count}");
        last = delay;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_read_and_its_default_is_true() {
        let quoted = |default: &str| match default.contains("rejected") {
            true => format!("\"{default}\""),
            false => default.to_owned(),
        };
        let pairs: Vec<_> = DIRECTIVES
            .iter()
            .filter(|directive| !directive.default.is_empty())
            .map(|directive| (directive.name, quoted(directive.default)))
            .collect();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let block = Block::of(&pairs);
        assert_eq!(Settings::read(&block, &Settings::default()), Settings::default());
        assert_eq!(block.faults(), [] as [&str; 0]);
        for directive in DIRECTIVES {
            assert!(block.names_read().contains(&directive.name.to_owned()), "{}", directive.name);
        }
    }

    #[test]
    fn a_server_inherits_what_it_does_not_say() {
        let mail = Block::of(&[
            ("login_failures_user", "5/1h free=0 delay=2s max_delay=4s"),
            ("login_failures_prefix", "off"),
            ("mail_login_ip_max", "1000"),
            ("mail_login_ip_imap_ttl", "3600000ms"),
            ("mail_whitelist_ip", "10.0.0.0/8"),
            ("mail_whitelist_ip", "2001:db8::/32"),
            ("login_whitelist", "none"),
        ]);
        let outer = Settings::read(&mail, &Settings::default());
        let rule = Rule {
            most: 5,
            window: Duration::from_secs(3600),
            free: 0,
            delay: Duration::from_secs(2),
            longest: Duration::from_secs(4),
        };
        assert_eq!((outer.user, outer.prefix), (Some(rule), None));
        assert_eq!(outer.zimbra.imap, Fixed { most: 0, ttl: Duration::from_secs(3600) });
        assert_eq!((outer.whitelist.len(), outer.zimbra.whitelist.len()), (0, 2));
        let server = Block::of(&[("login_prefix", "16 48"), ("login_rejectmsg", "'Not now'")]);
        let inner = Settings::read(&server, &outer);
        assert_eq!(inner, Settings { bits: (16, 48), text: Some("Not now".into()), ..outer });
        assert_eq!((mail.faults(), server.faults()), (vec![], vec![]));
    }

    #[test]
    fn a_mistake_is_named() {
        for (name, args, want) in [
            ("login_failures_user", "5", "invalid value \"5\" in"),
            ("login_failures_user", "0/1m", "invalid value \"0/1m\" in"),
            ("login_failures_user", "5/0", "invalid value \"5/0\" in"),
            ("login_failures_user", "5/1m free=x", "invalid value \"free=x\" in"),
            ("login_failures_user", "5/1m delay=2m", "invalid value \"delay=2m\" in"),
            ("login_failures_user", "5/1m burst=2", "invalid value \"burst=2\" in"),
            ("login_failures_user", "off 3", "invalid value \"3\" in"),
            ("login_attempts_address", "5", "must be NUMBER/TIME or \"off\""),
            ("login_prefix", "33 56", "must be a number from 8 to 32"),
            ("login_whitelist", "10.0.0.0/33", "must be an address or a network"),
            ("login_throttle_fail", "ajar", "must be \"open\" or \"closed\""),
            ("login_failure_delay", "2m", "must not be longer than 60s"),
            ("mail_login_ip_max", "-1", "must be a number from 0"),
        ] {
            let block = Block::of(&[(name, args)]);
            Settings::read(&block, &Settings::default());
            let faults = block.faults();
            assert!(faults.len() == 1 && faults[0].contains(want), "{faults:?}\n{want}");
        }
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_rule(input in "([0-9]{1,9}/[0-9]{1,5}[smh]?|off)( (free|delay|max_delay|x)=[0-9]{0,9}[ms]{0,2}){0,3}") {
            hold_for_any(input.as_bytes());
        }
    }
}
