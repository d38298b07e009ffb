//! What makes a value one's own: the keys of a fleet, the names they give to entries, and the seal.
//!
//! ```text
//! sealed = version [1] | key id [8] | nonce [12] | AES-256-GCM( expires [8] | value ) | tag [16]
//! ```
//! The version, the key's id and the logical key are authenticated with it, so a value opens only as
//! the entry it was made for; and it is nobody's after `expires` (milliseconds since 1970), however
//! often it is put back. Every logical key has an AES key of its own, derived from the fleet's, so
//! that random nonces do not run out (NIST SP 800-38D §8.3: 2^32 of them for one key).

use std::fmt;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::config::value::os_error;

const VERSION: u8 = 1;
const ID: usize = 8;
const NONCE: usize = 12;
const EXPIRES: usize = 8;

/// What a seal adds to a value.
pub const OVERHEAD: usize = 1 + ID + NONCE + EXPIRES + 16;

/// By how much memcached is late, in milliseconds: a second that was begun, and its own clock's tick.
const LATE: u64 = 2500;

/// More keys than a rotation needs.
const MOST_KEYS: usize = 4;
const MAX_FILE: u64 = 4096;

/// As the key of HMAC-SHA256 and AES-256.
const LEAST_KEY: usize = 32;
const LONGEST_KEY: usize = 128;

/// Why a value is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No holder of a key has made it for this entry.
    Forged,
    /// Its time has just ended, and memcached, which counts in seconds, has not noticed yet.
    Ended,
    /// Its time has long been over: somebody has put it back.
    Expired,
    /// It is no sealed value at all.
    Malformed,
}

/// The keys of a fleet. The first writes, all read.
pub struct Keyring(Vec<Key>);

struct Key {
    id: [u8; ID],
    naming: hmac::Key,
    sealing: hmac::Key,
}

impl Keyring {
    /// Reads the file at `path`; with it a warning, if others than its owner may read it.
    ///
    /// # Errors
    /// What is wrong with it, and how to make one; nothing of what is in it.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), String> {
        let shown = path.display();
        let cannot = |error| format!("cannot read \"{shown}\" ({})", os_error(&error));
        // What is no file could block, or never end.
        let about = std::fs::metadata(path).map_err(|error| {
            format!("{}; \"openssl rand -hex 32 > {shown}\" makes one", cannot(error))
        })?;
        if !about.is_file() {
            return Err(format!("\"{shown}\" is not a file"));
        }
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
        let file = std::fs::File::open(path).map_err(cannot)?;
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(cannot)?;
        let ring = Self::parse(&text).map_err(|wrong| {
            format!("{wrong} in \"{shown}\"; \"openssl rand -hex 32 > {shown}\" makes one")
        })?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions());
        let warning = (mode & 0o007 != 0).then(|| {
            format!("key file \"{shown}\" is open to all users (mode {:04o})", mode & 0o7777)
        });
        Ok((ring, warning))
    }

    /// A key a line, in hexadecimal; empty lines, and those that begin with `#`, are passed over.
    ///
    /// # Errors
    /// What is wrong, in words that tell nothing of the keys.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() as u64 > MAX_FILE {
            return Err("too much text for a key".into());
        }
        let mut keys = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let bytes = hexadecimal(line)
                .ok_or_else(|| format!("line {} is no key in hexadecimal", number + 1))?;
            if !(LEAST_KEY..=LONGEST_KEY).contains(&bytes.len()) {
                return Err(format!(
                    "the key of line {} has {} bytes, it must have {LEAST_KEY} to {LONGEST_KEY}",
                    number + 1,
                    bytes.len()
                ));
            }
            keys.push(Key::of(&bytes));
        }
        match keys.len() {
            0 => Err("no key".into()),
            1..=MOST_KEYS => Ok(Self(keys)),
            more => Err(format!("{more} keys, more than {MOST_KEYS}")),
        }
    }

    /// What an entry is called on the wire, by each key: it is written under the first.
    pub fn names<'a>(&'a self, logical: &'a [u8]) -> impl Iterator<Item = String> + 'a {
        self.0.iter().map(|key| {
            let tag = hmac::sign(&key.naming, logical);
            format!("gp1:{}", URL_SAFE_NO_PAD.encode(tag))
        })
    }

    /// `expires`: milliseconds since 1970.
    pub fn seal(&self, logical: &[u8], value: &[u8], expires: u64) -> Vec<u8> {
        let key = self.0.first().expect("a keyring has a key");
        let mut sealed = Vec::with_capacity(EXPIRES + value.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&expires.to_be_bytes());
        sealed.extend_from_slice(value);
        let nonce = key
            .aead(logical)
            .seal_in_place_append_tag(key.aad(logical), &mut sealed)
            .expect("AES-GCM seals up to 64 GiB");
        [&[VERSION][..], &key.id, nonce.as_ref(), &sealed].concat()
    }

    /// # Errors
    /// If `sealed` was not made for `logical` by a holder of a key, or lives no more at `now`.
    pub fn unseal(&self, logical: &[u8], sealed: &[u8], now: u64) -> Result<Vec<u8>, Doubt> {
        let (version, rest) = sealed.split_first().ok_or(Doubt::Malformed)?;
        let (id, rest) = rest.split_first_chunk::<ID>().ok_or(Doubt::Malformed)?;
        let (nonce, rest) = rest.split_at_checked(NONCE).ok_or(Doubt::Malformed)?;
        if *version != VERSION {
            return Err(Doubt::Malformed);
        }
        let key = self.0.iter().find(|key| key.id == *id).ok_or(Doubt::Forged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Doubt::Malformed)?;
        let mut opened = rest.to_vec();
        let opened = key
            .aead(logical)
            .open_in_place(nonce, key.aad(logical), &mut opened)
            .map_err(|_| Doubt::Forged)?;
        let (expires, value) = opened.split_first_chunk::<EXPIRES>().ok_or(Doubt::Malformed)?;
        let expires = u64::from_be_bytes(*expires);
        if now < expires {
            return Ok(value.to_vec());
        }
        Err(if now - expires < LATE { Doubt::Ended } else { Doubt::Expired })
    }
}

