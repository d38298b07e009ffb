//! What a client said to be let in.

use super::Secret;

/// One attempt to log in: what the client sent, decoded, with nothing decided.
///
/// No field holds CR, LF or NUL: the fronts refuse them, because a user name ends up in upstream
/// commands, headers, cache keys and log lines.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub mechanism: Mechanism,
    /// The authentication identity: whose password it is. Empty with [`Mechanism::Unasked`].
    pub user: Box<[u8]>,
    /// The authorization identity, if one was given and differs (RFC 4616 §2).
    pub authzid: Option<Box<[u8]>>,
    /// The password, the digest (APOP, CRAM-MD5; hexadecimal), or the bearer token. Empty where the
    /// client has proved itself otherwise: EXTERNAL, SCRAM, GSSAPI, or not at all.
    pub secret: Secret,
    /// The challenge that the digest answers: `<…@name>`.
    pub salt: Option<Box<str>>,
    /// What the client, or the proxy in front of us, said of itself before it logged in.
    pub claims: Claims,
    /// SCRAM: the client's proof was wrong. The desk refuses it, and counts it.
    pub disproved: bool,
    /// What an SMTP or LMTP client said that is relayed without a login.
    pub envelope: Option<Box<Envelope>>,
}

impl Attempt {
    /// An attempt by a mechanism that needs no more than a name and a secret.
    pub fn new(mechanism: Mechanism, user: impl Into<Box<[u8]>>, secret: Secret) -> Self {
        Self {
            mechanism,
            user: user.into(),
            authzid: None,
            secret,
            salt: None,
            claims: Claims::default(),
            disproved: false,
            envelope: None,
        }
    }

    /// The name that is looked up: whose mailbox it is. Without a login, the recipient.
    pub fn mailbox(&self) -> &[u8] {
        match &self.envelope {
            Some(envelope) => envelope.recipient(),
            None => self.authzid.as_deref().unwrap_or(&self.user),
        }
    }
}

/// How the credentials came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// IMAP `LOGIN`, POP3 `USER`/`PASS`.
    Login,
    /// SASL PLAIN (RFC 4616).
    Plain,
    /// SASL LOGIN (draft-murchison-sasl-login).
    AuthLogin,
    /// POP3 `APOP` (RFC 1939 §7).
    Apop,
    /// SASL CRAM-MD5 (RFC 2195).
    CramMd5,
    /// SASL EXTERNAL (RFC 4422 appendix A): by the TLS certificate.
    External,
    /// SASL SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// Google's XOAUTH2.
    XOauth2,
    /// SASL OAUTHBEARER (RFC 7628).
    OauthBearer,
    /// SASL GSSAPI (RFC 4752).
    Gssapi,
    /// No login at all: `smtp_auth none`, and LMTP.
    Unasked,
}

impl Mechanism {
    /// All that a configuration can name, in the order in which they are offered.
    pub const ALL: [Self; 10] = [
        Self::Plain,
        Self::AuthLogin,
        Self::Apop,
        Self::CramMd5,
        Self::External,
        Self::ScramSha256,
        Self::XOauth2,
        Self::OauthBearer,
        Self::Gssapi,
        Self::Unasked,
    ];

    /// As access lines say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Plain => "auth-plain",
            Self::AuthLogin => "auth-login",
            Self::Apop => "apop",
            Self::CramMd5 => "auth-cram-md5",
            Self::External => "auth-external",
            Self::ScramSha256 => "auth-scram-sha-256",
            Self::XOauth2 => "auth-xoauth2",
            Self::OauthBearer => "auth-oauthbearer",
            Self::Gssapi => "auth-gssapi",
            Self::Unasked => "none",
        }
    }

    /// As `Auth-Method` and `imap_auth`, `pop3_auth`, `smtp_auth` say it. LOGIN and USER/PASS are
    /// "plain" to a lookup handler: how the password is known counts there, not how it came.
    pub fn method(self) -> &'static str {
        match self {
            Self::Login | Self::Plain | Self::AuthLogin => "plain",
            Self::Apop => "apop",
            Self::CramMd5 => "cram-md5",
            Self::External => "external",
            Self::ScramSha256 => "scram-sha-256",
            Self::XOauth2 => "xoauth2",
            Self::OauthBearer => "oauthbearer",
            Self::Gssapi => "gssapi",
            Self::Unasked => "none",
        }
    }

    /// The SASL name (RFC 4422 §3.1); none for what is no SASL mechanism.
    pub fn sasl(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain => "PLAIN",
            Self::AuthLogin => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::External => "EXTERNAL",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::XOauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Gssapi => "GSSAPI",
            Self::Login | Self::Apop | Self::Unasked => return None,
        })
    }

    /// The mechanism of that SASL name, in any case.
    pub fn by_sasl(name: &[u8]) -> Option<Self> {
        let is_it =
            |it: &Self| it.sasl().is_some_and(|own| name.eq_ignore_ascii_case(own.as_bytes()));
        Self::ALL.into_iter().find(is_it)
    }

    /// Whether the client's secret is a password that may be said to an upstream as it is.
    pub fn brings_password(self) -> bool {
        matches!(self, Self::Login | Self::Plain | Self::AuthLogin)
    }

    /// Whether the client's secret answers a challenge, which the attempt brings too.
    pub fn brings_digest(self) -> bool {
        matches!(self, Self::Apop | Self::CramMd5)
    }

    /// Whether the client is known without a secret of its own.
    pub fn proves_otherwise(self) -> bool {
        matches!(self, Self::External | Self::ScramSha256 | Self::Gssapi | Self::Unasked)
    }

    /// Whether the client's secret is a bearer token.
    pub fn brings_token(self) -> bool {
        matches!(self, Self::XOauth2 | Self::OauthBearer)
    }
}

