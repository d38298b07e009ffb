//! The meta protocol: what is asked, in one payload, and what is answered. Pure.
//!
//! Commands and flags are the memcache crate's (`memcache::exp`). The framing of answers is ours,
//! because the crate's reads a line of any length and allocates up to 1 GiB for a value on a
//! server's word. Each command carries a random token and asks for its key back: a yes that does not
//! bring both is not believed to be its answer.

use std::time::{Duration, SystemTime};

use memcache::exp::{
    self, ArithmeticOptions, DeleteOptions, Error, GetOptions, MetaCommand, MetaResponse, SetMode,
    SetOptions, build_arithmetic, build_delete, build_get, build_set,
};

use super::seal::OVERHEAD;
use crate::wire::Parsed;

pub use memcache::exp::{MetaCommandResult as Reply, ReturnCode};

/// An answer's first line: a key of 250 bytes and a dozen flags.
pub const MAX_LINE: usize = 512;

/// The longest value that may be put. Routes, leases and orders have a few hundred bytes.
pub const MAX_VALUE: usize = 64 * 1024;

/// The longest that is read.
pub const MAX_ITEM: usize = MAX_VALUE + OVERHEAD;

/// Relative lifetimes beyond 30 days are taken for dates by memcached.
const MAX_RELATIVE: u64 = 30 * 24 * 60 * 60;

/// Why an answer is no answer. The stream cannot be read on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    #[error("an answer of more than {MAX_LINE} bytes")]
    LongLine,
    /// Somebody has put more there than we ever do.
    #[error("a value of more than {MAX_ITEM} bytes")]
    LargeItem,
    #[error("an answer that is none")]
    Malformed,
    /// `CLIENT_ERROR`, `ERROR`
    #[error("a refusal of the command")]
    Refused,
    /// `SERVER_ERROR`: out of memory, for one.
    #[error("a failure of its own")]
    Failed,
    /// It answers something else, or somebody else.
    #[error("an answer to another question")]
    Stray,
}

/// The answer at the front of `input`. Bounded by [`MAX_LINE`] and [`MAX_ITEM`].
pub fn reply(input: &[u8]) -> Parsed<Reply, Breach> {
    let Some(end) = input.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return match input.len() {
            0..MAX_LINE => Parsed::More,
            _ => Parsed::Broken(Breach::LongLine, MAX_LINE),
        };
    };
    let after = end + 1;
    let broken = |breach| Parsed::Broken(breach, after);
    let Some(line) = input[..end].strip_suffix(b"\r") else { return broken(Breach::Malformed) };
    let head = match MetaResponse::parse_header(line) {
        Ok(head) => head,
        Err(Error::Rejected(_)) => return broken(Breach::Refused),
        Err(Error::Server(_)) => return broken(Breach::Failed),
        Err(_) => return broken(Breach::Malformed),
    };
    let has_value = head.rc() == ReturnCode::Va;
    let Ok(mut reply) = exp::parse_meta_result(head) else { return broken(Breach::Malformed) };
    if !has_value {
        return Parsed::Whole(reply, after);
    }
    let Some(length) = length(line) else { return broken(Breach::Malformed) };
    if length > MAX_ITEM {
        return broken(Breach::LargeItem);
    }
    let Some((value, rest)) = input[after..].split_at_checked(length) else { return Parsed::More };
    match rest {
        [b'\r', b'\n', ..] => {
            reply.value = Some(value.to_vec());
            Parsed::Whole(reply, after + length + 2)
        }
        [] | [b'\r'] => Parsed::More,
        _ => Parsed::Broken(Breach::Malformed, after + length),
    }
}

/// The number behind `VA`.
fn length(line: &[u8]) -> Option<usize> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let digits = words.nth(1).filter(|word| word.iter().all(u8::is_ascii_digit))?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// A number that a counter holds; memcached pads one that has become shorter.
pub fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii_end();
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Whole seconds, at least one, as memcached takes them.
pub fn seconds(ttl: Duration, now: SystemTime) -> u32 {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    let whole = match whole.max(1) {
        relative @ 1..=MAX_RELATIVE => relative,
        far => far.saturating_add(millis(now) / 1000),
    };
    u32::try_from(whole).unwrap_or(u32::MAX)
}

/// Milliseconds since 1970.
pub fn millis(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Commands that go out together, and by what their answers are known.
#[derive(Debug)]
pub struct Batch {
    payload: Vec<u8>,
    asked: Vec<Asked>,
    is_repeatable: bool,
}

#[derive(Debug)]
struct Asked {
    name: Vec<u8>,
    token: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { payload: Vec::new(), asked: Vec::new(), is_repeatable: true }
    }
}

