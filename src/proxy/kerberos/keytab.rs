//! Keytabs: read once, with the rights of whoever starts us, and looked through for their names.
//!
//! Only names are taken out of it. What uses the keys is the Kerberos library, to which the bytes
//! go on unread.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The largest file read. A key takes about a hundred bytes.
const MAX_FILE: u64 = 1 << 20;

/// A file of keys, in memory and wiped when dropped.
#[derive(Clone)]
pub struct Keytab {
    bytes: Zeroizing<Vec<u8>>,
    names: Vec<String>,
}

impl std::fmt::Debug for Keytab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keytab").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Why a keytab is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot load keytab \"{}\": {cause}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot load keytab \"{}\": it is not a keytab file", path.display())]
    NoKeytab { path: PathBuf },
    #[error(
        "keytab \"{}\" has no key for \"{wanted}\", it has: {}",
        path.display(),
        if names.is_empty() { "none" } else { names.as_str() }
    )]
    NoKey { path: PathBuf, wanted: String, names: String },
}

impl Keytab {
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = read(path).map_err(|cause| Error::Io { path: path.to_owned(), cause })?;
        let names = names(&bytes).ok_or_else(|| Error::NoKeytab { path: path.to_owned() })?;
        Ok(Self { bytes, names })
    }

    /// The file's bytes, keys and all.
    pub fn reveal(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is a key for `service`, on `host` where one is given.
    pub fn check(&self, path: &Path, service: &str, host: Option<&str>) -> Result<(), Error> {
        let wanted = format!("{service}/{}", host.unwrap_or_default());
        let is_it = |name: &String| match host {
            None => name.starts_with(&wanted),
            Some(_) => name.split('@').next() == Some(&wanted),
        };
        if self.names.iter().any(is_it) {
            return Ok(());
        }
        let names = self.names.join(", ");
        let wanted = host.map_or_else(|| format!("{service}/HOST"), |_| wanted);
        Err(Error::NoKey { path: path.to_owned(), wanted, names })
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len().min(MAX_FILE) + 1;
    // Room from the start, as growing would leave copies of the keys behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
    file.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// The principals of a keytab of version 2, each once: `SERVICE/HOST@REALM`. None if it is no
/// keytab.
fn names(bytes: &[u8]) -> Option<Vec<String>> {
    let mut rest = bytes.strip_prefix(&[5, 2])?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk()?;
        let length = i32::from_be_bytes(*length);
        let size = usize::try_from(length.unsigned_abs()).ok()?;
        let entry = behind.get(..size)?;
        rest = &behind[size..];
        // A negative length is a hole that an entry has left.
        if length > 0 {
            let name = name(entry)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        // Some writers end a file with a length of none, and go on with nothing of worth.
        if length == 0 {
            break;
        }
    }
    Some(names)
}

fn name(mut entry: &[u8]) -> Option<String> {
    let parts = number(&mut entry)?;
    let realm = text(&mut entry)?;
    let parts = (0..parts).map(|_| text(&mut entry)).collect::<Option<Vec<_>>>()?;
    Some(format!("{}@{realm}", parts.join("/")))
}

fn number(from: &mut &[u8]) -> Option<u16> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u16::from_be_bytes(*number))
}

/// A counted text, fit to be shown.
fn text(from: &mut &[u8]) -> Option<String> {
    let size = usize::from(number(from)?);
    let text = from.get(..size)?;
    *from = &from[size..];
    Some(text.escape_ascii().to_string())
}

/// What must hold for any bytes at all; a keytab comes from the operator, but a damaged one is told,
/// not died of.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    for name in names(input).unwrap_or_default() {
        assert!(name.contains('@') && name.is_ascii() && !name.contains(char::is_control));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(parts: &[&str], realm: &str) -> Vec<u8> {
        let mut entry = u16::try_from(parts.len()).unwrap().to_be_bytes().to_vec();
        for text in std::iter::once(&realm).chain(parts) {
            entry.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            entry.extend(text.as_bytes());
        }
        // Its type, time, number and key: not looked at.
        entry.extend([0; 20]);
        entry
    }

    fn keytab(entries: &[(i32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![5, 2];
        for (sign, entry) in entries {
            bytes.extend((sign * i32::try_from(entry.len()).unwrap()).to_be_bytes());
            bytes.extend(entry);
        }
        bytes
    }

    fn sample() -> Vec<u8> {
        let imap = entry(&["imap", "mail.a.test"], "A.TEST");
        let pop = entry(&["pop", "mail.a.test"], "A.TEST");
        keytab(&[(1, imap.clone()), (-1, entry(&["gone"], "A.TEST")), (1, imap), (1, pop)])
    }

    #[test]
    fn tells_whose_keys_it_has() {
        assert_eq!(
            names(&sample()).unwrap(),
            ["imap/mail.a.test@A.TEST", "pop/mail.a.test@A.TEST"]
        );
        for wrong in [&b""[..], b"\x05", b"\x05\x01", b"-----BEGIN", &sample()[..40]] {
            assert_eq!(names(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn says_what_is_missing_and_what_is_there() {
        let path = Path::new("/k");
        let keytab = Keytab { bytes: Zeroizing::default(), names: names(&sample()).unwrap() };
        for host in [None, Some("mail.a.test")] {
            keytab.check(path, "imap", host).unwrap();
        }
        for (service, host, wanted) in
            [("smtp", None, "smtp/HOST"), ("imap", Some("mail.a"), "imap/mail.a")]
        {
            assert_eq!(
                keytab.check(path, service, host).unwrap_err().to_string(),
                format!(
                    "keytab \"/k\" has no key for \"{wanted}\", it has: imap/mail.a.test@A.TEST, \
                     pop/mail.a.test@A.TEST"
                )
            );
        }
        let none = Keytab::load(Path::new("/nowhere/k")).unwrap_err().to_string();
        assert!(none.starts_with("cannot load keytab \"/nowhere/k\": No such file"), "{none}");
    }

    proptest! {
        #[test]
        fn holds_for_any_damage(at in 0usize..100, byte: u8, cut in 0usize..200) {
            let mut bytes = sample();
            if let Some(damaged) = bytes.get_mut(at) {
                *damaged = byte;
            }
            bytes.truncate(cut);
            hold_for_any(&bytes);
        }
    }
}
