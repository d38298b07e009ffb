//! Where a login goes: the lookup handlers.

use super::*;
use crate::settings::Levels;

pub static KEYS: &[Key] = &[
    Key::new("lookup.enabled", Kind::Flag, "true", "Whether handlers are asked where a login goes, if there are any.")
        .ends_in(&["zm_lookup", "lookup"]),
    Key::new("lookup.target", Kind::Flag, "false", "Whether this server answers lookups; those that do are the handlers where `lookup.handlers` names none.")
        .alias(&["zimbraReverseProxyLookupTarget"])
        .ends_in(&["zm_lookup_handlers"]),
    Key::new("lookup.targets", HOSTS, "[]", "The servers that answer lookups, in place of those with `lookup.target`.")
        .alias(&["zimbraReverseProxyAvailableLookupTargets"])
        .ends_in(&["zm_lookup_handlers"]),
    Key::new("lookup.handlers", Kind::List(&Kind::Url), "[]", "The handlers' URLs; none are made from the targets.")
        .fills(vars![("zmlookup.:handlers", List)])
        .ends_in(&["zm_lookup_handlers", "handler"]),
    Key::new("lookup.port", Kind::Port, "7072", "The port of a target.")
        .alias(&["zimbraExtensionBindPort"])
        .ends_in(&["zm_lookup_handlers"]),
    Key::new("lookup.scheme", Kind::Choice(&["https", "http"]), "\"https\"", "How targets are asked.")
        .ends_in(&["zm_lookup_handlers"]),
    Key::new("lookup.protocol", Kind::Choice(&["nle", "auth_http"]), "\"nle\"", "What handlers speak: Zimbra's protocol, or nginx's.")
        .ends_in(&["protocol"]),
    Key::new("lookup.timeout", short(1, 10 * 60_000), "\"15s\"", "How long one question may take in all, with every handler that is asked.")
        .alias(&["zimbraReverseProxyRouteLookupTimeout"])
        .fills(vars![("zmlookup.timeout", Milliseconds)])
        .ends_in(&["zm_lookup_timeout", "timeout"]),
    Key::new("lookup.retry_interval", time(SECOND, DAY), "\"60s\"", "How long a handler that failed is set aside.")
        .alias(&["zimbraReverseProxyRouteLookupTimeoutCache"])
        .fills(vars![("zmlookup.retryinterval", Milliseconds)])
        .ends_in(&["zm_lookup_handler_retry_interval", "retry_interval"]),
    Key::new("lookup.caching", Kind::Flag, "true", "Whether what handlers say may be kept.")
        .alias(&["zimbraReverseProxyZmlookupCachingEnabled"])
        .fills(vars![("zmlookup.caching", Flag)])
        .ends_in(&["zm_lookup_caching"]),
    Key::new("lookup.unqualified", Kind::Flag, "false", "Whether a name without a domain is the same user whoever says it.")
        .ends_in(&["zm_lookup_allow_unqualified", "allow_unqualified"]),
    Key::new("lookup.send_password", Kind::Flag, "false", "Whether handlers are sent what the client proves itself by.")
        .ends_in(&["send_password"]),
    Key::new("lookup.master.user", Kind::Text, "\"zmnginx\"", "Whom handlers hand tokens to, for GSSAPI logins.")
        .ends_in(&["zm_lookup_master_auth_username", "master"]),
    Key::new("lookup.master.password_file", Kind::SecretFile, "\"\"", "Where that user's password is (ldap_nginx_password of Zimbra's localconfig).")
        .alias(&["ldap_nginx_password"])
        .ends_in(&["zm_lookup_master_auth_password", "master"]),
    Key::new("lookup.hedge", Kind::Flag, "true", "Whether a second handler is asked where the first one is slow.")
        .ends_in(&["hedge"]),
    Key::new("lookup.tls.verify", Kind::Flag, "true", "Whether a handler must show a certificate that is trusted and made out to its name. Zimbra's proxy takes any.")
        .ends_in(&["ssl_verify"]),
    Key::new("lookup.tls.ca", Kind::Path, "\"\"", "The PEM file with the certificates that handlers' are trusted by; empty is the system's.")
        .ends_in(&["ssl_trusted_certificate"]),
    Key::new("lookup.tls.name", Kind::Host, "\"\"", "The name that handlers' certificates must have; empty is that of each URL.")
        .ends_in(&["ssl_name"]),
    Key::new("lookup.prefix_url", Kind::Path, "\"/\"", "Zimbra's: where web requests begin that may be tried twice. Without effect on mail.")
        .alias(&["zimbraMailURL"])
        .fills(vars![("zmprefix.url", Text)])
        .ends_in(&["zm_prefix_url"]),
    Key::new("lookup.auth_http", Kind::Url, "\"\"", "A handler of nginx's protocol that is asked about every login, in place of all others.")
        .at(Levels::ALL)
        .ends_in(&["auth_http"]),
    Key::new("lookup.postmaster", Kind::HostPort, "\"\"", "Where whoever logs in as a postmaster of no domain goes.")
        .ends_in(&["postmaster"]),
];
