//! TLS towards clients, certificates, client certificates, and what names a domain has.

use super::*;
use crate::settings::Levels;

/// Older versions are known, so that what Zimbra has can be imported; none of them is offered.
const VERSIONS: Kind = Kind::List(&Kind::Choice(&["TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1"]));
const VERIFY: Kind = Kind::Choice(&["off", "on", "optional"]);

pub static KEYS: &[Key] = &[
    Key::new("tls.protocols", VERSIONS, "[\"TLSv1.2\", \"TLSv1.3\"]", "The versions of TLS offered to clients.")
        .alias(&["zimbraReverseProxySSLProtocols"])
        .fills(vars![("mail.ssl.protocols", List), ("web.ssl.protocols", List)])
        .ends_in(&["ssl_protocols"]),
    Key::new("tls.ciphers", Kind::Text, "\"HIGH:!aNULL:!MD5\"", "The ciphers for TLS 1.2, in OpenSSL's language.")
        .alias(&["zimbraReverseProxySSLCiphers"])
        .fills(vars![("mail.ssl.ciphers", Text), ("web.ssl.ciphers", Text)])
        .ends_in(&["ssl_ciphers"]),
    Key::new("tls.prefer_server_ciphers", Kind::Flag, "true", "Whether our order of ciphers comes before the client's.")
        .fills(vars![("mail.ssl.preferserverciphers", Flag), ("web.ssl.preferserverciphers", Flag)])
        .ends_in(&["ssl_prefer_server_ciphers"]),
    Key::new("tls.curve", Kind::Text, "\"prime256v1\"", "The groups for the key exchange, with colons between; auto is gatepost's own choice.")
        .alias(&["zimbraReverseProxySSLECDHCurve"])
        .fills(vars![("mail.ssl.ecdh.curve", Text), ("web.ssl.ecdh.curve", Text)])
        .ends_in(&["ssl_ecdh_curve"]),
    Key::new("tls.dhparam", Kind::Path, "\"\"", "Without effect: no cipher with finite-field Diffie-Hellman is offered.")
        .fills(vars![("web.ssl.dhparam.file", Text), ("web.ssl.dhparam.enabled", Enabler)])
        .ends_in(&["ssl_dhparam"]),
    Key::new("tls.session.cache", Kind::Text, "\"shared:SSL:10m\"", "Where TLS sessions are kept for clients that use no tickets: off, or shared:NAME:SIZE.")
        .alias(&["zimbraReverseProxySSLSessionCacheSize"])
        .fills(vars![("ssl.session.cachesize", Text)])
        .ends_in(&["ssl_session_cache"]),
    Key::new("tls.session.timeout", time(SECOND, 30 * DAY), "\"10m\"", "How long a TLS session can be resumed.")
        .alias(&["zimbraReverseProxySSLSessionTimeout"])
        .fills(vars![("ssl.session.timeout", Seconds)])
        .ends_in(&["ssl_session_timeout"]),
    Key::new("tls.session.tickets", Kind::Flag, "true", "Whether clients are given tickets to resume their sessions with.")
        .ends_in(&["ssl_session_tickets"]),
    Key::new("tls.session.ticket_key", Kind::SecretFile, "\"\"", "The file that tickets are sealed with, for machines that share a name.")
        .ends_in(&["ssl_session_ticket_key"]),
    Key::new("tls.certificate", Kind::Path, "\"tls/default.crt\"", "The PEM file with the certificate and its chain; of a domain, for its virtual hosts.")
        .at(Levels::ALL)
        .fills(vars![("ssl.crt.default", Text)])
        .ends_in(&["ssl_certificate"]),
    Key::new("tls.key", Kind::SecretFile, "\"./tls/default.key\"", "The PEM file with the certificate's private key.")
        .at(Levels::ALL)
        .fills(vars![("ssl.key.default", Text)])
        .ends_in(&["ssl_certificate_key"]),
    Key::new("tls.password_file", Kind::SecretFile, "\"\"", "The file with the pass phrases of encrypted keys.")
        .ends_in(&["ssl_password_file"]),
    Key::new("tls.certificates", TEXTS, "[]", "Folders, or patterns of files, with a certificate for each of many names.")
        .ends_in(&["ssl_certificate"]),
    Key::new("tls.sni", Kind::Flag, "true", "Whether virtual hosts are told apart by the name asked for in TLS, rather than by addresses of their own.")
        .alias(&["zimbraReverseProxySNIEnabled"])
        .ends_in(&["server_name"]),
    Key::new("client_certificate_mode", VERIFY, "\"off\"", "Whether clients are asked for certificates: on sends away those without, optional those with a bad one.")
        .at(Levels::ALL)
        .alias(&["zimbraReverseProxyClientCertMode"])
        .fills(vars![("ssl.clientcertmode.default", Text)])
        .ends_in(&["ssl_verify_client"]),
    Key::new("client_certificate_ca", Kind::Path, "\"\"", "The PEM file with the authorities of clients' certificates.")
        .at(Levels::ALL)
        .alias(&["zimbraReverseProxyClientCertCA"])
        .fills(vars![("ssl.clientcertca.default", Text), ("ssl.clientcertca.enabled", Enabler)])
        .ends_in(&["ssl_client_certificate"]),
    Key::new("client_certificate_depth", integer(0, 100), "10", "How many certificates may stand between a client's and a trusted root; gatepost takes six at the most.")
        .at(Levels::ALL)
        .fills(vars![("ssl.clientcertdepth.default", Integer)])
        .ends_in(&["ssl_verify_depth"]),
    Key::new("client_certificate_crl", Kind::Path, "\"\"", "The PEM file with the authorities' revocation lists.")
        .at(Levels::ALL)
        .ends_in(&["ssl_crl"]),
    Key::new("virtual_hosts", HOSTS, "[]", "The names at which a domain's users reach us. Each has the domain's certificate.")
        .at(Levels::DOMAIN)
        .alias(&["zimbraVirtualHostname"])
        .ends_in(&["server_name"]),
    Key::new("virtual_addresses", Kind::List(&Kind::Address), "[]", "The addresses at which a domain's users reach us: one for each of its virtual hosts, or one for all.")
        .at(Levels::DOMAIN)
        .alias(&["zimbraVirtualIPAddress"])
        .ends_in(&["listen"]),
    Key::new("virtual_hosts_enabled", Kind::Flag, "true", "Whether virtual hosts get servers of their own.")
        .alias(&["zimbraReverseProxyGenConfigPerVirtualHostname"])
        .ends_in(&["server"]),
];
