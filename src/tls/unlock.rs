//! Private keys that are stored encrypted, and the pass phrases that open them.
//!
//! Two forms are about: PKCS #8 with PBES2 (RFC 8018 §6.2), which OpenSSL writes since 1.0.0, and
//! the older one with RFC 1421's headers, whose key is made of the pass phrase by MD5, once.
//! Neither says whether a pass phrase was right, so what comes out must look like a key.
//!
//! **Limits.** PKCS #8 says itself how much work it is to open a key. What asks for more than [`MOST`]
//! is not opened.

use std::path::Path;

use aes::{Aes128, Aes192, Aes256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use super::fault::Why;
use super::pem;

/// Pass phrases: wiped when dropped, and shown to nobody.
pub type Phrases = Vec<Zeroizing<Vec<u8>>>;

/// Why a key stays shut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// No pass phrase fits.
    Phrase,
    /// It is encrypted in a way that is not known here.
    Form(String),
}

/// The pass phrases in a `ssl_password_file`: one on each line, as nginx reads them. Empty lines
/// do not count, unless there is nothing else.
pub fn phrases(file: &Path) -> Result<Phrases, Why> {
    let text = pem::read(file)?;
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut phrases: Phrases =
        lines.filter(|line| !line.is_empty()).map(|line| Zeroizing::new(line.to_vec())).collect();
    if phrases.is_empty() {
        phrases.push(Zeroizing::default());
    }
    Ok(phrases)
}

/// The first encrypted private key in `text`, opened by the first of `phrases` that fits.
pub fn key(text: &[u8], phrases: &Phrases) -> Result<PrivateKeyDer<'static>, Unopened> {
    let section = Section::find(text).ok_or_else(|| Unopened::Form("no valid PEM".to_owned()))?;
    for phrase in phrases {
        if let Some(key) = section.open(phrase, &MOST)? {
            return Ok(key);
        }
    }
    Err(Unopened::Phrase)
}

/// What must hold for any bytes at all: there is no panic, and no more work than is allowed.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let little = Work { rounds: 2048, memory: 1 << 20, passes: 2 };
    if let Some(section) = Section::find(input) {
        let _ = section.open(b"phrase", &little);
    }
}

/// How much work a key may be to open.
struct Work {
    /// Of PBKDF2.
    rounds: u32,
    /// Of scrypt, in bytes.
    memory: u64,
    /// How often scrypt goes through that memory.
    passes: u16,
}

/// RFC 8018 §4.2 has ten million rounds for the most critical keys, and OpenSSL's scrypt takes 16 MiB.
const MOST: Work = Work { rounds: 10_000_000, memory: 256 << 20, passes: 16 };

impl Work {
    fn allows(&self, scheme: &EncryptionScheme) -> bool {
        match scheme {
            EncryptionScheme::Pbes2(Parameters { kdf: Kdf::Pbkdf2(ask), .. }) => {
                ask.iteration_count <= self.rounds
            }
            EncryptionScheme::Pbes2(Parameters { kdf: Kdf::Scrypt(ask), .. }) => {
                let memory = ask.cost_parameter.saturating_mul(128 * u64::from(ask.block_size));
                // Of no rounds at all the library would make a panic.
                ask.cost_parameter > 1
                    && memory <= self.memory
                    && ask.parallelization <= self.passes
            }
            // A few rounds, or none of ours.
            _ => true,
        }
    }
}

const PKCS8: &str = "ENCRYPTED PRIVATE KEY";
const RSA: &str = "RSA PRIVATE KEY";
const EC: &str = "EC PRIVATE KEY";

/// A PEM section with an encrypted key.
struct Section {
    label: &'static str,
    /// `DEK-Info` in the older form (RFC 1421 §4.6.1.3): a cipher's name, and its first block.
    cipher: String,
    bytes: Vec<u8>,
}

