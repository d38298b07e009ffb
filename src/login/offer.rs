//! What one virtual host offers a client before it logs in.

/// What one virtual host offers a client before it logs in. Made from directives by the face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `server_name`: our name in greetings.
    pub name: String,
    /// `imap_greeting`, `pop3_greeting`: the text after `* OK [CAPABILITY …] ` or `+OK `.
    pub greeting: String,
    /// `imap_capabilities`, `pop3_capabilities`, one entry each; what the TLS state asks for
    /// (STARTTLS, LOGINDISABLED, AUTH=…, SASL …) is added by the front, not listed here.
    pub capabilities: Vec<String>,
    /// `imap_auth`, `pop3_auth`.
    pub mechanisms: Mechanisms,
    pub starttls: StartTls,
    /// Whether TLS can be begun at all: the host has a usable certificate.
    pub has_tls: bool,
    /// `max_errors`: the nth breach is answered, then the session closes.
    pub max_errors: u32,
    /// `imap_client_buffer`: the longest command before login, literals included, in bytes.
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
            mechanisms: Mechanisms { plain: true, login: true },
            starttls: StartTls::Off,
            has_tls: false,
            max_errors: 5,
            client_buffer: 8192,
            id: Vec::new(),
        }
    }
}

/// The SASL mechanisms that are offered. IMAP LOGIN and POP3 USER/PASS go with either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    pub plain: bool,
    pub login: bool,
}

impl Mechanisms {
    /// Whether a name and a password may be given by the protocol's own command.
    pub fn takes_passwords(self) -> bool {
        self.plain || self.login
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
