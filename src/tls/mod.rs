//! # tls: who we are to clients, and whom we trust behind us
//!
//! **In and out.** [`directives`] says what is wanted. [`certs::Store`] loads certificates and
//! gives each server block its [`certs::Identity`]; [`server::config`] makes its rustls
//! configuration; [`names::Names`] finds the server block a client asks for; [`server::accept`]
//! does a handshake. Towards upstreams it is [`client::Connector`].
//!
//! **Promises.**
//! - Nothing prompts. A file that cannot be used is a [`fault::Fault`] with reason and remedy; the
//!   names that need it are refused, or keep the certificate they had, and all others serve.
//! - A change of files touches new handshakes only, never a running session.
//! - A session is resumed only where the server block has the same certificates and settings.
//! - A half-open handshake costs at most some 64 KiB until its deadline.
//! - What a client's certificate is worth is judged after every handshake, a resumed one too.
//! - The upstream's certificate is verified unless the configuration says otherwise.
//!
//! **Limits.** TLS 1.2 and 1.3, forward secrecy and AEAD only. No early data, no renegotiation, no
//! certificate compression, no OCSP stapling.

pub mod cache;
pub mod certs;
pub mod client;
pub mod clients;
pub mod directives;
pub mod error;
pub mod fault;
pub mod names;
pub mod pem;
pub mod server;
pub mod suites;
#[cfg(test)]
pub mod support;
pub mod ticket;
pub mod unlock;
pub mod verify;

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one source of cryptography. Nothing relies on a default of the process.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider()))
}
