//! The web: nothing of gatepost's yet, but templates that an admin brings have these variables.

use super::*;
use crate::settings::Levels;

pub static KEYS: &[Key] = &[
    Key::new("web.enabled", Kind::Flag, "true", "Whether the web is proxied.")
        .alias(&["zimbraReverseProxyHttpEnabled"])
        .fills(vars![("web.enabled", Enabler)]),
    Key::new(
        "web.mode",
        Kind::Choice(&["http", "https", "both", "redirect", "mixed"]),
        "\"both\"",
        "Which of HTTP and HTTPS is served, and which sends to the other.",
    )
    .alias(&["zimbraReverseProxyMailMode"])
    .fills(vars![("web.mailmode", Text)]),
    Key::new("web.http.port", integer(0, 65_535), "0", "The port for HTTP; 0 is none.")
        .alias(&["zimbraMailProxyPort"])
        .fills(vars![("web.http.port", Integer)]),
    Key::new("web.https.port", integer(0, 65_535), "0", "The port for HTTPS; 0 is none.")
        .alias(&["zimbraMailSSLProxyPort"])
        .fills(vars![("web.https.port", Integer)]),
    Key::new(
        "web.upstream.mode",
        Kind::Choice(&["http", "https", "both", "mixed", "redirect"]),
        "\"https\"",
        "How the mail servers serve the web.",
    )
    .alias(&["zimbraMailMode"]),
    Key::new(
        "web.upstream.http_port",
        integer(0, 65_535),
        "8080",
        "The mail servers' port for HTTP.",
    )
    .alias(&["zimbraMailPort"])
    .fills(vars![("web.http.uport", Integer)]),
    Key::new(
        "web.upstream.https_port",
        integer(0, 65_535),
        "8443",
        "The mail servers' port for HTTPS.",
    )
    .alias(&["zimbraMailSSLPort"]),
    Key::new(
        "web.server_names.max_size",
        integer(1, 1 << 20),
        "512",
        "How many names of virtual hosts nginx's table has room for.",
    )
    .alias(&["proxy_server_names_hash_max_size"])
    .fills(vars![("web.server_names.max_size", Integer)]),
    Key::new(
        "web.server_names.bucket_size",
        integer(1, 1 << 16),
        "64",
        "How long nginx lets such a name be.",
    )
    .alias(&["proxy_server_names_hash_bucket_size"])
    .fills(vars![("web.server_names.bucket_size", Integer)]),
    Key::new(
        "web.upstream.connect_timeout",
        time(SECOND, HOUR),
        "\"25s\"",
        "How long connecting to a web server may take.",
    )
    .alias(&["zimbraReverseProxyUpstreamConnectTimeout"])
    .fills(vars![("web.upstream.connect.timeout", Seconds)]),
    Key::new(
        "web.upstream.read_timeout",
        time(SECOND, DAY),
        "\"60s\"",
        "How long it may say nothing.",
    )
    .alias(&["zimbraReverseProxyUpstreamReadTimeout"])
    .fills(vars![("web.upstream.read.timeout", Seconds)]),
    Key::new(
        "web.upstream.send_timeout",
        time(SECOND, DAY),
        "\"60s\"",
        "How long it may take nothing.",
    )
    .alias(&["zimbraReverseProxyUpstreamSendTimeout"])
    .fills(vars![("web.upstream.send.timeout", Seconds)]),
    Key::new(
        "web.upstream.polling_timeout",
        time(SECOND, DAY),
        "\"1h\"",
        "How long it may say nothing to ActiveSync and EWS.",
    )
    .alias(&["zimbraReverseProxyUpstreamPollingTimeout"])
    .fills(vars![("web.upstream.polling.timeout", Seconds)]),
    Key::new(
        "web.upstream.noop_timeout",
        time(SECOND, DAY),
        "\"1220s\"",
        "How long it may say nothing to NoOp requests.",
    )
    .fills(vars![("web.upstream.noop.timeout", Seconds)]),
    Key::new(
        "web.upstream.waitset_timeout",
        time(SECOND, DAY),
        "\"1220s\"",
        "How long it may say nothing to WaitSet requests.",
    )
    .fills(vars![("web.upstream.waitset.timeout", Seconds)]),
    Key::new(
        "web.upstream.exact_version",
        Kind::Flag,
        "true",
        "Whether a token's version must be the server's exactly.",
    )
    .alias(&["zimbraReverseProxyExactServerVersionCheck"])
    .fills(vars![("web.upstream.exactversioncheck", Flag)]),
    Key::new(
        "web.upstream.fair_shm_size",
        integer(32, 1 << 20),
        "32",
        "The shared memory of upstream_fair, in KiB.",
    )
    .alias(&["zimbraReverseProxyUpstreamFairShmSize"])
    .fills(vars![("upstream.fair.shm.size", Integer)]),
    Key::new(
        "web.upstream.here",
        Kind::Flag,
        "false",
        "Whether this server is one of the web's upstreams.",
    )
    .alias(&["zimbraReverseProxyBackend"]),
    Key::new(
        "web.upstream.ews_servers",
        HOSTS,
        "[]",
        "The servers for Exchange Web Services; none are all.",
    )
    .alias(&["zimbraReverseProxyUpstreamEwsServers"]),
    Key::new("web.upstream.login_servers", HOSTS, "[]", "The servers for logins; none are all.")
        .alias(&["zimbraReverseProxyUpstreamLoginServers"]),
    Key::new(
        "web.strict_server_name",
        Kind::Flag,
        "true",
        "Whether requests for names that are nobody's are refused.",
    )
    .alias(&["zimbraReverseProxyStrictServerNameEnabled"])
    .fills(vars![("web.strict.servername", Enabler)]),
    Key::new("web.headers", TEXTS, "[]", "Headers for every answer: \"Name: value\".")
        .at(Levels::ALL)
        .alias(&["zimbraReverseProxyResponseHeaders"]),
    Key::new(
        "web.error_url",
        Kind::Url,
        "\"\"",
        "Where errors of upstreams are explained; empty is by our own pages.",
    )
    .at(Levels::ALL)
    .alias(&["zimbraReverseProxyErrorHandlerURL"]),
    Key::new(
        "web.log",
        Kind::Path,
        "\"/var/log/gatepost/web.log\"",
        "Where one line for each request goes.",
    )
    .fills(vars![("web.logfile", Text)]),
    Key::new("web.max_body", bytes(0, 1 << 40), "\"10m\"", "The longest body of a request.")
        .alias(&["zimbraFileUploadMaxSize"])
        .fills(vars![
            ("web.uploadmax", Bytes),
            ("web.http.maxbody", Bytes),
            ("web.https.maxbody", Bytes)
        ]),
    Key::new("web.admin.enabled", Kind::Flag, "false", "Whether the admin console is proxied.")
        .alias(&["zimbraReverseProxyAdminEnabled"])
        .fills(vars![("web.admin.default.enabled", Enabler)]),
    Key::new("web.admin.port", Kind::Port, "9071", "The port for the admin console.")
        .alias(&["zimbraAdminProxyPort"])
        .fills(vars![("web.admin.port", Integer)]),
    Key::new("web.admin.upstream_port", Kind::Port, "7071", "The mail servers' port for it.")
        .alias(&["zimbraAdminPort"])
        .fills(vars![("web.admin.uport", Integer)]),
    Key::new("web.sso.port", integer(0, 65_535), "3443", "The port for logins by certificate.")
        .alias(&["zimbraMailSSLProxyClientCertPort"])
        .fills(vars![("web.sso.certauth.port", Integer)]),
    Key::new("web.xmpp.enabled", Kind::Flag, "false", "Whether XMPP over BOSH is proxied.")
        .alias(&["zimbraReverseProxyXmppBoshEnabled"])
        .fills(vars![("web.xmpp.bosh.enabled", Enabler), ("web.xmpp.enabled", Enabler)]),
    Key::new("web.xmpp.url", Kind::Path, "\"/http-bind\"", "Where clients ask for it.")
        .alias(&["zimbraReverseProxyXmppBoshLocalHttpBindURL"])
        .fills(vars![("web.xmpp.local.bind.url", Text)]),
    Key::new("web.xmpp.remote_url", Kind::Path, "\"/http-bind\"", "Where the XMPP server has it.")
        .alias(&["zimbraReverseProxyXmppBoshRemoteHttpBindURL"])
        .fills(vars![("web.xmpp.remote.bind.url", Text)]),
    Key::new("web.xmpp.host", Kind::Host, "\"\"", "The XMPP server.")
        .alias(&["zimbraReverseProxyXmppBoshHostname"])
        .fills(vars![("web.xmpp.bosh.hostname", Text)]),
    Key::new("web.xmpp.port", integer(0, 65_535), "0", "Its port.")
        .alias(&["zimbraReverseProxyXmppBoshPort"])
        .fills(vars![("web.xmpp.bosh.port", Integer)]),
    Key::new("web.xmpp.ssl", Kind::Flag, "true", "Whether it is spoken to in TLS.")
        .alias(&["zimbraReverseProxyXmppBoshSSL"])
        .fills(vars![("web.xmpp.bosh.use_ssl", Enabler)]),
    Key::new("web.xmpp.timeout", time(SECOND, DAY), "\"90s\"", "How long it may say nothing.")
        .alias(&["zimbraReverseProxyXmppBoshTimeout"])
        .fills(vars![("web.xmpp.bosh.timeout", Seconds)]),
];
