//! What gatepost serves and Zimbra's proxy does not: submission, SMTP, LMTP, ManageSieve.

use super::*;

pub static KEYS: &[Key] = &[
    Key::new("mail.submission.enabled", Kind::Flag, "false", "Whether mail is taken from users, with STARTTLS.")
        .fills(vars![("mail.submission.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.submission.port", Kind::Port, "587", "The port for submission.")
        .fills(vars![("mail.submission.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.submissions.enabled", Kind::Flag, "false", "Whether mail is taken from users in TLS from the first byte on.")
        .fills(vars![("mail.submissions.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.submissions.port", Kind::Port, "465", "The port for submission in TLS.")
        .fills(vars![("mail.submissions.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.submission.starttls", Kind::Choice(&["on", "off", "only"]), "\"only\"", "Whether submission offers STARTTLS.")
        .fills(vars![("mail.submission.tls", Text)])
        .ends_in(&["starttls"]),
    Key::new("mail.smtp.enabled", Kind::Flag, "false", "Whether mail is taken from other mail servers, without a login.")
        .fills(vars![("mail.smtp.enabled", Enabler)])
        .ends_in(&["server", "smtp_auth"]),
    Key::new("mail.smtp.port", Kind::Port, "25", "The port for SMTP.")
        .fills(vars![("mail.smtp.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.smtp.greeting", Kind::Text, "\"\"", "The text of SMTP's greeting; empty is gatepost's own.")
        .ends_in(&["smtp_greeting"]),
    Key::new("mail.smtp.greeting_delay", short(0, 60_000), "\"0s\"", "How long an SMTP client must keep silent before it is greeted.")
        .ends_in(&["smtp_greeting_delay"]),
    Key::new("mail.smtp.capabilities", TEXTS, "[]", "What EHLO lists; none is what all upstreams offer.")
        .ends_in(&["smtp_capabilities"]),
    Key::new("mail.smtp.auth.plain", Kind::Flag, "true", "Whether submission offers PLAIN.")
        .ends_in(&["smtp_auth"]),
    Key::new("mail.smtp.auth.gssapi", Kind::Flag, "false", "Whether submission offers GSSAPI (Kerberos).")
        .ends_in(&["smtp_auth"]),
    Key::new("mail.smtp.auth.more", MECHANISMS, "[\"login\"]", "The other SASL mechanisms that submission offers.")
        .ends_in(&["smtp_auth"]),
    Key::new("mail.smtp.timeout", time(SECOND, DAY), "\"60s\"", "How long an SMTP client may take over each command before its login.")
        .ends_in(&["timeout"]),
    Key::new("mail.smtp.proxy_timeout", time(SECOND, 30 * DAY), "\"5m\"", "How long an SMTP session may be idle in both directions.")
        .ends_in(&["proxy_timeout"]),
    Key::new("mail.lmtp.enabled", Kind::Flag, "false", "Whether LMTP is served.")
        .fills(vars![("mail.lmtp.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.lmtp.port", Kind::Port, "24", "The port for LMTP.")
        .fills(vars![("mail.lmtp.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.sieve.enabled", Kind::Flag, "false", "Whether ManageSieve is served.")
        .fills(vars![("mail.sieve.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.sieve.port", Kind::Port, "4190", "The port for ManageSieve.")
        .fills(vars![("mail.sieve.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.sieve.starttls", Kind::Choice(&["on", "off", "only"]), "\"only\"", "Whether ManageSieve offers STARTTLS.")
        .fills(vars![("mail.sieve.tls", Text)])
        .ends_in(&["starttls"]),
    Key::new("mail.sieve.greeting", Kind::Text, "\"\"", "The text of ManageSieve's greeting; empty is gatepost's own.")
        .ends_in(&["sieve_greeting"]),
    Key::new("mail.sieve.capabilities", TEXTS, "[]", "What ManageSieve lists before the login, name and value in one; none is gatepost's own list.")
        .ends_in(&["sieve_capabilities"]),
    Key::new("mail.sieve.auth.plain", Kind::Flag, "true", "Whether ManageSieve offers PLAIN.")
        .ends_in(&["sieve_auth"]),
    Key::new("mail.sieve.auth.gssapi", Kind::Flag, "false", "Whether ManageSieve offers GSSAPI (Kerberos).")
        .ends_in(&["sieve_auth"]),
    Key::new("mail.sieve.auth.more", MECHANISMS, "[]", "The other SASL mechanisms that ManageSieve offers.")
        .ends_in(&["sieve_auth"]),
];