impl Key {
    fn of(secret: &[u8]) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gatepost memcached").extract(secret);
        let derive = |what: &[u8]| {
            let mut bytes = Zeroizing::new([0; 32]);
            root.expand(&[what], hkdf::HKDF_SHA256)
                .and_then(|derived| derived.fill(&mut bytes[..]))
                .expect("HKDF gives up to 255 times 32 bytes");
            bytes
        };
        let keyed = |what: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, &derive(what)[..]);
        let id = *derive(b"id").first_chunk().expect("32 bytes are more than 8");
        Self { id, naming: keyed(b"names"), sealing: keyed(b"seals") }
    }

    fn aead(&self, logical: &[u8]) -> RandomizedNonceKey {
        let derived = hmac::sign(&self.sealing, logical);
        RandomizedNonceKey::new(&AES_256_GCM, derived.as_ref()).expect("the tag has 32 bytes")
    }

    fn aad(&self, logical: &[u8]) -> Aad<Vec<u8>> {
        Aad::from([&[VERSION][..], &self.id, logical].concat())
    }
}

/// Whether they are the same keys in the same order, by what is told of them on the wire anyway.
impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| key.id).eq(other.0.iter().map(|key| key.id))
    }
}

impl Eq for Keyring {}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

fn hexadecimal(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? * 16 + digit(*low)?) as u8));
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.filter(|_| rest.is_empty()).map(Zeroizing::new)
}

