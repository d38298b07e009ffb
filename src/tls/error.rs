//! How a handshake can fail, by blame.

use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why there is no TLS on a connection. Where the protocol has an alert for it, it was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer was slow, or said nothing.
    #[error("the TLS handshake was not done in time")]
    Silent,

    /// The peer hung up, or the network did.
    #[error("the connection was closed during the TLS handshake")]
    Left(#[source] io::Error),

    /// The peer broke the protocol, or does not speak it.
    #[error("the peer broke TLS: {0}")]
    Misbehaved(String),

    /// Nobody's fault: no version, cipher, curve or application protocol in common.
    #[error("the peer's TLS has nothing in common with ours: {0}")]
    Incompatible(String),

    /// The peer did not like what we showed or asked for.
    #[error("the peer refused TLS: alert {0:?}")]
    Refused(AlertDescription),

    /// The upstream is not proven to be who it should be.
    #[error("{0}")]
    Untrusted(String),

    /// The client asked for a name that no server has, and there is no default.
    #[error("there is no server for TLS name \"{0}\"")]
    NoServer(String),

    /// The server asked for has no certificate that could be loaded: said at start, in full.
    #[error(
        "the server has no certificate to show: none could be loaded, or none is for this name"
    )]
    NoCertificate,

    /// Our own fault.
    #[error("TLS failed: {0}")]
    Bug(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => Self::from(inner),
            // The deframer's own words, when the peer's messages outgrow its bounds.
            None if error.kind() == io::ErrorKind::InvalidData => {
                Self::Misbehaved(error.to_string())
            }
            None => Self::Left(error),
        }
    }
}

impl From<&rustls::Error> for Error {
    fn from(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::AlertReceived(alert) => Self::Refused(*alert),
            E::PeerIncompatible(_) | E::NoApplicationProtocol => {
                Self::Incompatible(error.to_string())
            }
            E::InappropriateMessage { .. }
            | E::InappropriateHandshakeMessage { .. }
            | E::InvalidMessage(_)
            | E::PeerMisbehaved(_)
            | E::NoCertificatesPresented
            | E::UnsupportedNameType
            | E::DecryptError
            | E::PeerSentOversizedRecord => Self::Misbehaved(error.to_string()),
            E::InvalidCertificate(why) => Self::Untrusted(untrusted(why)),
            _ => Self::Bug(error.to_string()),
        }
    }
}

/// What is wrong with an upstream's certificate, and what can be done about it.
fn untrusted(why: &CertificateError) -> String {
    use CertificateError as C;
    match why {
        C::NotValidForName => "the upstream's certificate is not valid for its name: set \
             proxy_ssl_name to a name in it"
            .to_owned(),
        C::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let (valid, remedy) = match names.as_slice() {
                [] => ("for no name (it has no subjectAltName)".to_owned(), "renew it with one"),
                names => {
                    (format!("for {}", names.join(", ")), "set proxy_ssl_name to one of these")
                }
            };
            format!(
                "the upstream's certificate is not valid for {:?} but {valid}: {remedy}, or reach \
                 the upstream by that name",
                expected.to_str()
            )
        }
        C::UnknownIssuer => "the upstream's certificate is signed by nobody that is trusted: put \
             the certificate of its authority into proxy_ssl_trusted_certificate"
            .to_owned(),
        C::Expired | C::ExpiredContext { .. } => {
            "the upstream's certificate has expired: renew it".to_owned()
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "the upstream's certificate is not valid yet: see to the clocks".to_owned()
        }
        other => format!(
            "the upstream's certificate is not acceptable ({other}): renew it, or put it into \
             proxy_ssl_trusted_certificate as it is"
        ),
    }
}

/// `DnsName("a.example")` as rustls writes it, without the kind, and safe to log.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').escape_default().to_string()
}
