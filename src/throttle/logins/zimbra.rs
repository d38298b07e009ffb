//! Zimbra's limits of its proxy: how many connections an address may open, and how many logins of a
//! user may succeed, each within a window that its first event begins.

use std::net::IpAddr;

use tokio::time::Instant;

use super::Logins;
use super::denied::{Denied, Manner};
use super::directives::{Fixed, Zimbra};
use super::figures::{By, Verdict};
use crate::memcached::{self, Key};
use crate::observe::Level;
use crate::observe::escape::Quoted;

/// By which letter the connections of a protocol are counted. The first three are Zimbra's; whatever
/// else logs in has one of its own.
pub fn letter(protocol: &str) -> char {
    match protocol {
        "imap" => 'i',
        "pop3" => 'p',
        "smtp" => 's',
        "lmtp" => 'l',
        "sieve" => 'm',
        _ => 'w',
    }
}

pub const LETTERS: [char; 6] = ['i', 'p', 's', 'l', 'm', 'w'];

pub fn ip_key(letter: char, ip: IpAddr) -> String {
    format!("throttle:proto={letter},ip={ip}")
}

pub fn user_key(user: &[u8]) -> Vec<u8> {
    let mut key = b"throttle:user=".to_vec();
    escape(user, &mut key);
    key
}

fn memo_key(ip: IpAddr) -> Key {
    Key::verbatim(format!("whitelist:ip={ip}").into_bytes())
}

/// nginx's escaping for memcached: control characters, blank and `%` as `%XX`; all else as it is.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        match byte {
            0..=b' ' | b'%' => {
                let digit = |four: u8| DIGITS[usize::from(four & 15)];
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(*byte)]);
            }
            _ => out.push(*byte),
        }
    }
}

/// What must hold for any user's name: nothing of it ends a key, and no two have the same.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let key = user_key(input);
    assert!(key.iter().all(|byte| *byte > b' '));
    let escaped = &key[b"throttle:user=".len()..];
    let (mut back, mut rest) = (Vec::new(), escaped);
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte == b'%' {
            let hex = std::str::from_utf8(&rest[..2]).expect("two digits follow");
            back.push(u8::from_str_radix(hex, 16).expect("they are hexadecimal"));
            rest = &rest[2..];
        } else {
            back.push(*byte);
        }
    }
    assert_eq!(back, input);
}

impl Zimbra {
    /// The window that connections of `protocol` are counted in, if they are.
    ///
    /// Where the protocol's own number is 0 the common one holds, and still the protocol's own time.
    pub fn window(&self, protocol: &str) -> Option<Fixed> {
        let own = match protocol {
            "imap" => self.imap,
            "pop3" => self.pop3,
            _ => self.ip,
        };
        let most = if own.most > 0 { own.most } else { self.ip.most };
        (most > 0).then_some(Fixed { most, ttl: own.ttl })
    }
}

impl Logins {
    /// Counts a connection, before its greeting.
    pub async fn connected(&self, protocol: &str, ip: Option<IpAddr>) -> Result<(), Denied> {
        let zimbra = &self.settings().zimbra;
        let (Some(window), Some(ip)) = (zimbra.window(protocol), ip.map(|ip| ip.to_canonical()))
        else {
            return Ok(());
        };
        // Boxed: a session waits here for a moment, and would be larger for it all its life.
        Box::pin(self.counted(protocol, ip, window)).await
    }

    async fn counted(&self, protocol: &str, ip: IpAddr, window: Fixed) -> Result<(), Denied> {
        let zimbra = &self.settings().zimbra;
        if self.is_on_zimbras_list(ip).await {
            return Ok(());
        }
        let count = self.count(ip_key(letter(protocol), ip), window, By::ZimbraIp).await?;
        let (of, limit) = (format_args!("[{ip}]"), window.most);
        let is_over = count > window.most;
        self.say("ip", of, count, limit, is_over, By::ZimbraIp);
        if !is_over {
            return Ok(());
        }
        Err(Denied {
            by: By::ZimbraIp,
            manner: Manner::Zimbra,
            text: Some(zimbra.ip_text.clone()),
            wait: None,
            retry: Some(window.ttl),
            count,
            limit,
        })
    }

    /// Zimbra asks its memo first. Ours is a list in memory: who is on it needs no question, and who
    /// is not may still be on another proxy's.
    async fn is_on_zimbras_list(&self, ip: IpAddr) -> bool {
        let Zimbra { whitelist, whitelist_ttl, .. } = &self.settings().zimbra;
        if whitelist.is_empty() && !self.ledger().spares(ip) {
            return false;
        }
        let is_ours = whitelist.iter().any(|net| net.contains(ip)) || self.ledger().spares(ip);
        let (cache, key) = (&self.ledger().cache, memo_key(ip));
        if !cache.is_on() {
            return is_ours;
        }
        match cache.get(&key).await {
            Ok(Some(memo)) => is_ours || memo == b"1",
            Ok(None) => {
                let memo = if is_ours { b"1" } else { b"0" };
                let _ = cache.add(&key, memo, *whitelist_ttl).await;
                is_ours
            }
            Err(_) => is_ours,
        }
    }

