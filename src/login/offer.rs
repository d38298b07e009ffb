//! What one virtual host offers a client before it logs in.

use super::Mechanism;

/// What one virtual host offers a client before it logs in. Made from directives by the face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `server_name`: our name in greetings.
    pub name: String,
    /// `imap_greeting`, `pop3_greeting`, `smtp_greeting`: the text after `* OK [CAPABILITY …] `,
    /// `+OK ` or `220 name `.
    pub greeting: String,
    /// `imap_capabilities`, `pop3_capabilities`, `smtp_capabilities`, `sieve_capabilities`, one
    /// entry each; what the TLS state asks for (STARTTLS, LOGINDISABLED, AUTH=…, SASL …) is added by
    /// the front, not listed here.
    pub capabilities: Vec<String>,
    /// `imap_auth`, `pop3_auth`, `smtp_auth`, `sieve_auth`, less what cannot succeed.
    pub mechanisms: Mechanisms,
    pub starttls: StartTls,
    /// Whether TLS can be begun at all: the host has a usable certificate.
    pub has_tls: bool,
    /// `ssl_verify_client` is not `off`: EXTERNAL then needs a verified certificate. Otherwise it is
    /// the lookup handler that decides, as with nginx.
    pub asks_certificates: bool,
    /// `max_errors`: the nth breach is answered, then the session closes.
    pub max_errors: u32,
    /// `imap_client_buffer` and its kin: the longest command before login, literals included, in
    /// bytes.
    pub client_buffer: usize,
    /// `imap_id`: our answer to ID, key and value by turns; empty: `NIL`.
    pub id: Vec<(String, String)>,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            greeting: "gatepost ready".to_owned(),
            capabilities: Vec::new(),
            mechanisms: Mechanisms::of(&[Mechanism::Plain, Mechanism::AuthLogin]),
            starttls: StartTls::Off,
            has_tls: false,
            asks_certificates: false,
            max_errors: 5,
            client_buffer: 8192,
            id: Vec::new(),
        }
    }
}

/// A set of mechanisms. IMAP LOGIN and POP3 USER/PASS go with PLAIN or LOGIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mechanisms(u16);

impl Mechanisms {
    pub fn of(all: &[Mechanism]) -> Self {
        all.iter().fold(Self::default(), |set, one| set.with(*one))
    }

    #[must_use]
    pub fn with(self, mechanism: Mechanism) -> Self {
        Self(self.0 | 1 << mechanism as u16)
    }

    pub fn has(self, mechanism: Mechanism) -> bool {
        self.0 & (1 << mechanism as u16) != 0
    }

    /// In the order in which they are offered.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |one| self.has(*one))
    }

    /// Whether a name and a password may be given by the protocol's own command.
    pub fn takes_passwords(self) -> bool {
        self.has(Mechanism::Plain) || self.has(Mechanism::AuthLogin)
    }
}

/// `starttls off | on | only`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    #[default]
    Off,
    On,
    /// No login without TLS.
    Only,
}