impl Batch {
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// How many answers are to come.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether it may go out again where it is not known to have arrived.
    pub fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// Whether `reply` answers the command at `index`.
    ///
    /// A no without any flag may: servers before 1.6.16 bring nothing back with it. Nothing but a miss
    /// follows from it, and if it was one answer too many, the next will not fit.
    pub fn is_answered_by(&self, index: usize, reply: &Reply) -> bool {
        let Some(asked) = self.asked.get(index) else { return false };
        let is_no = !matches!(reply.rc, ReturnCode::Va | ReturnCode::Hd);
        if is_no && reply.opaque.is_none() && reply.key.is_none() {
            return true;
        }
        reply.opaque.as_ref() == Some(&asked.token) && reply.key.as_ref() == Some(&asked.name)
    }

    /// The value, and the number of its version.
    pub fn get(mut self, name: &str) -> Self {
        let token = token();
        let mut options = GetOptions::default();
        options.return_cas = true;
        options.return_key = true;
        options.opaque = Some(token.clone());
        self.push(name, token, build_get(name, &options));
        self
    }

    /// Lets it live for `seconds` from now.
    pub fn touch(mut self, name: &str, seconds: u32) -> Self {
        let token = token();
        let mut options = GetOptions::default();
        options.value = false;
        options.touch = Some(seconds);
        options.return_key = true;
        options.opaque = Some(token.clone());
        self.push(name, token, build_get(name, &options));
        self
    }

    /// Flags are 0, as Zimbra has them.
    pub fn set(mut self, name: &str, value: Vec<u8>, seconds: u32, when: When) -> Self {
        let token = token();
        let mut options = SetOptions::default();
        options.ttl = Some(seconds);
        options.return_key = true;
        options.opaque = Some(token.clone());
        match when {
            When::Always => {}
            When::Absent => {
                options.mode = SetMode::Add;
                self.is_repeatable = false;
            }
            When::Version(version) => {
                options.compare_cas = Some(version);
                self.is_repeatable = false;
            }
        }
        self.push(name, token, build_set(name, value, &options));
        self
    }

    pub fn delete(mut self, name: &str, version: Option<u64>) -> Self {
        let token = token();
        let mut options = DeleteOptions::default();
        options.compare_cas = version;
        options.return_key = true;
        options.opaque = Some(token.clone());
        self.push(name, token, build_delete(name, &options));
        self
    }

    /// Adds `by` to a number; one that is not there is made to be `first`, and lives for `seconds`
    /// (0: for ever).
    pub fn count(mut self, name: &str, by: u64, first: u64, seconds: u32) -> Self {
        let token = token();
        let mut options = ArithmeticOptions::default();
        options.delta = Some(by);
        options.initial = Some(first);
        options.initial_ttl = Some(seconds);
        options.return_key = true;
        options.opaque = Some(token.clone());
        self.is_repeatable = false;
        self.push(name, token, build_arithmetic(name, &options));
        self
    }

    fn push(&mut self, name: &str, token: Vec<u8>, command: exp::Result<MetaCommand>) {
        command
            .and_then(|command| command.encode_into(&mut self.payload))
            .expect("names are short and of letters and digits, and options fit each other");
        self.asked.push(Asked { name: name.into(), token });
    }
}

/// When a value is to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// If nothing is there.
    Absent,
    /// If this version is there.
    Version(u64),
}

fn token() -> Vec<u8> {
    format!("{:016x}", fastrand::u64(..)).into_bytes()
}

