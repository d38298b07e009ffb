//! IMAP and POP3 towards clients.

use super::*;
use crate::settings::Levels;

const STARTTLS: Kind = Kind::Choice(&["on", "off", "only"]);

pub static KEYS: &[Key] = &[
    Key::new("mail.enabled", Kind::Flag, "true", "Whether mail is proxied at all.")
        .alias(&["zimbraReverseProxyMailEnabled"])
        .fills(vars![("mail.enabled", Enabler)])
        .ends_in(&["mail"]),
    // IMAP
    Key::new("mail.imap.enabled", Kind::Flag, "true", "Whether IMAP is served, with STARTTLS as `mail.imap.starttls` has it.")
        .alias(&["zimbraReverseProxyMailImapEnabled"])
        .fills(vars![("mail.imap.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.imap.port", Kind::Port, "143", "The port for IMAP.")
        .alias(&["zimbraImapProxyBindPort"])
        .fills(vars![("mail.imap.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.imaps.enabled", Kind::Flag, "true", "Whether IMAP is served in TLS from the first byte on.")
        .alias(&["zimbraReverseProxyMailImapsEnabled"])
        .fills(vars![("mail.imaps.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.imaps.port", Kind::Port, "993", "The port for IMAP in TLS.")
        .alias(&["zimbraImapSSLProxyBindPort"])
        .fills(vars![("mail.imaps.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.imap.starttls", STARTTLS, "\"only\"", "Whether IMAP offers STARTTLS: on, off, or only, where nobody logs in without.")
        .alias(&["zimbraReverseProxyImapStartTlsMode"])
        .fills(vars![("mail.imap.tls", Text)])
        .ends_in(&["starttls"]),
    Key::new("mail.imap.timeout", time(SECOND, DAY), "\"60s\"", "How long an IMAP client may take over each command before its login.")
        .alias(&["imap_max_idle_time"])
        .fills(vars![("mail.imap.timeout", Seconds)])
        .ends_in(&["timeout"]),
    Key::new("mail.imap.proxy_timeout", time(SECOND, 30 * DAY), "\"2100s\"", "How long an IMAP session may be idle in both directions.")
        .fills(vars![("mail.imap.proxytimeout", Seconds)])
        .ends_in(&["proxy_timeout"]),
    Key::new("mail.imap.greeting", Kind::Text, "\"\"", "The text of IMAP's greeting; empty is gatepost's own.")
        .fills(vars![("mail.imap.greeting", Text)])
        .ends_in(&["imap_greeting"]),
    Key::new("mail.imap.version_in_greeting", Kind::Flag, "false", "Whether Zimbra's greeting has its version; without effect on gatepost's, which has none.")
        .alias(&["zimbraReverseProxyImapExposeVersionOnBanner"]),
    Key::new(
        "mail.imap.capabilities",
        TEXTS,
        "[\"IMAP4rev1\", \"ACL\", \"BINARY\", \"CATENATE\", \"CHILDREN\", \"CONDSTORE\", \"ENABLE\", \"ESEARCH\", \
         \"ESORT\", \"I18NLEVEL=1\", \"ID\", \"IDLE\", \"LIST-EXTENDED\", \"LIST-STATUS\", \"LITERAL+\", \
         \"MULTIAPPEND\", \"NAMESPACE\", \"QRESYNC\", \"QUOTA\", \"RIGHTS=ektx\", \"SASL-IR\", \"SEARCHRES\", \
         \"SORT\", \"THREAD=ORDEREDSUBJECT\", \"UIDPLUS\", \"UNSELECT\", \"WITHIN\", \"XLIST\"]",
        "What IMAP offers before the login; mechanisms and STARTTLS are added.",
    )
    .alias(&["zimbraReverseProxyImapEnabledCapability"])
    .fills(vars![("mail.imapcapa", Words)])
    .ends_in(&["imap_capabilities"]),
    Key::new("mail.imap.id", TEXTS, "[\"NAME\", \"gatepost\"]", "What is answered to ID, key and value by turns.")
        .fills(vars![("mail.imapid", Words)])
        .ends_in(&["imap_id"]),
    Key::new("mail.imap.auth.plain", Kind::Flag, "true", "Whether IMAP offers PLAIN.")
        .alias(&["zimbraReverseProxyImapSaslPlainEnabled"])
        .fills(vars![("mail.imap.authplain.enabled", Enabler)])
        .ends_in(&["imap_auth"]),
    Key::new("mail.imap.auth.gssapi", Kind::Flag, "false", "Whether IMAP offers GSSAPI (Kerberos).")
        .alias(&["zimbraReverseProxyImapSaslGssapiEnabled"])
        .fills(vars![("mail.imap.authgssapi.enabled", Enabler)])
        .ends_in(&["imap_auth"]),
    Key::new("mail.imap.auth.more", MECHANISMS, "[]", "The other SASL mechanisms that IMAP offers.")
        .ends_in(&["imap_auth"]),
    Key::new("mail.imap.literal_auth", Kind::Flag, "true", "Without effect: gatepost writes the login as the upstream takes it.")
        .fills(vars![("mail.imap.literalauth", Flag)]),
    Key::new("mail.imap.buffer", bytes(512, 65_536), "\"8k\"", "The longest IMAP command before the login, literals included.")
        .ends_in(&["imap_client_buffer"]),
    // POP3
    Key::new("mail.pop3.enabled", Kind::Flag, "true", "Whether POP3 is served, with STLS as `mail.pop3.starttls` has it.")
        .alias(&["zimbraReverseProxyMailPop3Enabled"])
        .fills(vars![("mail.pop3.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.pop3.port", Kind::Port, "110", "The port for POP3.")
        .alias(&["zimbraPop3ProxyBindPort"])
        .fills(vars![("mail.pop3.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.pop3s.enabled", Kind::Flag, "true", "Whether POP3 is served in TLS from the first byte on.")
        .alias(&["zimbraReverseProxyMailPop3sEnabled"])
        .fills(vars![("mail.pop3s.enabled", Enabler)])
        .ends_in(&["server"]),
    Key::new("mail.pop3s.port", Kind::Port, "995", "The port for POP3 in TLS.")
        .alias(&["zimbraPop3SSLProxyBindPort"])
        .fills(vars![("mail.pop3s.port", Integer)])
        .ends_in(&["listen"]),
    Key::new("mail.pop3.starttls", STARTTLS, "\"only\"", "Whether POP3 offers STLS: on, off, or only, where nobody logs in without.")
        .alias(&["zimbraReverseProxyPop3StartTlsMode"])
        .fills(vars![("mail.pop3.tls", Text)])
        .ends_in(&["starttls"]),
    Key::new("mail.pop3.timeout", time(SECOND, DAY), "\"60s\"", "How long a POP3 client may take over each command before its login.")
        .alias(&["pop3_max_idle_time"])
        .fills(vars![("mail.pop3.timeout", Seconds)])
        .ends_in(&["timeout"]),
    Key::new("mail.pop3.proxy_timeout", time(SECOND, 30 * DAY), "\"60s\"", "How long a POP3 session may be idle in both directions.")
        .fills(vars![("mail.pop3.proxytimeout", Seconds)])
        .ends_in(&["proxy_timeout"]),
    Key::new("mail.pop3.greeting", Kind::Text, "\"\"", "The text of POP3's greeting; empty is gatepost's own.")
        .fills(vars![("mail.pop3.greeting", Text)])
        .ends_in(&["pop3_greeting"]),
    Key::new("mail.pop3.version_in_greeting", Kind::Flag, "false", "Whether Zimbra's greeting has its version; without effect on gatepost's, which has none.")
        .alias(&["zimbraReverseProxyPop3ExposeVersionOnBanner"]),
    Key::new("mail.pop3.capabilities", TEXTS, "[\"TOP\", \"USER\", \"UIDL\", \"EXPIRE 31 USER\", \"XOIP\"]", "What POP3's CAPA lists; mechanisms and STLS are added.")
        .alias(&["zimbraReverseProxyPop3EnabledCapability"])
        .fills(vars![("mail.pop3capa", Words)])
        .ends_in(&["pop3_capabilities"]),
    Key::new("mail.pop3.auth.plain", Kind::Flag, "true", "Whether POP3 offers PLAIN.")
        .alias(&["zimbraReverseProxyPop3SaslPlainEnabled"])
        .fills(vars![("mail.pop3.authplain.enabled", Enabler)])
        .ends_in(&["pop3_auth"]),
    Key::new("mail.pop3.auth.gssapi", Kind::Flag, "false", "Whether POP3 offers GSSAPI (Kerberos).")
        .alias(&["zimbraReverseProxyPop3SaslGssapiEnabled"])
        .fills(vars![("mail.pop3.authgssapi.enabled", Enabler)])
        .ends_in(&["pop3_auth"]),
    Key::new("mail.pop3.auth.more", MECHANISMS, "[]", "The other SASL mechanisms that POP3 offers.")
        .ends_in(&["pop3_auth"]),
    // Both
    Key::new("mail.login_timeout", time(SECOND, DAY), "\"5m\"", "How long a client may take in all until it has logged in.")
        .ends_in(&["login_timeout"]),
    Key::new("mail.max_errors", integer(1, 1000), "5", "How many breaches of the protocol a client may commit before its login.")
        .ends_in(&["max_errors"]),
    Key::new("mail.max_commands", integer(1, 1_000_000), "1000", "How many commands a client may send before its login.")
        .ends_in(&["max_commands"]),
    Key::new("mail.connect_timeout", time(SECOND, HOUR), "\"120s\"", "How long a connection to an upstream may take, its TLS handshake included.")
        .alias(&["zimbraReverseProxyConnectTimeout"])
        .fills(vars![("mail.ctimeout", Milliseconds)])
        .ends_in(&["proxy_connect_timeout"]),
    Key::new("mail.greeting_timeout", time(SECOND, HOUR), "\"30s\"", "How long an upstream that took the connection may take to greet.")
        .ends_in(&["proxy_greeting_timeout"]),
    Key::new("mail.auth_timeout", time(SECOND, HOUR), "\"60s\"", "How long the login at the upstream may take, from its greeting on.")
        .ends_in(&["proxy_auth_timeout"]),
    Key::new("mail.pass_errors", Kind::Flag, "true", "Whether clients hear the upstream's own words when it refuses a login.")
        .alias(&["zimbraReverseProxyPassErrors"])
        .fills(vars![("mail.passerrors", Flag)])
        .ends_in(&["proxy_pass_error_message"]),
    Key::new("mail.auth_wait", time(0, 10 * MINUTE), "\"10s\"", "How long after its beginning a failed login is answered at the least.")
        .alias(&["zimbraReverseProxyAuthWaitInterval"])
        .fills(vars![("mail.authwait", Milliseconds)])
        .ends_in(&["login_failure_delay"]),
    Key::new("mail.default_domain", Kind::Host, "\"\"", "The domain of login names without one.")
        .at(Levels::ALL)
        .alias(&["zimbraDefaultDomainName"])
        .ends_in(&["default_domain"]),
    Key::new("mail.default_realm", Kind::Text, "\"\"", "The Kerberos realm whose users are known by their bare names.")
        .alias(&["zimbraReverseProxyDefaultRealm"])
        .fills(vars![("mail.defaultrealm", Text)])
        .ends_in(&["krb5_realm"]),
    Key::new("mail.sasl.host_from_ip", Kind::Flag, "false", "Zimbra's: the host in our Kerberos services' names is what the local address resolves to. Without effect.")
        .alias(&["krb5_service_principal_from_interface_address"])
        .fills(vars![("mail.sasl_host_from_ip", Flag)]),
    Key::new("mail.sasl.service_host", Kind::Host, "\"\"", "The host in our Kerberos services' names; empty is any.")
        .ends_in(&["krb5_service_host"]),
    Key::new("mail.sasl.app", Kind::Text, "\"nginx\"", "Zimbra's: the name of the Cyrus SASL configuration. Without effect.")
        .fills(vars![("mail.saslapp", Text)]),
    Key::new("mail.login.suffixes", TEXTS, "[\"/tb\", \"/wm\", \"/ni\"]", "What clients hang on their login name to say what they are.")
        .ends_in(&["login_suffixes"]),
    Key::new("mail.login.master_separator", Kind::Text, "\"\"", "The character between a mailbox and the master who opens it; empty is none.")
        .ends_in(&["login_master_separator"]),
    Key::new("mail.real_ip_from", NETWORKS, "[]", "Balancers and proxies in front of gatepost that are believed when they say who the client is.")
        .alias(&["zimbraMailTrustedIP"])
        .ends_in(&["set_real_ip_from"]),
    Key::new("mail.proxy_protocol", Kind::Flag, "false", "Whether a PROXY header comes before everything else from clients.")
        .ends_in(&["listen"]),
    Key::new("mail.auth_http_timeout", time(SECOND, HOUR), "\"15s\"", "Zimbra's left-over variable of this name. Without effect.")
        .fills(vars![("mail.auth_http_timeout", Milliseconds)]),
];
