//! Words that every protocol must have: the sibling table.

/// The sibling contract: a new protocol fills in one of these before it does anything else.
#[derive(Debug)]
pub struct Words {
    /// As `protocol` in the configuration and `Auth-Protocol` say it.
    pub name: &'static str,
    pub port: u16,
    pub tls_port: u16,
    /// Said to a client that was silent for too long before its login, then the session closes.
    pub timed_out: &'static str,
    /// Said when gatepost stops.
    pub shutting_down: &'static str,
    /// Said when the fault is ours.
    pub internal_error: &'static str,
    /// Said when the session cannot be taken: too many connections.
    pub too_busy: &'static str,
    /// Said to bytes that came in the clear after STARTTLS; then the session closes.
    pub spoke_before_tls: &'static str,
}

pub const IMAP: Words = Words {
    name: "imap",
    port: 143,
    tls_port: 993,
    timed_out: "* BYE idle for too long\r\n",
    shutting_down: "* BYE [UNAVAILABLE] server shutting down\r\n",
    internal_error: "* BAD internal server error\r\n",
    too_busy: "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
    spoke_before_tls: "* BYE commands before the TLS negotiation was complete\r\n",
};

pub const POP3: Words = Words {
    name: "pop3",
    port: 110,
    tls_port: 995,
    timed_out: "-ERR idle for too long\r\n",
    shutting_down: "-ERR [SYS/TEMP] server shutting down\r\n",
    internal_error: "-ERR internal server error\r\n",
    too_busy: "-ERR [SYS/TEMP] too many connections, try again later\r\n",
    spoke_before_tls: "-ERR commands before the TLS negotiation was complete\r\n",
};

/// Every protocol that has a front.
pub const ALL: [&Words; 2] = [&IMAP, &POP3];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_speaks_its_own_language() {
        for words in ALL {
            let is_native: fn(&str) -> bool = match words.name {
                "imap" => |line| line.starts_with("* "),
                "pop3" => |line| line.starts_with("-ERR "),
                other => panic!("teach this test how a {other} reply begins"),
            };
            for line in [
                words.timed_out,
                words.shutting_down,
                words.internal_error,
                words.too_busy,
                words.spoke_before_tls,
            ] {
                assert!(is_native(line) && line.ends_with("\r\n"), "{}: {line:?}", words.name);
            }
        }
    }
}