    /// The key of the user's logins, if they are counted.
    pub(super) fn zimbra_user(&self, user: &[u8]) -> Option<Key> {
        let is_counted = self.settings().zimbra.user.most > 0 && !user.is_empty();
        is_counted.then(|| Key::verbatim(user_key(user)))
    }

    /// Rules on a count of the user's logins.
    pub(super) fn rule_by_zimbra(&self, user: &[u8], count: u64) -> Result<(), Denied> {
        let Zimbra { user: window, user_text, .. } = &self.settings().zimbra;
        let is_over = count > window.most;
        let of = format_args!("{}", Quoted(user));
        self.say("user", of, count, window.most, is_over, By::ZimbraUser);
        if !is_over {
            return Ok(());
        }
        Err(Denied {
            by: By::ZimbraUser,
            manner: Manner::Zimbra,
            text: Some(user_text.clone()),
            wait: None,
            retry: Some(window.ttl),
            count,
            limit: window.most,
        })
    }

    /// Counts a login of the user that an upstream has let in.
    pub(super) async fn count_by_zimbra(&self, user: &[u8]) -> Result<(), Denied> {
        let window = self.settings().zimbra.user;
        if window.most == 0 || user.is_empty() {
            return Ok(());
        }
        let count = self.count(user_key(user), window, By::ZimbraUser).await?;
        self.rule_by_zimbra(user, count)
    }

    /// What the user's logins have been counted by this node alone, where there is no cache to ask.
    pub(super) fn counted_by_zimbra(&self, user: &[u8]) -> u64 {
        self.ledger().counted(&user_key(user), Instant::now())
    }

    async fn count(&self, key: impl Into<Vec<u8>>, window: Fixed, by: By) -> Result<u64, Denied> {
        let (ledger, key) = (self.ledger(), key.into());
        match ledger.cache.count(&Key::verbatim(key.clone()), 1, window.ttl).await {
            Ok(count) => return Ok(count),
            Err(memcached::Error::Off) => {}
            Err(error) => self.cannot_ask(by, &error)?,
        }
        Ok(ledger.count(&key, window.ttl, Instant::now()))
    }

    /// The log's word, as Zimbra says it.
    fn say(
        &self,
        what: &str,
        of: std::fmt::Arguments<'_>,
        count: u64,
        limit: u64,
        is_over: bool,
        by: By,
    ) {
        let (level, ruled, verdict) = match is_over {
            true => (Level::Notice, "deny", Verdict::Deny),
            false => (Level::Info, "allow", Verdict::Allow),
        };
        self.ledger().figures.count(by, verdict);
        let line = format_args!("{what} throttle:{of} {ruled} [count:{count}, limit:{limit}]");
        match is_over {
            true => self.log_seldom(level, by, line),
            false => self.log().line(level, None, line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_zimbras_letter_by_letter() {
        let ip: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(ip_key(letter("imap"), ip), "throttle:proto=i,ip=192.0.2.7");
        assert_eq!(
            ip_key(letter("pop3"), "2001:db8::1".parse().unwrap()),
            "throttle:proto=p,ip=2001:db8::1"
        );
        assert_eq!(memo_key(ip).as_bytes(), b"whitelist:ip=192.0.2.7");
        for (user, want) in [
            ("john@example.com", "throttle:user=john@example.com"),
            ("a b%c\r\n\0\x1f\x7f", "throttle:user=a%20b%25c%0D%0A%00%1F\x7f"),
            ("\u{e9}", "throttle:user=\u{e9}"),
        ] {
            assert_eq!(user_key(user.as_bytes()), want.as_bytes());
        }
        let letters = ["imap", "pop3", "smtp", "lmtp", "sieve", "http"].map(letter);
        assert_eq!(letters, LETTERS);
    }

    #[test]
    fn the_protocols_own_time_holds_even_where_its_number_does_not() {
        let fixed = |most, secs| Fixed { most, ttl: std::time::Duration::from_secs(secs) };
        let settings = super::super::directives::Settings::default();
        let zimbra = Zimbra {
            ip: fixed(9, 100),
            imap: fixed(0, 200),
            pop3: fixed(5, 300),
            ..settings.zimbra
        };
        for (protocol, want) in
            [("imap", fixed(9, 200)), ("pop3", fixed(5, 300)), ("smtp", fixed(9, 100))]
        {
            assert_eq!(zimbra.window(protocol), Some(want), "{protocol}");
        }
        let none = Zimbra { ip: fixed(0, 100), ..zimbra };
        assert_eq!((none.window("imap"), none.window("pop3")), (None, Some(fixed(5, 300))));
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_user(input in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            hold_for_any(&input);
        }
    }
}