/// What must hold for whatever a server sends.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let whole = reply(input);
    match &whole {
        Parsed::More => assert!(input.len() < MAX_LINE + MAX_ITEM + 2),
        Parsed::Whole(reply, used) => {
            assert!((1..=input.len()).contains(used));
            assert!(reply.value.as_ref().is_none_or(|value| value.len() <= MAX_ITEM));
        }
        Parsed::Broken(_, used) => assert!((1..=input.len()).contains(used)),
    }
    // Any cut gives More or the same answer.
    for cut in 0..input.len().min(300) {
        let part = reply(&input[..cut]);
        assert!(part == Parsed::More || part == whole, "cut at {cut}");
    }
    if let Parsed::Whole(reply, _) = &whole
        && Batch::default().get("gp1:name").is_answered_by(0, reply)
    {
        assert!(reply.value.is_none(), "a token was guessed");
    }
    let _ = number(input);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(input: &[u8]) -> Reply {
        match reply(input) {
            Parsed::Whole(reply, used) => {
                assert_eq!(used, input.len());
                reply
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_are_read_whole_at_any_cut() {
        let value = whole(b"VA 5 c7 kname O1f\r\nab\r\nc\r\n");
        assert_eq!(value.value.as_deref(), Some(&b"ab\r\nc"[..]));
        assert_eq!(
            (value.cas, value.key, value.opaque),
            (Some(7), Some("name".into()), Some("1f".into()))
        );
        assert_eq!(whole(b"EN kname O1f\r\n").rc, ReturnCode::En);
        assert_eq!(whole(b"VA 0 s0\r\n\r\n").value.as_deref(), Some(&b""[..]));
        for input in [&b"VA 5 c7 kname O1f\r\nab\r\nc\r\n"[..], b"HD\r\n", b"NS O1\r\n", b"XX\r\n"]
        {
            hold_for_any(input);
        }
    }

    #[test]
    fn each_breach_is_told_apart() {
        for (input, breach) in [
            (&b"ERROR\r\n"[..], Breach::Refused),
            (b"CLIENT_ERROR bad data chunk\r\n", Breach::Refused),
            (b"SERVER_ERROR out of memory storing object\r\n", Breach::Failed),
            (b"VALUE x 0 1\r\n", Breach::Malformed),
            (b"HD\n", Breach::Malformed),
            (b"\r\n", Breach::Malformed),
            (b"VA\r\n", Breach::Malformed),
            (b"VA x\r\n", Breach::Malformed),
            (b"VA +1\r\na\r\n", Breach::Malformed),
            (b"VA -1\r\n", Breach::Malformed),
            (b"VA 1 cx\r\na\r\n", Breach::Malformed),
            (b"VA 2\r\nabc\r\n", Breach::Malformed),
            (b"VA 1000000\r\n", Breach::LargeItem),
            (b"VA 99999999999999999999\r\n", Breach::Malformed),
        ] {
            assert!(matches!(reply(input), Parsed::Broken(b, _) if b == breach), "{input:?}");
        }
        let long = [b'x'; MAX_LINE];
        assert_eq!(reply(&long[1..]), Parsed::More);
        assert_eq!(reply(&long), Parsed::Broken(Breach::LongLine, MAX_LINE));
    }

    #[test]
    fn a_command_is_answered_by_its_own_answer_alone() {
        let batch = Batch::default().get("gp1:a").delete("gp1:b", Some(3));
        let text = String::from_utf8(batch.payload().to_vec()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("mg gp1:a v c k O"), "{text}");
        assert!(lines[1].starts_with("md gp1:b k C3 O"), "{text}");
        let token = lines[0].rsplit_once('O').unwrap().1;
        let answers = |text: String| batch.is_answered_by(0, &whole(text.as_bytes()));
        assert!(answers(format!("EN kgp1:a O{token}\r\n")));
        assert!(!answers(format!("EN kgp1:b O{token}\r\n")));
        assert!(!answers("EN kgp1:a O0\r\n".into()));
        assert!(answers("EN\r\n".into()));
        assert!(!answers("HD\r\n".into()));
        assert!(!batch.is_answered_by(1, &whole(format!("HD kgp1:a O{token}\r\n").as_bytes())));
        assert!(!batch.is_answered_by(2, &whole(b"EN\r\n")));
    }

    #[test]
    fn what_could_count_twice_is_not_repeated() {
        let batch = Batch::default;
        assert!(batch().get("a").delete("a", None).touch("a", 1).is_repeatable());
        assert!(batch().set("a", vec![], 1, When::Always).is_repeatable());
        assert!(!batch().set("a", vec![], 1, When::Absent).is_repeatable());
        assert!(!batch().set("a", vec![], 1, When::Version(1)).is_repeatable());
        assert!(!batch().get("a").count("a", 1, 1, 1).is_repeatable());
    }

    #[test]
    fn times_are_whole_seconds_and_far_ones_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (ttl, wire) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1000), 1),
            (Duration::from_millis(1001), 2),
            (Duration::from_secs(3600), 3600),
            (Duration::from_secs(MAX_RELATIVE), 2_592_000),
            (Duration::from_secs(MAX_RELATIVE + 1), 1_802_592_001),
            (Duration::MAX, u32::MAX),
        ] {
            assert_eq!(seconds(ttl, now), wire, "{ttl:?}");
        }
    }

    #[test]
    fn a_counter_is_digits() {
        for (value, want) in [
            (&b"0"[..], Some(0)),
            (b"99  ", Some(99)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"", None),
            (b"-1", None),
            (b"1 1", None),
            (b"+1", None),
        ] {
            assert_eq!(number(value), want);
        }
    }

    proptest! {
        #[test]
        fn it_holds_for_any(input in prop::collection::vec(any::<u8>(), 0..700)) {
            hold_for_any(&input);
        }

        #[test]
        fn it_holds_for_what_looks_like_an_answer(
            head in "(VA|HD|EN|NS|ME|MN)( [0-9]{0,3})?( [a-zA-Z][0-9]{0,6}){0,4}\r?\n",
            value in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            hold_for_any(&[head.as_bytes(), &value, b"\r\n"].concat());
        }
    }
}