impl Section {
    fn find(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.lines().map(str::trim_end);
        loop {
            let label = lines.find_map(|line| {
                let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
                [PKCS8, RSA, EC].into_iter().find(|known| *known == label)
            })?;
            let body: Vec<_> =
                lines.by_ref().take_while(|line| !line.starts_with("-----END ")).collect();
            let header =
                |name: &str| body.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let is_encrypted = header("Proc-Type:").is_some_and(|kind| kind == "4,ENCRYPTED");
            if label != PKCS8 && !is_encrypted {
                continue;
            }
            let cipher = header("DEK-Info:").unwrap_or_default().to_owned();
            let base64: String = body.iter().filter(|line| !line.contains(':')).copied().collect();
            return Some(Self { label, cipher, bytes: STANDARD.decode(base64).ok()? });
        }
    }

    /// `None`: this is not the pass phrase.
    fn open(&self, phrase: &[u8], most: &Work) -> Result<Option<PrivateKeyDer<'static>>, Unopened> {
        if self.label == PKCS8 {
            return self.open_pkcs8(phrase, most);
        }
        let unknown = || Unopened::Form(self.cipher.clone());
        let (name, first) = self.cipher.split_once(',').ok_or_else(unknown)?;
        let first = unhex(first.trim()).ok_or_else(unknown)?;
        let open = match name.trim() {
            "AES-128-CBC" => cbc::<Decryptor<Aes128>, 16, 16>,
            "AES-192-CBC" => cbc::<Decryptor<Aes192>, 24, 16>,
            "AES-256-CBC" => cbc::<Decryptor<Aes256>, 32, 16>,
            "DES-EDE3-CBC" => cbc::<Decryptor<TdesEde3>, 24, 8>,
            _ => return Err(unknown()),
        };
        let plain = open(phrase, &first, &self.bytes).ok_or_else(unknown)?;
        Ok(plain.filter(|der| is_sequence(der)).map(|der| match self.label {
            RSA => PrivatePkcs1KeyDer::from(der.to_vec()).into(),
            _ => PrivateSec1KeyDer::from(der.to_vec()).into(),
        }))
    }

    fn open_pkcs8(
        &self,
        phrase: &[u8],
        most: &Work,
    ) -> Result<Option<PrivateKeyDer<'static>>, Unopened> {
        let locked = EncryptedPrivateKeyInfoRef::try_from(&self.bytes[..])
            .map_err(|error| Unopened::Form(error.to_string()))?;
        if !most.allows(&locked.encryption_algorithm) {
            return Err(Unopened::Form("it would be too much work".to_owned()));
        }
        match locked.decrypt(phrase) {
            Ok(plain) => Ok(Some(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())),
            Err(pkcs8::Error::EncryptedPrivateKey(
                error @ (pkcs8::pkcs5::Error::NoPbes1CryptSupport
                | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }),
            )) => Err(Unopened::Form(error.to_string())),
            Err(_) => Ok(None),
        }
    }
}

type Plain = Zeroizing<Vec<u8>>;

