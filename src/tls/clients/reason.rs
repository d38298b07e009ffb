//! What can be wrong with a client's certificate: OpenSSL's numbers, and OpenSSL 3's words.
//!
//! They are in nginx's error log and in `Auth-SSL-Verify`, where others read them.

use std::fmt;

/// `X509_V_ERR_*`: its number, and in `Display` its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Reason {
    #[error("unspecified certificate verification error")]
    Unspecified = 1,
    #[error("unable to get issuer certificate")]
    NoIssuer = 2,
    #[error("unable to get certificate CRL")]
    NoCrl = 3,
    #[error("certificate signature failure")]
    BadSignature = 7,
    #[error("CRL signature failure")]
    BadCrlSignature = 8,
    #[error("certificate is not yet valid")]
    NotYetValid = 9,
    #[error("certificate has expired")]
    Expired = 10,
    #[error("CRL is not yet valid")]
    CrlNotYetValid = 11,
    #[error("CRL has expired")]
    CrlExpired = 12,
    #[error("self-signed certificate")]
    SelfSigned = 18,
    #[error("self-signed certificate in certificate chain")]
    SelfSignedInChain = 19,
    #[error("unable to get local issuer certificate")]
    NoLocalIssuer = 20,
    #[error("unable to verify the first certificate")]
    LeafUnverified = 21,
    #[error("certificate chain too long")]
    ChainTooLong = 22,
    #[error("certificate revoked")]
    Revoked = 23,
    #[error("invalid CA certificate")]
    InvalidCa = 24,
    #[error("path length constraint exceeded")]
    PathTooLong = 25,
    #[error("unsuitable certificate purpose")]
    WrongPurpose = 26,
    #[error("key usage does not include certificate signing")]
    MayNotSign = 32,
    #[error("unhandled critical extension")]
    CriticalExtension = 34,
    #[error("key usage does not include CRL signing")]
    MayNotSignCrl = 35,
    #[error("unhandled critical CRL extension")]
    CriticalCrlExtension = 36,
    #[error("permitted subtree violation")]
    NotPermitted = 47,
    #[error("unsupported name constraint type")]
    NameConstraint = 51,
    #[error("EE certificate key too weak")]
    WeakKey = 66,
    #[error("CA certificate key too weak")]
    WeakCaKey = 67,
    #[error("CA signature digest algorithm too weak")]
    WeakDigest = 68,
}

impl Reason {
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether it only says that nobody we trust stands behind the certificate: what
    /// `ssl_verify_client optional_no_ca` lets pass.
    pub fn is_about_trust(self) -> bool {
        matches!(
            self,
            Self::SelfSigned | Self::SelfSignedInChain | Self::NoLocalIssuer | Self::LeafUnverified
        )
    }

    /// As nginx logs it: `(20:unable to get local issuer certificate)`.
    pub fn in_full(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "({}:{self})", self.number()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_in_nginx() {
        let text = Reason::NoLocalIssuer.in_full().to_string();
        assert_eq!(text, "(20:unable to get local issuer certificate)");
        let text = Reason::SelfSigned.in_full().to_string();
        assert_eq!(text, "(18:self-signed certificate)");
    }
}
