//! From plain to TLS in the middle of a dialogue.

use crate::login::{Bar, Secured};
use crate::net::{Plain, Stream};

/// A peer did what its protocol forbids.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    #[error("sent {bytes} bytes in the clear after STARTTLS")]
    SpokeBeforeTls { bytes: usize },
}

/// Lets TLS begin only if the client has sent nothing since it asked for it.
///
/// RFC 9051 §6.2.1: "Once a client issues a STARTTLS command, it MUST NOT issue further commands
/// until a server response is seen and the TLS negotiation is complete." RFC 2595 §4 says so of
/// STLS. Bytes that came all the same are a broken client's, or an attacker's put in front of what
/// the client will say once it is safe (CVE-2011-0411), so they are refused, not skipped.
pub fn clear_for_tls(unread: &[u8]) -> Result<(), Breach> {
    match unread.len() {
        0 => Ok(()),
        bytes => Err(Breach::SpokeBeforeTls { bytes }),
    }
}

/// A line that has become secure.
#[derive(Debug)]
pub struct Upgraded {
    pub stream: Stream,
    pub secured: Secured,
    /// The peer's certificate bars it: it is told so, and sent away.
    pub barred: Option<Bar>,
}

/// How a line becomes secure: the client's side accepts, the upstream's side connects.
pub trait Upgrade: Sync {
    /// Begins TLS on `plain`.
    fn start_tls(&self, plain: Plain) -> impl Future<Output = Result<Upgraded, String>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_behind_starttls_are_refused() {
        assert_eq!(clear_for_tls(b""), Ok(()));
        assert_eq!(clear_for_tls(b"a NOOP"), Err(Breach::SpokeBeforeTls { bytes: 6 }));
    }
}
