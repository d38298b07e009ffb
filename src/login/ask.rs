//! What a `back` needs to log in for somebody.

use std::net::{IpAddr, SocketAddr};

use super::{Envelope, Helo, Mechanism, Secret};

/// What a `back` needs to log in for somebody.
#[derive(Clone, Debug)]
pub struct Ask {
    pub user: Box<[u8]>,
    /// Whose mailbox it is, where `user` is a master or another's.
    pub authzid: Option<Box<[u8]>>,
    pub secret: Secret,
    pub proof: Proof,
    /// TLS must be begun by STARTTLS/STLS before anything else is said.
    pub starttls: bool,
    /// Send the client's identity by IMAP ID (`proxy_issue_imap_id`).
    pub imap_id: Tell,
    /// Send it by POP3 XOIP (`proxy_issue_pop3_xoip`).
    pub pop3_xoip: Tell,
    /// Send it by XCLIENT (`xclient`).
    pub xclient: Tell,
    /// The upstream is told to be Dovecot: ID carries `x-connected-ip`, `x-session-id` and others.
    pub dovecot: bool,
    /// How SMTP logs in.
    pub smtp_auth: SmtpAuth,
    pub identity: Identity,
    /// MAIL and RCPT to be said once we are in (SMTP without a login, LMTP).
    pub envelope: Option<Box<Envelope>>,
}

/// What the secret of an [`Ask`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    #[default]
    Password,
    /// A bearer token, which the client brought by this mechanism: XOAUTH2 or OAUTHBEARER. The
    /// other will do where the upstream offers only that.
    Bearer(Mechanism),
}

/// `proxy_smtp_auth`, as it comes down to one login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpAuth {
    /// No login: XCLIENT's LOGIN says who it is, where XCLIENT is spoken.
    #[default]
    Off,
    /// What the upstream offers: PLAIN, else LOGIN.
    Any,
    Plain,
    Login,
}

/// Whether to tell an upstream something it may not understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tell {
    /// If its greeting or capabilities offer it, or do not say.
    #[default]
    Auto,
    On,
    Off,
}

/// Who the client really is, for the upstream's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub client: SocketAddr,
    /// The client's host name: letters, digits, dots and hyphens, or `[UNAVAILABLE]` or
    /// `[TEMPUNAVAIL]`.
    pub host: String,
    /// The address of ours that the client connected to.
    pub local: SocketAddr,
    /// Our name: what we say in EHLO and LHLO.
    pub name: String,
    /// How the client introduced itself.
    pub helo: Option<Helo>,
    /// Our address on the connection to the upstream, for `X-VIA`.
    pub via: IpAddr,
    /// Unique among sessions; printable, no blanks.
    pub session: String,
    /// How many more proxies may follow. At 0 the desk refuses, as a loop, before it asks.
    pub ttl: u8,
    pub agent: Option<String>,
    pub agent_version: Option<String>,
}

impl Ask {
    /// A login with a password that tells nothing of the client.
    pub fn new(user: impl Into<Box<[u8]>>, secret: Secret, identity: Identity) -> Self {
        Self {
            user: user.into(),
            authzid: None,
            secret,
            proof: Proof::Password,
            starttls: false,
            imap_id: Tell::Off,
            pop3_xoip: Tell::Off,
            xclient: Tell::Off,
            dovecot: false,
            smtp_auth: SmtpAuth::Off,
            identity,
            envelope: None,
        }
    }
}

impl Identity {
    /// Somebody at `client`, of whom no more is known.
    pub fn new(client: SocketAddr, session: impl Into<String>) -> Self {
        Self {
            client,
            host: "[UNAVAILABLE]".to_owned(),
            local: client,
            name: "localhost".to_owned(),
            helo: None,
            via: client.ip(),
            session: session.into(),
            ttl: 5,
            agent: None,
            agent_version: None,
        }
    }
}