/// `None` where `first` is no first block for the cipher; in it, `None` where the padding is wrong.
fn cbc<C, const KEY: usize, const BLOCK: usize>(
    phrase: &[u8],
    first: &[u8],
    sealed: &[u8],
) -> Option<Option<Plain>>
where
    C: BlockModeDecrypt + KeyIvInit,
{
    let salt = first.get(..8)?;
    let key = derive::<KEY>(phrase, salt);
    let cipher = C::new_from_slices(&key[..], first).ok()?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let Some(length) = cipher.decrypt_padded::<Pkcs7>(&mut plain).ok().map(<[u8]>::len) else {
        return Some(None);
    };
    plain.truncate(length);
    Some(Some(plain))
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: each digest is over the one before it.
fn derive<const KEY: usize>(phrase: &[u8], salt: &[u8]) -> Zeroizing<[u8; KEY]> {
    let mut key = Zeroizing::new([0; KEY]);
    let mut before: Option<[u8; 16]> = None;
    for part in key.chunks_mut(16) {
        let mut md5 = Md5::new();
        md5.update(before.as_ref().map_or(&[][..], |digest| &digest[..]));
        md5.update(phrase);
        md5.update(salt);
        let digest: [u8; 16] = md5.finalize().into();
        part.copy_from_slice(&digest[..part.len()]);
        before = Some(digest);
    }
    key
}

/// Whether it is one DER sequence and no more: a key, or one chance in a million.
fn is_sequence(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else {
        return false;
    };
    let (length, body) = match rest {
        [short, body @ ..] if *short < 0x80 => (usize::from(*short), body),
        [0x81, one, body @ ..] => (usize::from(*one), body),
        [0x82, one, two, body @ ..] => (usize::from(u16::from_be_bytes([*one, *two])), body),
        _ => return false,
    };
    body.len() == length
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tls::support::Desk;

    fn with(all: &[&str]) -> Phrases {
        all.iter().map(|phrase| Zeroizing::new(phrase.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_openssl_locks_is_opened() {
        let desk = Desk::new();
        desk.openssl("genrsa -traditional -out rsa.key 2048");
        desk.openssl("ecparam -genkey -name prime256v1 -noout -out ec.key");
        for (name, how) in [
            ("rsa", "pkey -aes256"),
            ("rsa", "pkey -aes128"),
            ("rsa", "pkey -des3"),
            ("ec", "pkey -aes192"),
            ("ec", "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512"),
            ("ec", "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1"),
            ("ec", "pkcs8 -topk8 -scrypt -scrypt_N 1024"),
            ("rsa", "rsa -traditional -aes128"),
            ("rsa", "rsa -traditional -aes192"),
            ("rsa", "rsa -traditional -aes256"),
            ("rsa", "rsa -traditional -des3"),
            ("ec", "ec -aes256"),
            ("ec", "ec -des3"),
        ] {
            desk.openssl(&format!("{how} -in {name}.key -passout pass:o:-)k -out locked.key"));
            desk.openssl(&format!(
                "pkcs8 -topk8 -nocrypt -in {name}.key -outform DER -out {name}.p8"
            ));
            let text = std::fs::read(desk.path("locked.key")).unwrap();
            assert_eq!(pem::key(&text).map(drop), Err(Why::Encrypted));
            assert_eq!(key(&text, &with(&["wrong", ""])).map(drop), Err(Unopened::Phrase), "{how}");
            let opened = key(&text, &with(&["wrong", "o:-)k", "other"])).unwrap();
            // The older form holds what OpenSSL writes in the clear, too.
            let plain = match &opened {
                PrivateKeyDer::Pkcs8(_) => std::fs::read(desk.path(&format!("{name}.p8"))).unwrap(),
                _ => {
                    let text = std::fs::read(desk.path(&format!("{name}.key"))).unwrap();
                    pem::key(&text).unwrap().secret_der().to_vec()
                }
            };
            assert_eq!(opened.secret_der(), plain, "{how}");
        }
    }

    #[test]
    fn an_unknown_way_is_named() {
        let desk = Desk::new();
        desk.openssl("ecparam -genkey -name prime256v1 -noout -out ec.key");
        for (how, want) in [
            ("ec -camellia128", "CAMELLIA-128-CBC,"),
            ("pkey -camellia128", ""),
            ("pkcs8 -topk8 -v1 PBE-SHA1-3DES", ""),
        ] {
            desk.openssl(&format!("{how} -in ec.key -passout pass:x -out locked.key"));
            let text = std::fs::read(desk.path("locked.key")).unwrap();
            let Err(Unopened::Form(form)) = key(&text, &with(&["x"])) else { panic!("{how}") };
            assert!(form.starts_with(want) && !form.contains('\n'), "{how}: {form}");
        }
        let none = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        for text in [
            format!("{none}DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"),
            format!("{none}DEK-Info: AES-128-CBC\n\nAAAA\n-----END EC PRIVATE KEY-----\n"),
            format!("{none}\n????\n-----END EC PRIVATE KEY-----\n"),
        ] {
            assert!(
                matches!(key(text.as_bytes(), &with(&["x"])), Err(Unopened::Form(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_that_would_take_too_long_is_not_opened() {
        // Of a key that OpenSSL locked, the numbers that say how much work it is to open.
        let locked = |kdf: &[u8]| {
            let sequence = |parts: &[&[u8]]| {
                let body = parts.concat();
                [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
            };
            let aes = [&b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a\x04\x10"[..], &[7; 16]];
            let pbes2 = &b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"[..];
            let ways = sequence(&[&sequence(&[kdf]), &sequence(&aes)]);
            let key = sequence(&[&sequence(&[pbes2, &ways]), b"\x04\x10", &[9; 16]]);
            let text = STANDARD.encode(key);
            format!("-----BEGIN {PKCS8}-----\n{text}\n-----END {PKCS8}-----\n").into_bytes()
        };
        let pbkdf2 = |rounds: &[u8]| {
            let salt = b"\x04\x081234567\x38";
            let length = |more: usize| u8::try_from(salt.len() + rounds.len() + more).unwrap();
            let oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
            let number = [&[2, u8::try_from(rounds.len()).unwrap()], rounds].concat();
            [&oid[..], &[0x30, length(2)], salt, &number].concat()
        };
        let scrypt = |numbers: &[u8]| {
            let salt = b"\x04\x0812345678";
            let length = u8::try_from(salt.len() + numbers.len()).unwrap();
            let oid = b"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x04\x0b";
            [&oid[..], &[0x30, length], salt, numbers].concat()
        };
        let costly = Unopened::Form("it would be too much work".to_owned());
        for (kdf, want) in [
            (pbkdf2(b"\x08\x00"), Unopened::Phrase),
            (pbkdf2(b"\x00\x98\x96\x81"), costly.clone()),
            (pbkdf2(b"\x00\xff\xff\xff\xff"), costly.clone()),
            (scrypt(b"\x02\x02\x04\x00\x02\x01\x08\x02\x01\x01"), Unopened::Phrase),
            // N is 0, 1, 2^62; r and p are 65535.
            (scrypt(b"\x02\x01\x00\x02\x01\x08\x02\x01\x01"), costly.clone()),
            (scrypt(b"\x02\x01\x01\x02\x01\x08\x02\x01\x01"), costly.clone()),
            (scrypt(b"\x02\x08\x40\0\0\0\0\0\0\0\x02\x01\x08\x02\x01\x01"), costly.clone()),
            (scrypt(b"\x02\x02\x40\x00\x02\x03\x00\xff\xff\x02\x01\x01"), costly.clone()),
            (scrypt(b"\x02\x02\x04\x00\x02\x01\x08\x02\x03\x00\xff\xff"), costly),
        ] {
            let text = locked(&kdf);
            assert_eq!(key(&text, &with(&["x"])).map(drop), Err(want), "{kdf:x?}");
            hold_for_any(&text);
        }
    }

    #[test]
    fn phrases_are_lines() {
        let desk = Desk::new();
        for (text, want) in [
            ("one", vec!["one"]),
            ("one\ntwo\r\n\n three \n", vec!["one", "two", " three "]),
            ("", vec![""]),
            ("\n\r\n", vec![""]),
        ] {
            desk.write("phrases", text);
            assert_eq!(phrases(&desk.path("phrases")).unwrap(), with(&want), "{text:?}");
        }
        assert_eq!(phrases(&desk.path("lost")), Err(Why::Missing));
    }

    const LINES: &str = "(-----(BEGIN|END) (RSA|EC|ENCRYPTED) PRIVATE KEY-----\n|[A-Z]{0,5}=?\n|\
        Proc-Type: 4,ENCRYPTED\n|DEK-Info: (AES-256|DES-EDE3)-CBC,([0-9A-F]{16}){0,2}\n){0,12}";

    proptest! {
        #[test]
        fn any_pem_like_text_is_tried_without_panic(input in LINES) {
            hold_for_any(input.as_bytes());
        }
    }
}
