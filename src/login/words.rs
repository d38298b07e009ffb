//! Words that every protocol must have: the sibling table.

/// The sibling contract: a new protocol fills in one of these before it does anything else.
#[derive(Debug)]
pub struct Words {
    /// As `protocol` in the configuration and `Auth-Protocol` say it.
    pub name: &'static str,
    /// As ALPN names it (RFC 7301).
    pub alpn: &'static str,
    pub port: u16,
    pub tls_port: u16,
    /// More ports that tell the protocol of a server that does not name it.
    pub more_ports: &'static [u16],
    /// Said to a client that was silent for too long before its login, then the session closes.
    pub timed_out: &'static str,
    /// Said when gatepost stops.
    pub shutting_down: &'static str,
    /// Said after the login to a client whose session an administrator ends, moves or drains, between
    /// two lines; then the session closes. Empty where the protocol has no word for that: it closes.
    pub kicked: &'static str,
    /// Said when the fault is ours.
    pub internal_error: &'static str,
    /// Said when the session cannot be taken: too many connections.
    pub too_busy: &'static str,
    /// Said after `max_commands` commands without a login; then the session closes.
    pub too_many_commands: &'static str,
    /// Said to a client that spoke before its greeting (`smtp_greeting_delay`).
    pub spoke_too_early: &'static str,
    /// Said to bytes that came in the clear after STARTTLS; then the session closes.
    pub spoke_before_tls: &'static str,
    /// Said after the handshake to a client without a certificate (`ssl_verify_client on`).
    pub no_certificate: &'static str,
    /// Said after the handshake to a client whose certificate is no good.
    pub bad_certificate: &'static str,
}

pub const IMAP: Words = Words {
    name: "imap",
    alpn: "imap",
    port: 143,
    tls_port: 993,
    more_ports: &[],
    timed_out: "* BYE idle for too long\r\n",
    shutting_down: "* BYE [UNAVAILABLE] server shutting down\r\n",
    kicked: "* BYE session ended by the administrator, please log in again\r\n",
    internal_error: "* BAD internal server error\r\n",
    too_busy: "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
    too_many_commands: "* BYE too many commands without a login\r\n",
    spoke_too_early: "* BYE spoke before the greeting\r\n",
    spoke_before_tls: "* BYE commands before the TLS negotiation was complete\r\n",
    no_certificate: "* BYE No required SSL certificate\r\n",
    bad_certificate: "* BYE SSL certificate error\r\n",
};

pub const POP3: Words = Words {
    name: "pop3",
    alpn: "pop3",
    port: 110,
    tls_port: 995,
    more_ports: &[],
    timed_out: "-ERR idle for too long\r\n",
    shutting_down: "-ERR [SYS/TEMP] server shutting down\r\n",
    // RFC 1939 §3: a server that ends a session of its own accord closes "without removing any
    // messages or sending any response to the client".
    kicked: "",
    internal_error: "-ERR internal server error\r\n",
    too_busy: "-ERR [SYS/TEMP] too many connections, try again later\r\n",
    too_many_commands: "-ERR too many commands without a login\r\n",
    spoke_too_early: "-ERR spoke before the greeting\r\n",
    spoke_before_tls: "-ERR commands before the TLS negotiation was complete\r\n",
    no_certificate: "-ERR No required SSL certificate\r\n",
    bad_certificate: "-ERR SSL certificate error\r\n",
};

/// `421` closes (RFC 5321 §3.8); the texts of nginx where it has one.
pub const SMTP: Words = Words {
    name: "smtp",
    alpn: "smtp",
    port: 25,
    tls_port: 465,
    more_ports: &[587],
    timed_out: "421 4.4.2 Idle for too long\r\n",
    shutting_down: "421 4.3.2 Service shutting down\r\n",
    kicked: "421 4.3.2 Session ended by the administrator, please try again\r\n",
    internal_error: "451 4.3.2 Internal server error\r\n",
    too_busy: "421 4.7.0 Too many connections, try again later\r\n",
    too_many_commands: "421 4.7.0 Too many commands without a login\r\n",
    spoke_too_early: "503 5.5.0 Improper use of SMTP command pipelining\r\n",
    spoke_before_tls: "421 4.5.0 Commands before the TLS negotiation was complete\r\n",
    no_certificate: "421 4.7.1 No required SSL certificate\r\n",
    bad_certificate: "421 4.7.1 SSL certificate error\r\n",
};

/// LMTP (RFC 2033): its peers are mail servers, so there is no login. No port is registered: 24 is
/// the one for private mail systems, which Dovecot and Cyrus use.
pub const LMTP: Words =
    Words { name: "lmtp", alpn: "lmtp", port: 24, tls_port: 24, more_ports: &[], ..SMTP };

/// ManageSieve (RFC 5804).
pub const SIEVE: Words = Words {
    name: "sieve",
    alpn: "managesieve",
    port: 4190,
    tls_port: 4190,
    more_ports: &[],
    timed_out: "BYE \"idle for too long\"\r\n",
    shutting_down: "BYE (TRYLATER) \"server shutting down\"\r\n",
    kicked: "BYE \"session ended by the administrator, please log in again\"\r\n",
    internal_error: "NO \"internal server error\"\r\n",
    too_busy: "BYE (TRYLATER) \"too many connections, try again later\"\r\n",
    too_many_commands: "BYE \"too many commands without a login\"\r\n",
    spoke_too_early: "BYE \"spoke before the greeting\"\r\n",
    spoke_before_tls: "BYE \"commands before the TLS negotiation was complete\"\r\n",
    no_certificate: "BYE \"No required SSL certificate\"\r\n",
    bad_certificate: "BYE \"SSL certificate error\"\r\n",
};

/// Every protocol that has a front.
pub const ALL: [&Words; 5] = [&IMAP, &POP3, &SMTP, &LMTP, &SIEVE];

impl Words {
    /// Whether a server that is first listened for at `port` speaks this.
    pub fn has_port(&self, port: u16) -> bool {
        port == self.port || port == self.tls_port || self.more_ports.contains(&port)
    }

    /// What is said to a client whose certificate bars it.
    pub fn barred(&self, bar: &super::Bar) -> &'static str {
        match bar {
            super::Bar::NoCertificate => self.no_certificate,
            super::Bar::BadCertificate(_) => self.bad_certificate,
            super::Bar::TooMany => self.too_busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_speaks_its_own_language() {
        for words in ALL {
            let is_native: fn(&str) -> bool = match words.name {
                "imap" => |line| line.starts_with("* "),
                "pop3" => |line| line.starts_with("-ERR "),
                "smtp" | "lmtp" => |line| matches!(line.get(..3), Some("421" | "451" | "503")),
                "sieve" => |line| line.starts_with("BYE ") || line.starts_with("NO "),
                other => panic!("teach this test how a {other} reply begins"),
            };
            for line in [
                words.timed_out,
                words.shutting_down,
                words.internal_error,
                words.too_busy,
                words.too_many_commands,
                words.spoke_too_early,
                words.spoke_before_tls,
                words.no_certificate,
                words.bad_certificate,
            ] {
                assert!(is_native(line) && line.ends_with("\r\n"), "{}: {line:?}", words.name);
            }
            let kicked = words.kicked;
            match words.name {
                "pop3" => assert_eq!(kicked, ""),
                _ => assert!(is_native(kicked) && kicked.ends_with("\r\n"), "{kicked:?}"),
            }
        }
    }
}
