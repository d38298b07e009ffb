//! What is wrong with a file that TLS needs, and what to do about it.
//!
//! A fault never stops the house: the name it belongs to goes without, or keeps what it had. Boot
//! logs it; `-t` fails on it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be used: which, why, and the way out. One line in `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: PathBuf,
    pub why: Why,
}

/// The reasons, as told apart by their remedies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    #[error("there is no such file")]
    Missing,
    #[error("permission denied")]
    Forbidden,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("it is not valid PEM: {0}")]
    NotPem(String),
    #[error("it holds no certificate")]
    NoCertificate,
    #[error("certificate {0} in it is not valid X.509")]
    NotX509(usize),
    #[error("it holds no certificate")]
    NoAuthority,
    #[error("it holds no certificate revocation list")]
    NoCrl,
    #[error("certificate revocation list {0} in it is not valid")]
    NotCrl(usize),
    #[error("it holds no private key")]
    NoKey,
    #[error("its private key is encrypted, and no \"ssl_password_file\" is defined")]
    Encrypted,
    #[error("its private key is encrypted, and no pass phrase in {0:?} opens it")]
    Locked(PathBuf),
    #[error("its private key is encrypted in a way that cannot be read: {0}")]
    UnknownCipher(String),
    #[error("its RSA key of {0} bits is too short")]
    ShortRsa(usize),
    #[error("its private key is of a kind that cannot be used")]
    UnusableKey,
    #[error("its private key does not belong to the certificate in {0:?}")]
    Mismatch(PathBuf),
    #[error("its certificate wants OCSP answers stapled to it (must-staple), which is not done")]
    MustStaple,
    #[error("it leads to more than {0} certificates")]
    TooMany(usize),
    #[error("a session ticket key has 48 or 80 bytes, this has {0}")]
    TicketKey(u64),
    #[error("this system has no trusted root certificates")]
    NoRoots,
}

impl Fault {
    pub fn new(file: impl Into<PathBuf>, why: Why) -> Self {
        Self { file: file.into(), why }
    }

    /// What the operator can do about it.
    pub fn remedy(&self) -> String {
        let file = shell(&self.file);
        match &self.why {
            Why::Missing => "correct the path or put the file there".to_owned(),
            Why::Forbidden => {
                "let the user that gatepost runs as read it, and enter its directories".to_owned()
            }
            Why::Unreadable(_) => "see to the file system it lies on".to_owned(),
            Why::TooLarge(_) => "give a file with what is needed alone".to_owned(),
            Why::NoAuthority => {
                "give a PEM file with the certificates of those who issue clients' certificates"
                    .to_owned()
            }
            Why::NoCrl | Why::NotCrl(_) => {
                format!(
                    "give a PEM file; of a DER file make one: openssl crl -inform DER -in {file}"
                )
            }
            Why::NotPem(_) | Why::NotX509(_) => {
                format!(
                    "give a PEM file; of a DER file make one: openssl x509 -inform DER -in {file}"
                )
            }
            Why::NoCertificate => {
                "give a PEM file with the server's certificate first, then its chain".to_owned()
            }
            Why::NoKey => "give the PEM file that holds the certificate's private key".to_owned(),
            Why::Encrypted => format!(
                "name a file with its pass phrase in \"ssl_password_file\", or store the key in \
                 the clear, mode 0600: openssl pkey -in {file} -out NEW"
            ),
            Why::Locked(passwords) => {
                format!("put its pass phrase into {}, on a line of its own", shell(passwords))
            }
            Why::UnknownCipher(_) => {
                format!("store it anew: openssl pkey -in {file} -aes256 -out NEW")
            }
            Why::ShortRsa(_) => "make a key of 2048 bits or more, or an ECDSA key".to_owned(),
            Why::UnusableKey => {
                "use RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) or Ed25519".to_owned()
            }
            Why::Mismatch(certificate) => format!(
                "give the key that the certificate was made with; compare `openssl pkey -pubout \
                 -in {file}` with `openssl x509 -noout -pubkey -in {}`",
                shell(certificate)
            ),
            Why::MustStaple => "have it issued again without the TLS feature (must-staple): \
                 clients would refuse it"
                .to_owned(),
            Why::TooMany(_) => "name folders that hold the certificates in use alone".to_owned(),
            Why::TicketKey(_) => format!("make one: openssl rand 80 > {file}"),
            Why::NoRoots => {
                "install the system's CA certificates or set proxy_ssl_trusted_certificate"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {:?}: {}; {}", self.file, self.why, self.remedy())
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

/// A path that can be pasted into a shell.
fn shell(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if path.chars().all(is_plain) {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// What a poll of the files brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The file changed and what it holds now is in use.
    Renewed(PathBuf),
    /// A certificate has come into a folder, and is in use.
    Added(PathBuf),
    /// It has gone from its folder, and is in use no more.
    Removed(PathBuf),
    /// The file changed for the worse: what it held before stays in use.
    Bad(Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_file_reason_and_remedy() {
        let fault = Fault::new("/etc/tls/it's.key", Why::Encrypted);
        assert_eq!(
            fault.to_string(),
            "cannot use \"/etc/tls/it's.key\": its private key is encrypted, and no \
             \"ssl_password_file\" is defined; name a file with its pass phrase in \
             \"ssl_password_file\", or store the key in the clear, mode 0600: openssl pkey -in \
             '/etc/tls/it'\\''s.key' -out NEW"
        );
    }
}