/// What must hold for any bytes from a server, and for any text in a key file.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let ring = Keyring::parse(&[b'7'; 64]).expect("64 digits");
    assert!(ring.unseal(b"key", input, 0).is_err(), "nobody has sealed this");
    let sealed = ring.seal(input, input, 7);
    assert_eq!(sealed.len(), input.len() + OVERHEAD);
    assert_eq!(ring.unseal(input, &sealed, 6).as_deref(), Ok(input));
    assert_eq!(ring.unseal(input, &sealed, 7), Err(Doubt::Ended));
    for name in ring.names(input) {
        assert!(name.len() <= 60 && name.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Err(wrong) = Keyring::parse(input) {
        assert!(wrong.len() < 100 && !wrong.contains(char::is_control));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";

    fn ring(text: &str) -> Keyring {
        Keyring::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_value_opens_as_the_entry_it_was_made_for_and_for_its_time() {
        let ring = ring(OLD);
        let sealed = ring.seal(b"route/alice", b"10.0.0.1:143", 1000);
        let open = |logical: &[u8], now| ring.unseal(logical, &sealed, now);
        assert_eq!(open(b"route/alice", 999).as_deref(), Ok(&b"10.0.0.1:143"[..]));
        assert_eq!(open(b"route/alice", 1000), Err(Doubt::Ended));
        assert_eq!(open(b"route/alice", 1000 + LATE), Err(Doubt::Expired));
        assert_eq!(open(b"route/mallory", 0), Err(Doubt::Forged));
        let other = Keyring::parse(NEW.as_bytes()).unwrap();
        assert_eq!(other.unseal(b"route/alice", &sealed, 0), Err(Doubt::Forged));
    }

    #[test]
    fn no_bit_and_no_length_can_be_changed() {
        let ring = ring(OLD);
        let sealed = ring.seal(b"k", b"value", 1000);
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(ring.unseal(b"k", &bent, 0).is_err(), "byte {at}");
            assert!(ring.unseal(b"k", &sealed[..at], 0).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_first_key_writes_and_all_read() {
        let (old, both) = (ring(OLD), ring(&format!("# rotated\n{NEW}\n\n{OLD}\r\n")));
        let sealed = old.seal(b"k", b"v", 1);
        assert!(both.unseal(b"k", &sealed, 0).is_ok());
        assert!(old.unseal(b"k", &both.seal(b"k", b"v", 1), 0).is_err());
        let names: Vec<_> = both.names(b"k").collect();
        assert_eq!(names.len(), 2);
        assert_eq!(old.names(b"k").collect::<Vec<_>>(), names[1..]);
        assert_ne!(old, both);
        assert_eq!(old, ring(&OLD.to_uppercase()));
    }

    #[test]
    fn a_name_tells_nothing_of_the_user() {
        let name = ring(OLD).names(b"route/5:alice").next().unwrap();
        assert!(name.starts_with("gp1:") && name.len() == 47, "{name}");
        assert!(!name.contains("alice"));
        assert_ne!(ring(NEW).names(b"route/5:alice").next().unwrap(), name);
    }

    #[test]
    fn what_is_no_key_is_told_without_telling_it() {
        let many = format!("{OLD}\n").repeat(5);
        for (text, wrong) in [
            ("", "no key"),
            ("# nothing\n", "no key"),
            ("\nsecret\n", "line 2 is no key in hexadecimal"),
            ("abc", "line 1 is no key in hexadecimal"),
            ("abcd", "the key of line 1 has 2 bytes, it must have 32 to 128"),
            (&many, "5 keys, more than 4"),
        ] {
            assert_eq!(Keyring::parse(text.as_bytes()).unwrap_err(), wrong);
        }
        assert_eq!(format!("{:?}", ring(OLD)), "Keyring(1 keys)");
    }

    #[test]
    fn a_file_says_how_it_is_made_and_who_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.key");
        let missing = Keyring::open(&path).unwrap_err();
        let command = format!("\"openssl rand -hex 32 > {}\" makes one", path.display());
        assert!(missing.contains("2: No such file") && missing.ends_with(&command), "{missing}");
        assert!(Keyring::open(dir.path()).unwrap_err().ends_with("is not a file"));

        std::fs::write(&path, OLD).unwrap();
        for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let (_, warning) = Keyring::open(&path).unwrap();
            assert_eq!(warning.is_some(), is_open, "{mode:o}: {warning:?}");
        }
        std::fs::write(&path, "secret").unwrap();
        let wrong = Keyring::open(&path).unwrap_err();
        assert!(!wrong.contains("secret") && wrong.ends_with(&command), "{wrong}");
        std::fs::write(&path, "\n".repeat(5000)).unwrap();
        assert!(Keyring::open(&path).unwrap_err().starts_with("too much text"));
    }

    proptest! {
        #[test]
        fn it_holds_for_any(input in prop::collection::vec(any::<u8>(), 0..200)) {
            hold_for_any(&input);
        }

        #[test]
        fn what_looks_sealed_is_not_believed(input in prop::collection::vec(any::<u8>(), 0..80)) {
            let ring = ring(OLD);
            let mut bytes = ring.seal(b"k", b"v", u64::MAX)[..1 + ID].to_vec();
            bytes.extend(input);
            prop_assert!(ring.unseal(b"k", &bytes, 0).is_err());
        }
    }
}