/// What a peer said of itself and of whoever is behind it: IMAP ID (RFC 2971), POP3 and SMTP
/// XCLIENT, SMTP's HELO.
///
/// Only claims: the desk believes addresses from trusted networks alone. `ttl` may be believed from
/// anyone, since a small one harms only its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// IMAP ID `name` and `version`, printable and short.
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    /// `x-originating-ip`, `x-originating-port`, XCLIENT `ADDR`, `PORT`, XOIP.
    pub client_ip: Option<std::net::IpAddr>,
    pub client_port: Option<u16>,
    /// XCLIENT `NAME`: letters, digits, dots and hyphens.
    pub client_host: Option<String>,
    /// `x-session-id`, XCLIENT `SESSION`: printable, no blanks, at most 64 bytes.
    pub session: Option<String>,
    /// `x-proxy-ttl`, XCLIENT `TTL`: how many more proxies may follow.
    pub ttl: Option<u8>,
    /// SMTP: how the client introduced itself, or, from a trusted proxy, XCLIENT `HELO`, `PROTO`.
    pub helo: Option<Helo>,
}

/// HELO, EHLO or LHLO, and the name behind it: printable ASCII without blanks, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helo {
    pub name: String,
    /// EHLO or LHLO, not HELO.
    pub extended: bool,
}

/// The commands of a mail transaction before its login is ruled on: whole lines without CRLF, as
/// the client wrote them: printable ASCII and bytes above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `MAIL FROM:<a@b> SIZE=10`
    pub mail: Box<[u8]>,
    /// `RCPT TO:<c@d>`
    pub rcpt: Box<[u8]>,
}

impl Envelope {
    /// The recipient's address, without angle brackets and without a route before it (RFC 5321
    /// §4.1.1.3): as the upstream reads it, to which a bracket or a blank within quotes is a letter.
    pub fn recipient(&self) -> &[u8] {
        let from = self.rcpt.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1);
        let path = self.rcpt[from..].trim_ascii();
        let path = path.strip_prefix(b"<").unwrap_or(path);
        let (mut quoted, mut escaped) = (false, false);
        let end = path.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'>' | b' ' if !quoted => return true,
                _ => {}
            }
            false
        });
        let path = &path[..end.unwrap_or(path.len())];
        let colon = path.iter().position(|byte| *byte == b':');
        colon.filter(|_| path.starts_with(b"@")).map_or(path, |colon| &path[colon + 1..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_a_login_is_looked_up_by_its_recipient() {
        for (rcpt, want) in [
            ("RCPT TO:<tim@example.com>", "tim@example.com"),
            ("rcpt to: <tim@example.com> NOTIFY=NEVER", "tim@example.com"),
            ("RCPT TO:tim@example.com NOTIFY=NEVER", "tim@example.com"),
            ("RCPT TO:<postmaster>", "postmaster"),
            ("RCPT TO:<>", ""),
            ("RCPT TO:<\"t>m@inner.test\"@example.com>", "\"t>m@inner.test\"@example.com"),
            ("RCPT TO:<\"t \\\"> m\"@example.com> X=>", "\"t \\\"> m\"@example.com"),
            ("RCPT TO:<@relay.test,@b.test:tim@example.com>", "tim@example.com"),
        ] {
            let envelope = Envelope { mail: Box::default(), rcpt: rcpt.as_bytes().into() };
            assert_eq!(envelope.recipient(), want.as_bytes(), "{rcpt}");
        }
    }
}
