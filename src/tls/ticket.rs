//! Session tickets: their keys, and who may resume what.
//!
//! ```text
//! ticket = key name [16] | nonce [12] | AES-256-GCM( issued [8] | session ) | tag [16]
//! ```
//! The key name and the server block's [`Context`] are authenticated with it, so a ticket opens
//! only where the settings are those it was made under.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::certs::Stamp;
use super::fault::{Event, Fault, Why};
use super::pem;

/// What a server block's sessions hang on: a digest of its certificates' paths and its settings.
pub type Context = [u8; 32];

const NAME: usize = 16;
const NONCE: usize = 12;
const ISSUED: usize = 8;
/// A session with a client's certificate chain takes some KiB.
const MAX_TICKET: usize = 16 * 1024;
/// How long a random key seals; it opens for as long again.
const TURN: u64 = 12 * 60 * 60;

/// The keys in use: the first seals, all open.
pub struct Keyring {
    keys: ArcSwap<Keys>,
    source: Source,
}

struct Keys {
    all: Vec<Arc<Key>>,
    since: u64,
}

enum Source {
    /// Made here; the lock is held while new ones are made.
    Random(Mutex<()>),
    /// `ssl_session_ticket_key`.
    Files(Vec<PathBuf>, Mutex<Seen>),
}

/// What was last seen of the files.
struct Seen {
    stamps: Vec<Stamp>,
    fault: Option<Fault>,
}

impl Keyring {
    pub fn random(now: u64) -> Option<Self> {
        let keys = Keys { all: vec![Arc::new(Key::random()?)], since: now };
        Some(Self { keys: ArcSwap::from_pointee(keys), source: Source::Random(Mutex::default()) })
    }

    /// The keys in `files`; the first encrypts.
    pub fn from_files(files: &[PathBuf]) -> Result<Self, Fault> {
        let stamps = files.iter().map(|file| Stamp::of(file)).collect();
        let seen = Mutex::new(Seen { stamps, fault: None });
        let keys = ArcSwap::from_pointee(Keys { all: read(files)?, since: 0 });
        Ok(Self { keys, source: Source::Files(files.to_vec(), seen) })
    }

    /// Takes in changed key files.
    pub fn refresh(&self) -> Option<Event> {
        let Source::Files(files, seen) = &self.source else {
            return None;
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps: Vec<_> = files.iter().map(|file| Stamp::of(file)).collect();
        if seen.stamps == stamps {
            return None;
        }
        seen.stamps = stamps;
        match read(files) {
            Ok(all) => {
                seen.fault = None;
                self.keys.store(Arc::new(Keys { all, since: 0 }));
                files.first().cloned().map(Event::Renewed)
            }
            Err(fault) => {
                seen.fault = Some(fault.clone());
                Some(Event::Bad(fault))
            }
        }
    }

    /// What is wrong with the files, while the keys they held before are in use.
    pub fn fault(&self) -> Option<Fault> {
        match &self.source {
            Source::Random(_) => None,
            Source::Files(_, seen) => {
                seen.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
            }
        }
    }

    /// No ticket for what could not be opened again.
    pub fn seal(&self, context: &Context, session: &[u8], now: u64) -> Option<Vec<u8>> {
        if session.len() > MAX_TICKET - NAME - NONCE - ISSUED - AES_256_GCM.tag_len() {
            return None;
        }
        self.turn(now);
        let keys = self.keys.load();
        let key = keys.all.first()?;
        let mut sealed = Vec::with_capacity(ISSUED + session.len() + AES_256_GCM.tag_len());
        sealed.extend(now.to_be_bytes());
        sealed.extend(session);
        let nonce = key.aead.seal_in_place_append_tag(key.aad(context), &mut sealed).ok()?;
        Some([&key.name[..], nonce.as_ref(), &sealed].concat())
    }

    pub fn open(
        &self,
        context: &Context,
        ticket: &[u8],
        now: u64,
        lifetime: Duration,
    ) -> Option<Vec<u8>> {
        if ticket.len() > MAX_TICKET {
            return None;
        }
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        self.turn(now);
        let keys = self.keys.load();
        let key = keys.all.iter().find(|key| key.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = key.aead.open_in_place(nonce, key.aad(context), &mut sealed).ok()?;
        let (issued, session) = opened.split_first_chunk::<ISSUED>()?;
        // A clock set back makes `issued` lie ahead: the ticket is new then.
        let age = now.saturating_sub(u64::from_be_bytes(*issued));
        (age <= lifetime.as_secs()).then(|| session.to_vec())
    }

    /// Replaces random keys when their time has come.
    fn turn(&self, now: u64) {
        let Source::Random(turning) = &self.source else {
            return;
        };
        let is_due = |keys: &Keys| now.saturating_sub(keys.since) >= TURN;
        if !is_due(&self.keys.load()) {
            return;
        }
        let _turning = turning.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.load_full();
        if is_due(&keys)
            && let Some(key) = Key::random()
        {
            let mut all = vec![Arc::new(key)];
            // One that has long been idle is past its second turn too.
            if now.saturating_sub(keys.since) < 2 * TURN {
                all.extend(keys.all.first().cloned());
            }
            self.keys.store(Arc::new(Keys { all, since: now }));
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys.load().all.len()).finish()
    }
}

struct Key {
    name: [u8; NAME],
    aead: RandomizedNonceKey,
}

impl Key {
    /// `bytes`: a name, and what is secret.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (name, secret) = bytes.split_first_chunk::<NAME>()?;
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, b"gatepost session ticket, AES-256-GCM");
        let aead = RandomizedNonceKey::new(&AES_256_GCM, derived.as_ref()).ok()?;
        Some(Self { name: *name, aead })
    }

