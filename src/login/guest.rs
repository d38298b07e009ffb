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
    /// Whether `mechanism` is offered to this guest, as far as certificates decide.
    pub fn may_use(&self, mechanism: Mechanism, offer: &Offer) -> bool {
        offer.mechanisms.has(mechanism)
            && (mechanism != Mechanism::External
                || self.certificate.is_some()
                || !offer.asks_certificates)
    }

    /// The challenge of APOP and CRAM-MD5: `<rnd.time@name>` (RFC 1939 §7, RFC 2195 §2).
    pub fn challenge(&self, offer: &Offer) -> String {
        format!("<{}@{}>", self.salt, offer.name)
    }

    /// TLS has begun in the middle of the dialogue.
    pub fn secured(&mut self, secured: &Secured) {
        self.secure = true;
        self.certificate.clone_from(&secured.certificate);
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
}

/// Why a client whose handshake is done is sent away all the same (`ssl_verify_client`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bar {
    /// nginx's words.
    #[error("client sent no required SSL certificate")]
    NoCertificate,
    #[error("client SSL certificate verify error: {0}")]
    BadCertificate(String),
}
