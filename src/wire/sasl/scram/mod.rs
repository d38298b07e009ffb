//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: a client proves that it knows a password,
//! to somebody who does not know it, and is shown that he knows something of it too.
//!
//! ```text
//! C: n,,n=user,r=NONCE                     first()
//! S: r=NONCE+ours,s=SALT,i=4096            First::challenge()
//! C: c=biws,r=NONCE+ours,p=PROOF           Check::answer()
//! S: v=SIGNATURE
//! ```
//!
//! **In and out.** Decoded messages in, messages that are still to be encoded out. Our part of the
//! nonce is an argument, as all chance is.
//!
//! **Limits.** No channel binding, as we offer no -PLUS: `p=` is refused, and a client that sends
//! `y` is right. Names are bytes: they are not prepared (RFC 4013), as nowhere in this room.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};

use super::gs2::{self, Split};
use super::{Error, decode, encode, user};

/// The longest nonce of a client, in bytes.
pub const MAX_NONCE: usize = 512;

/// The longest salt, in bytes.
pub const MAX_SALT: usize = 128;

/// How often a password is hashed. RFC 7677 §4 asks for 4096 at the least; the most is what keeps
/// a client busy for some seconds.
pub const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=10_000_000;

/// What a server keeps of a password: it proves the client's knowledge, and cannot log in anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: [u8; 32],
    pub server_key: [u8; 32],
}

/// What is wrong with a verifier. None of its bytes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVerifier {
    #[error("not SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")]
    Shape,
    #[error("iterations are not {} to {}", ITERATIONS.start(), ITERATIONS.end())]
    Iterations,
    #[error("the salt is not base64 of 1 to {MAX_SALT} bytes")]
    Salt,
    #[error("a key is not base64 of 32 bytes")]
    Key,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(..)") // passwords can be guessed at by it
    }
}

impl Verifier {
    /// Reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, as RFC 5803 §3 and PostgreSQL
    /// write it; all but the number in base64.
    pub fn parse(text: &[u8]) -> Result<Self, BadVerifier> {
        let text = str::from_utf8(text.trim_ascii()).map_err(|_| BadVerifier::Shape)?;
        let mut parts = text.split('$');
        let (Some(scheme), Some(info), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadVerifier::Shape);
        };
        let (iterations, salt) = info.split_once(':').ok_or(BadVerifier::Shape)?;
        let (stored, server) = keys.split_once(':').ok_or(BadVerifier::Shape)?;
        if !scheme.eq_ignore_ascii_case("SCRAM-SHA-256") {
            return Err(BadVerifier::Shape);
        }
        let digits = !iterations.is_empty() && iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations =
            iterations.parse().ok().filter(|count| digits && ITERATIONS.contains(count));
        let salt = plain(salt.as_bytes()).filter(|salt| (1..=MAX_SALT).contains(&salt.len()));
        let key = |text: &str| -> Result<[u8; 32], BadVerifier> {
            plain(text.as_bytes()).and_then(|key| key.try_into().ok()).ok_or(BadVerifier::Key)
        };
        Ok(Self {
            iterations: iterations.ok_or(BadVerifier::Iterations)?,
            salt: salt.ok_or(BadVerifier::Salt)?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }

    /// A verifier for a user that nobody knows, which no password fits. It is the same whenever
    /// the same `key` is asked about the same user, so nobody learns by asking twice who is known.
    ///
    /// It has a salt of 16 bytes and 4096 iterations, as verifiers have that PostgreSQL or Dovecot
    /// made.
    pub fn fake(user: &[u8], key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let made = |label: &[u8]| keyed(&key, &[label, b"\0", user]);
        Self {
            iterations: *ITERATIONS.start(),
            salt: made(b"salt")[..16].to_vec(),
            stored_key: made(b"StoredKey"),
            server_key: made(b"ServerKey"),
        }
    }
}

/// A client's first message.
#[derive(Clone, PartialEq, Eq)]
pub struct First {
    /// Whose password it is.
    pub user: Box<[u8]>,
    /// Whom to act as, if that is said.
    pub authzid: Option<Box<[u8]>>,
    header: Box<[u8]>,
    /// The message without its header, which both sides sign.
    bare: Box<[u8]>,
    nonce: Box<[u8]>,
}

impl std::fmt::Debug for First {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("First(..)")
    }
}

/// Reads a client's first message, decoded.
pub fn first(decoded: &[u8]) -> Result<First, Error> {
    let Split { authzid, header, rest: bare } = gs2::split(decoded)?;
    let mut attributes = bare.split(|byte| *byte == b',');
    let name = match attributes.next() {
        Some([b'n', b'=', name @ ..]) => gs2::unescape(name)?,
        // RFC 5802 §5.1: "m" is for extensions that have to be understood; there is none yet.
        Some([b'm', b'=', ..]) => return Err(Error::Extension),
        _ => return Err(Error::Shape),
    };
    let Some([b'r', b'=', nonce @ ..]) = attributes.next() else { return Err(Error::Shape) };
    // Extensions that follow may be passed over, if they are attributes at all.
    if !is_nonce(nonce) || !attributes.all(is_attribute) {
        return Err(Error::Shape);
    }
    if nonce.len() > MAX_NONCE {
        return Err(Error::TooLong);
    }
    Ok(First {
        user: user(&name)?.into(),
        authzid,
        header: header.into(),
        bare: bare.into(),
        nonce: nonce.into(),
    })
}