    fn random() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; NAME + 32]);
        rand::fill(&mut bytes[..]).ok()?;
        Self::of(&bytes[..])
    }

    fn aad(&self, context: &Context) -> Aad<Vec<u8>> {
        Aad::from([&self.name[..], context].concat())
    }
}

/// nginx's files: name, HMAC key and AES key, 48 or 80 bytes in all. What follows the name is made
/// into one key of ours, so the file's length does not weaken it.
fn read(files: &[PathBuf]) -> Result<Vec<Arc<Key>>, Fault> {
    let one = |file: &PathBuf| {
        let bytes = pem::read(file).map_err(|why| Fault::new(file, why))?;
        let key = matches!(bytes.len(), 48 | 80).then(|| Key::of(&bytes)).flatten();
        key.map(Arc::new).ok_or_else(|| Fault::new(file, Why::TicketKey(bytes.len() as u64)))
    };
    files.iter().map(one).collect()
}

/// A server block's view of a keyring.
#[derive(Debug)]
pub struct Tickets {
    pub ring: Arc<Keyring>,
    pub context: Context,
    pub lifetime: Duration,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // RFC 8446 §4.6.1: "Servers MUST NOT use any value greater than 604800 seconds (7 days)."
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX).min(604_800)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.ring.seal(&self.context, plain, UnixTime::now().as_secs())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.ring.open(&self.context, cipher, UnixTime::now().as_secs(), self.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Context = [1; 32];
    const THERE: Context = [2; 32];
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_ticket_opens_where_it_was_made_and_nowhere_else() {
        let ring = Keyring::random(NOW).unwrap();
        let ticket = ring.seal(&HERE, b"session", NOW).unwrap();
        assert_eq!(ring.open(&HERE, &ticket, NOW, DAY).as_deref(), Some(&b"session"[..]));
        assert_eq!(ring.open(&THERE, &ticket, NOW, DAY), None);
        let other = Keyring::random(NOW).unwrap();
        assert_eq!(other.open(&HERE, &ticket, NOW, DAY), None);
    }

    #[test]
    fn no_bit_and_no_length_can_be_changed() {
        let ring = Keyring::random(NOW).unwrap();
        let ticket = ring.seal(&HERE, b"session", NOW).unwrap();
        for at in 0..ticket.len() {
            let mut bent = ticket.clone();
            bent[at] ^= 1;
            assert_eq!(ring.open(&HERE, &bent, NOW, DAY), None, "byte {at}");
            assert_eq!(ring.open(&HERE, &ticket[..at], NOW, DAY), None, "cut at {at}");
        }
        assert_eq!(ring.open(&HERE, &vec![0; MAX_TICKET + 1], NOW, DAY), None);
    }

    #[test]
    fn a_ticket_has_its_time_and_a_random_key_two_turns() {
        let ring = Keyring::random(NOW).unwrap();
        let ticket = ring.seal(&HERE, b"session", NOW).unwrap();
        let five = Duration::from_secs(300);
        for (later, lifetime, opens) in [
            (300, five, true),
            (301, five, false),
            (TURN - 1, DAY, true),
            (TURN, DAY, true),
            (2 * TURN - 1, DAY, true),
            (2 * TURN, DAY, false),
        ] {
            assert_eq!(
                ring.open(&HERE, &ticket, NOW + later, lifetime).is_some(),
                opens,
                "{later}"
            );
        }
        assert!(ring.open(&HERE, &ticket, NOW - 60, five).is_none(), "its key is gone by now");
    }

    #[test]
    fn files_rotate_and_the_first_encrypts() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("old"), [7; 48]).unwrap();
        std::fs::write(path("new"), [8; 80]).unwrap();
        let old = Keyring::from_files(&[path("old")]).unwrap();
        let both = Keyring::from_files(&[path("new"), path("old")]).unwrap();
        let ticket = old.seal(&HERE, b"session", NOW).unwrap();
        assert!(both.open(&HERE, &ticket, NOW, DAY).is_some());
        let ticket = both.seal(&HERE, b"session", NOW).unwrap();
        assert!(old.open(&HERE, &ticket, NOW, DAY).is_none());

        // Changed on disk: taken in. Changed for the worse: the keys stay.
        assert_eq!(old.refresh(), None);
        std::fs::write(path("old"), [9; 80]).unwrap();
        assert_eq!(old.refresh(), Some(Event::Renewed(path("old"))));
        let ticket = old.seal(&HERE, b"session", NOW).unwrap();
        std::fs::write(path("old"), [9; 79]).unwrap();
        let fault = Fault::new(path("old"), Why::TicketKey(79));
        assert_eq!(old.refresh(), Some(Event::Bad(fault.clone())));
        assert_eq!(old.refresh(), None, "told once");
        assert_eq!(old.fault(), Some(fault), "and again when asked");
        assert!(old.open(&HERE, &ticket, NOW, DAY).is_some());
    }
}
