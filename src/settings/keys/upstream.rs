//! Towards the mail servers: which they are, TLS, and what they are told.

use super::*;
use crate::settings::Levels;

pub static KEYS: &[Key] = &[
    Key::new("upstream.imap.servers", SERVERS, "[]", "The servers for IMAP, where no lookup says which.")
        .at(Levels::ALL)
        .ends_in(&["upstream", "server", "route"]),
    Key::new("upstream.pop3.servers", SERVERS, "[]", "The servers for POP3, where no lookup says which.")
        .at(Levels::ALL)
        .ends_in(&["upstream", "server", "route"]),
    Key::new("upstream.smtp.servers", SERVERS, "[]", "The servers for mail that users send.")
        .at(Levels::ALL)
        .ends_in(&["upstream", "server", "route"]),
    Key::new("upstream.mx.servers", SERVERS, "[]", "The servers for mail from elsewhere.")
        .at(Levels::ALL)
        .ends_in(&["upstream", "server", "route"]),
    Key::new("upstream.lmtp.servers", SERVERS, "[]", "The servers for LMTP.")
        .at(Levels::ALL)
        .ends_in(&["upstream", "server", "route"]),
    Key::new("upstream.sieve.servers", SERVERS, "[]", "The servers for ManageSieve.")
        .at(Levels::ALL)
        .ends_in(&["upstream", "server", "route"]),
    Key::new("upstream.imap.port", Kind::Port, "7143", "The mail servers' port for IMAP without TLS.")
        .alias(&["zimbraImapBindPort"])
        .ends_in(&["server"]),
    Key::new("upstream.imaps.port", Kind::Port, "7993", "The mail servers' port for IMAP in TLS.")
        .alias(&["zimbraImapSSLBindPort"])
        .ends_in(&["server"]),
    Key::new("upstream.pop3.port", Kind::Port, "7110", "The mail servers' port for POP3 without TLS.")
        .alias(&["zimbraPop3BindPort"])
        .ends_in(&["server"]),
    Key::new("upstream.pop3s.port", Kind::Port, "7995", "The mail servers' port for POP3 in TLS.")
        .alias(&["zimbraPop3SSLBindPort"])
        .ends_in(&["server"]),
    Key::new("upstream.tls.enabled", Kind::Flag, "true", "Whether upstreams are spoken to in TLS.")
        .alias(&["zimbraReverseProxySSLToUpstreamEnabled"])
        .fills(vars![("mail.proxy.ssl", Flag)])
        .ends_in(&["proxy_ssl"]),
    Key::new("upstream.tls.starttls", Kind::Flag, "false", "Whether TLS towards upstreams begins by STARTTLS rather than from the first byte on.")
        .ends_in(&["proxy_ssl"]),
    Key::new("upstream.tls.verify", Kind::Flag, "true", "Whether an upstream must show a certificate that is trusted and made out to its name. Zimbra's proxy takes any.")
        .fills(vars![("upstream.tls.unverified", Disabler)])
        .ends_in(&["proxy_ssl_verify"]),
    Key::new("upstream.tls.ca", Kind::Path, "\"\"", "The PEM file with the certificates that upstreams' are trusted by; empty is the system's.")
        .ends_in(&["proxy_ssl_trusted_certificate"]),
    Key::new("upstream.tls.name", Kind::Host, "\"\"", "The name that upstreams' certificates must have; empty is the one each is reached by.")
        .ends_in(&["proxy_ssl_name"]),
    Key::new("upstream.tls.protocols", Kind::List(&Kind::Choice(&["TLSv1.3", "TLSv1.2"])), "[\"TLSv1.2\", \"TLSv1.3\"]", "The versions of TLS offered to upstreams.")
        .ends_in(&["proxy_ssl_protocols"]),
    Key::new("upstream.imap_id", Kind::Flag, "true", "Whether IMAP upstreams are told the client's address by ID.")
        .alias(&["zimbraReverseProxySendImapId"])
        .fills(vars![("mail.upstream.imapid", Flag)])
        .ends_in(&["proxy_issue_imap_id"]),
    Key::new("upstream.pop3_xoip", Kind::Flag, "true", "Whether POP3 upstreams are told the client's address by XOIP.")
        .alias(&["zimbraReverseProxySendPop3Xoip"])
        .fills(vars![("mail.upstream.pop3xoip", Flag)])
        .ends_in(&["proxy_issue_pop3_xoip"]),
    Key::new("upstream.xclient", ON_OFF_AUTO, "\"auto\"", "Whether upstreams are told who the client is by XCLIENT.")
        .ends_in(&["xclient"]),
    Key::new("upstream.proxy_protocol", Kind::Choice(&["off", "v1", "v2"]), "\"off\"", "Which PROXY header goes before everything else to upstreams.")
        .ends_in(&["proxy_protocol"]),
    Key::new("upstream.dovecot", Kind::Flag, "false", "Whether upstreams are Dovecots whose login_trusted_networks name us.")
        .ends_in(&["proxy_dovecot"]),
    Key::new("upstream.smtp_auth", Kind::Choice(&["auto", "on", "plain", "login", "off"]), "\"auto\"", "Whether SMTP upstreams hear the client's credentials by AUTH.")
        .ends_in(&["proxy_smtp_auth"]),
    Key::new("upstream.ttl", integer(1, 255), "5", "Through how many proxies a login may pass.")
        .ends_in(&["proxy_ttl"]),
    Key::new("upstream.master.user", Kind::Text, "\"\"", "A name that may open every mailbox of the upstreams.")
        .ends_in(&["proxy_master_user"]),
    Key::new("upstream.master.password_file", Kind::SecretFile, "\"\"", "Where that name's password is.")
        .ends_in(&["proxy_master_password_file"]),
    Key::new("upstream.master.separator", Kind::Text, "\"\"", "The character between mailbox and master in the login name; empty is an authorization identity.")
        .ends_in(&["proxy_master_separator"]),
    Key::new("upstream.method", Kind::Choice(&["round_robin", "least_conn", "ip_hash", "hash", "random"]), "\"round_robin\"", "How a server of an upstream is chosen.")
        .at(Levels::ALL)
        .ends_in(&["least_conn", "ip_hash", "hash", "random"]),
    Key::new("upstream.sticky", Kind::Flag, "false", "Whether a user's sessions all go to one server of an upstream.")
        .at(Levels::ALL)
        .ends_in(&["sticky"]),
    Key::new("upstream.reconnect_timeout", time(0, DAY), "\"10s\"", "For how long a server that failed is set aside; 0 is not at all.")
        .alias(&["zimbraMailProxyReconnectTimeout"])
        .ends_in(&["reconnect_timeout"]),
    Key::new("upstream.max_fails", integer(0, 10_000), "1", "How many failures within that time set a server aside; 0 ignores them.")
        .alias(&["zimbraMailProxyMaxFails"])
        .ends_in(&["max_fails"]),
    Key::new("upstream.lock_after", integer(0, 10_000), "10", "After so many failures in a row a server is locked, until a test goes well.")
        .ends_in(&["lock_after"]),
    Key::new("upstream.lock_retest", time(SECOND, DAY), "\"5m\"", "How often what is locked is tried again.")
        .ends_in(&["lock_retest"]),
    Key::new("upstream.health_check", Kind::Flag, "false", "Whether servers are asked by themselves how they are.")
        .ends_in(&["health_check"]),
    Key::new("upstream.health_interval", time(SECOND, DAY), "\"5s\"", "The time from one such question to the next.")
        .ends_in(&["health_check"]),
];
