//! What is known of a client besides its words: from its connection and its TLS.

use std::sync::Arc;

use super::{Mechanism, Offer};

/// What is known of a client before its first word.
#[derive(Clone, Debug, Default)]
pub struct Guest {
    /// TLS is up already, as on port 993.
    pub secure: bool,
    /// It may say who is behind it (`set_real_ip_from`): a proxy in front of us.
    pub trusted: bool,
    /// The name in its TLS certificate, which has been verified.
    pub certificate: Option<Box<[u8]>>,
    /// What makes our challenges unique and unguessable: `rnd.time`, digits and a dot.
    pub salt: Box<str>,
    /// What our part of a SCRAM nonce is made of: fresh for each session, and known to nobody.
    pub nonce: [u8; 18],
}

impl Guest {
    /// Whether this guest may log in by `mechanism`. PLAIN and LOGIN are two ways of saying the same,
    /// so either goes where one is offered, as with nginx.
    pub fn may_use(&self, mechanism: Mechanism, offer: &Offer) -> bool {
        match mechanism {
            Mechanism::Login | Mechanism::Plain | Mechanism::AuthLogin => {
                offer.mechanisms.takes_passwords()
            }
            Mechanism::External => {
                offer.mechanisms.has(mechanism)
                    && (self.certificate.is_some() || !offer.asks_certificates)
            }
            _ => offer.mechanisms.has(mechanism),
        }
    }

    /// The challenge of APOP and CRAM-MD5: `<rnd.time@name>` (RFC 1939 §7, RFC 2195 §2).
    pub fn challenge(&self, offer: &Offer) -> String {
        format!("<{}@{}>", self.salt, offer.name)
    }

    /// TLS has begun in the middle of the dialogue.
    pub fn secured(&mut self, secured: &Secured) {
        self.secure = true;
        self.certificate.clone_from(&secured.certificate);
        self.trusted = secured.trusted.unwrap_or(self.trusted);
    }
}

/// What TLS has brought, once it is up.
#[derive(Clone, Debug, Default)]
pub struct Secured {
    /// The name the client asked for has chosen another virtual host, whose offer holds from here
    /// on.
    pub offer: Option<Arc<Offer>>,
    /// The name in the client's certificate, which has been verified.
    pub certificate: Option<Box<[u8]>>,
    /// Whether the other host believes the client when it says who is behind it.
    pub trusted: Option<bool>,
}

/// Why a client whose handshake is done is sent away all the same (`ssl_verify_client`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bar {
    /// nginx's words.
    #[error("client sent no required SSL certificate")]
    NoCertificate,
    #[error("client SSL certificate verify error: {0}")]
    BadCertificate(String),
    /// The host that its name chose has too many such clients already.
    #[error("too many connections")]
    TooMany,
}