impl First {
    /// Our part of the nonce: printable, of 144 bits. `key` is fresh and known to nobody, at the
    /// least for each session; each first message of it gets its own.
    pub fn nonce(&self, key: &[u8], salt: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        encode(&keyed(&key, &[salt, b"\0", &self.bare])[..18])
    }

    /// Our first message, and what checks the client's answer to it.
    pub fn challenge(self, ours: &str, verifier: Verifier) -> (Vec<u8>, Check) {
        let nonce = [&*self.nonce, ours.as_bytes()].concat();
        let rest = format!(",s={},i={}", encode(&verifier.salt), verifier.iterations);
        let message = [b"r=", &*nonce, rest.as_bytes()].concat();
        let signed = [&*self.bare, b",", &*message, b","].concat();
        (message, Check { verifier, header: self.header, nonce, signed })
    }
}

/// Checks a client's proof.
pub struct Check {
    verifier: Verifier,
    header: Box<[u8]>,
    nonce: Vec<u8>,
    /// What both sides sign, as far as it is said.
    signed: Vec<u8>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check(..)")
    }
}

impl Check {
    /// Reads a client's last message, decoded, and gives ours. `None`: its proof is wrong.
    pub fn answer(&self, decoded: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let end = decoded.iter().rposition(|byte| *byte == b',').ok_or(Error::Shape)?;
        let (unproven, proof) = (&decoded[..end], &decoded[end + 1..]);
        let proof = proof.strip_prefix(b"p=").and_then(plain).ok_or(Error::Shape)?;
        let mut attributes = unproven.split(|byte| *byte == b',');
        let Some([b'c', b'=', binding @ ..]) = attributes.next() else { return Err(Error::Shape) };
        let Some([b'r', b'=', nonce @ ..]) = attributes.next() else { return Err(Error::Shape) };
        if !attributes.all(is_attribute) || nonce != self.nonce {
            return Err(Error::Shape);
        }
        // RFC 5802 §6: somebody has changed the header on its way.
        if plain(binding).ok_or(Error::Shape)? != *self.header {
            return Err(Error::Binding);
        }
        let sign = |key: &[u8; 32]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            keyed(&key, &[&self.signed, unproven])
        };
        // RFC 5802 §3: ClientKey = ClientProof XOR ClientSignature, and its hash is what we keep.
        let signature = sign(&self.verifier.stored_key);
        let Ok(mut client_key) = <[u8; 32]>::try_from(proof) else { return Err(Error::Shape) };
        client_key.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
        let hashed = digest::digest(&digest::SHA256, &client_key);
        let is_right = verify_slices_are_equal(hashed.as_ref(), &self.verifier.stored_key).is_ok();
        let signature = sign(&self.verifier.server_key);
        Ok(is_right.then(|| format!("v={}", encode(&signature)).into_bytes()))
    }
}

/// RFC 5802 §7, `printable = %x21-2B / %x2D-7E`.
fn is_nonce(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

/// RFC 5802 §7, `attr-val = ALPHA "=" value`.
fn is_attribute(bytes: &[u8]) -> bool {
    matches!(bytes, [name, b'=', _, ..] if name.is_ascii_alphabetic() && *name != b'm')
        && !bytes.contains(&0)
}

fn plain(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    decode(text, &mut out).then_some(out)
}

fn keyed(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().try_into().expect("HMAC-SHA-256 is of 32 bytes")
}

/// What must hold for any bytes at all: two messages of a client, with a line end between them, or
/// a verifier. Fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Ok(verifier) = Verifier::parse(input) {
        assert!(ITERATIONS.contains(&verifier.iterations) && !verifier.salt.is_empty());
        assert!(verifier.salt.len() <= MAX_SALT);
    }
    let (message, answer) = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &b""[..]),
    };
    let Ok(first) = first(message) else { return };
    for name in [&*first.user, first.authzid.as_deref().unwrap_or(b"-")] {
        assert!(!name.is_empty() && !name.iter().any(|byte| b"\r\n\0".contains(byte)));
    }
    let fake = Verifier::fake(&first.user, b"key");
    let (challenge, check) = first.challenge("ours", fake);
    assert!(challenge.len() <= MAX_NONCE + 64 && challenge.iter().all(u8::is_ascii_graphic));
    assert!(!matches!(check.answer(answer), Ok(Some(_))), "no password fits a made-up verifier");
}

#[cfg(test)]
mod tests;
