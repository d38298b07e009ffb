//! The directives of a proxied mail server, one record each.

use crate::config::{Context, Directive, MAIL, SERVER, Secret, Takes, UPSTREAM};

const HERE: Directive = Directive {
    name: "",
    within: &[MAIL, SERVER],
    takes: Takes::Args(1, 1),
    repeats: false,
    default: "",
    secret: Secret::None,
    doc: "",
};

/// Directives about one upstream, which may also stand in its block.
const TELL: &[Context] = &[MAIL, SERVER, UPSTREAM];

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "server",
        within: &[MAIL],
        takes: Takes::Block(0, 0, SERVER),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A virtual server. Several may share an address and port: `server_name` tells them \
              apart by the name the client asks for in TLS (SNI).",
    },
    Directive {
        name: "listen",
        within: &[SERVER],
        takes: Takes::AtLeast(1),
        repeats: true,
        doc: "An address the server is reached at: `ADDRESS[:PORT]`, `PORT`, `[V6]:PORT` or \
              `unix:PATH`, where a port may be a range (`8000-8009`), then any of `ssl` (TLS from the first byte), `proxy_protocol` (a PROXY \
              header v1 or v2 comes first), `default_server` (serves names that no server has, and \
              clients that name none), `backlog=N`, `rcvbuf=SIZE`, `sndbuf=SIZE`, \
              `ipv6only=on|off`, `so_keepalive=on|off|IDLE:INTERVAL:COUNT`, `bind`, `reuseport`, \
              `multipath`. The first server of an address is its default where none is marked.",
        ..HERE
    },
    Directive {
        name: "protocol",
        within: &[SERVER],
        doc: "`imap`, `pop3`, `smtp`, `lmtp` or `sieve`. Absent: from the port of the first `listen` \
              (143, 993: `imap`; 110, 995: `pop3`; 25, 465, 587: `smtp`; 24: `lmtp`; 4190: `sieve`).",
        ..HERE
    },
    Directive {
        name: "server_name",
        takes: Takes::AtLeast(1),
        default: "the host's name",
        doc: "The server's names. The first stands in greetings and is our name towards upstreams; \
              all of them choose the server by SNI: exact names, `*.example.com` (every name below) \
              and `.example.com` (both).",
        ..HERE
    },
    Directive {
        name: "timeout",
        default: "60s",
        doc: "How long a client may take over its TLS handshake, and over each command before it has \
              logged in, whatever number of bytes it sends meanwhile.",
        ..HERE
    },
    Directive {
        name: "login_timeout",
        default: "5m",
        doc: "How long a client may take in all until it has logged in, however many commands it \
              sends; never less than `timeout`. The time in which its login is ruled on counts too.",
        ..HERE
    },
    Directive {
        name: "max_errors",
        default: "5",
        doc: "How many breaches of the protocol a client may commit before its login: the last one \
              is answered, then the session closes.",
        ..HERE
    },
    Directive {
        name: "max_commands",
        default: "1000",
        doc: "How many commands a client may send before its login, lines of an AUTH exchange \
              included; one more, and the session closes.",
        ..HERE
    },
    Directive {
        name: "starttls",
        default: "off",
        doc: "`off`, `on` (STARTTLS and STLS are offered) or `only` (and nobody logs in without).",
        ..HERE
    },
    Directive {
        name: "imap_auth",
        takes: Takes::AtLeast(1),
        default: "plain login",
        doc: "The SASL mechanisms that IMAP offers: `plain`, `login`, `cram-md5`, `external`, \
              `scram-sha-256`, `xoauth2`, `oauthbearer`, `gssapi` (where gatepost is built with the \
              feature `krb5`). `plain` and `login` are accepted where either is offered, and so is \
              the LOGIN command. `cram-md5`, `external`, `scram-sha-256` and `gssapi` give no \
              password for the upstream: they are offered where `auth_http` can hand one back, or a \
              `proxy_master_user` logs in. `external` needs a verified certificate, unless \
              `ssl_verify_client` is `off`: then the handler at `auth_http` decides, as with nginx.",
        ..HERE
    },
    Directive {
        name: "imap_capabilities",
        takes: Takes::AtLeast(1),
        default: "IMAP4rev1 UIDPLUS IDLE",
        doc: "What IMAP offers before login. `SASL-IR`, `ID`, `LITERAL+`, `AUTH=…`, `STARTTLS` and \
              `LOGINDISABLED` are added as the state of TLS has them; after login the client is told \
              the upstream's own list.",
        ..HERE
    },
    Directive {
        name: "imap_client_buffer",
        default: "8k",
        doc: "The longest IMAP command before login, literals included. At most 64k.",
        ..HERE
    },
    Directive {
        name: "imap_greeting",
        default: "gatepost ready",
        doc: "The text of IMAP's greeting, behind the capabilities.",
        ..HERE
    },
    Directive {
        name: "imap_id",
        takes: Takes::AtLeast(1),
        default: "NIL",
        doc: "What is answered to ID before login (RFC 2971), key and value by turns.",
        ..HERE
    },
    Directive {
        name: "pop3_auth",
        takes: Takes::AtLeast(1),
        default: "plain login",
        doc: "As `imap_auth`, and `apop`. `plain` offers LOGIN as well; USER and PASS go with either. \
              `apop` and `cram-md5` put a challenge into the greeting.",
        ..HERE
    },
    Directive {
        name: "pop3_capabilities",
        takes: Takes::AtLeast(1),
        default: "TOP USER UIDL",
        doc: "What CAPA lists before login. `SASL`, `STLS`, `PIPELINING`, `RESP-CODES` and \
              `AUTH-RESP-CODE` are added, `USER` left out, as the state of TLS has it.",
        ..HERE
    },
    Directive {
        name: "pop3_greeting",
        default: "gatepost ready",
        doc: "The text of POP3's greeting, behind `+OK`.",
        ..HERE
    },
    Directive {
        name: "smtp_auth",
        takes: Takes::AtLeast(1),
        default: "plain login",
        doc: "As `imap_auth`, and `none`: mail is taken without a login. The handler at `auth_http` is \
              then asked at the first RCPT (`Auth-Method: none`).",
        ..HERE
    },
    Directive {
        name: "smtp_capabilities",
        takes: Takes::AtLeast(1),
        default: "what upstreams offer",
        doc: "What EHLO and LHLO list, a keyword and its parameters each. `AUTH` and `STARTTLS` are \
              added as the state of TLS has them. What an upstream was seen to lack is left out from \
              then on, and the least `SIZE` counts. Absent: what all upstreams seen so far have in \
              common, nothing at first.",
        ..HERE
    },
    Directive {
        name: "smtp_client_buffer",
        default: "8k",
        doc: "The longest SMTP or LMTP command before login. At most 64k; lines of an AUTH exchange \
              may have 12,288 bytes whatever it says (RFC 4954).",
        ..HERE
    },
    Directive {
        name: "smtp_greeting",
        default: "ESMTP ready, LMTP ready",
        doc: "The text of the greeting of SMTP and LMTP, behind `220` and our name.",
        ..HERE
    },
    Directive {
        name: "smtp_greeting_delay",
        default: "0",
        doc: "How long an SMTP client must keep silent before it is greeted. One that speaks earlier \
              gets `503` and is sent away.",
        ..HERE
    },
    Directive {
        name: "sieve_auth",
        takes: Takes::AtLeast(1),
        default: "plain login",
        doc: "As `imap_auth`, for ManageSieve.",
        ..HERE
    },
    Directive {
        name: "sieve_capabilities",
        takes: Takes::AtLeast(1),
        default: "\"IMPLEMENTATION gatepost\" \"SIEVE fileinto reject envelope vacation imap4flags \
                  copy include variables body relational subaddress mailbox date\" \"VERSION 1.0\"",
        doc: "What ManageSieve lists before login: a name and its value in one argument each. `SASL` \
              and `STARTTLS` are added.",
        ..HERE
    },
    Directive {
        name: "sieve_client_buffer",
        default: "8k",
        doc: "The longest ManageSieve command before login, literals included. At most 64k.",
        ..HERE
    },
    Directive {
        name: "sieve_greeting",
        default: "gatepost ready",
        doc: "The text of ManageSieve's greeting.",
        ..HERE
    },
    Directive {
        name: "login_master_separator",
        default: "off",
        doc: "The character that stands between a mailbox and the master who opens it, as in \
              `tim*admin`: the mailbox is looked up, and the upstream is told the master as the \
              authentication identity and the mailbox as the authorization identity. `off`: names \
              are taken as they are.",
        ..HERE
    },
    Directive {
        name: "login_suffixes",
        takes: Takes::AtLeast(1),
        default: "off",
        doc: "What clients hang on their login name to say what they are, as Zimbra's do: `/tb`, \
              `/wm`, `/ni`. It is no part of the name that is looked up, and the upstream gets it \
              back.",
        ..HERE
    },
    Directive {
        name: "default_domain",
        default: "off",
        doc: "The domain of login names without one: with `default_domain example.com` the client that \
              logs in as `mrose` is `mrose@example.com`, to all that count, look up or keep it, and to \
              the upstream. Each server has its own, so it goes by the name asked for in TLS (SNI), \
              then by the address that the client came to, then by what `mail` says. Names of masters \
              (`login_master_separator`), of certificates and of Kerberos tickets stay as they are. See \
              [names.md](names.md).",
        ..HERE
    },
    Directive {
        name: "set_real_ip_from",
        repeats: true,
        doc: "A network (`ADDRESS`, `CIDR` or `unix:`) of balancers and proxies in front of \
              gatepost. Only what comes from there is believed when it says who the client is: a \
              PROXY header, IMAP ID's `x-originating-ip`, `XCLIENT` and `XOIP`. A PROXY header \
              from anywhere else is not believed either: the address of the connection counts.",
        ..HERE
    },
    Directive {
        name: "proxy",
        takes: Takes::Flag,
        default: "on",
        doc: "Accepted for nginx's sake and without effect, as in nginx.",
        ..HERE
    },
    Directive {
        name: "proxy_buffer",
        default: "",
        doc: "Accepted for nginx's sake and without effect: a session holds no buffer while it is \
              idle, and moves up to 128 KiB at a time while it is not.",
        ..HERE
    },
    Directive {
        name: "proxy_timeout",
        default: "24h",
        doc: "How long a logged-in session may be idle in both directions.",
        ..HERE
    },
    Directive {
        name: "proxy_connect_timeout",
        within: TELL,
        default: "10s",
        doc: "How long a connection to one address of an upstream, its TLS handshake included, may \
              take before the next address is tried.",
        ..HERE
    },
    Directive {
        name: "proxy_greeting_timeout",
        within: TELL,
        default: "30s",
        doc: "How long an upstream that took the connection may take to greet.",
        ..HERE
    },
    Directive {
        name: "proxy_auth_timeout",
        within: TELL,
        default: "60s",
        doc: "How long the login at the upstream may take, from its greeting on.",
        ..HERE
    },
    Directive {
        name: "proxy_pass_error_message",
        takes: Takes::Flag,
        default: "off",
        doc: "Whether the client hears the upstream's own words when it refuses a login. `off`: our \
              words, with the response code that fits.",
        ..HERE
    },
    Directive {
        name: "proxy_protocol",
        within: TELL,
        default: "off",
        doc: "`on` or `v1`: a PROXY header version 1 goes before everything else to the upstream; \
              `v2`: version 2.",
        ..HERE
    },
    Directive {
        name: "proxy_issue_imap_id",
        within: TELL,
        default: "auto",
        doc: "Whether an IMAP upstream is told the client's address by ID (`X-ORIGINATING-IP`, as \
              Zimbra and Dovecot read it): `auto` unless its greeting lists capabilities without \
              ID, `on` always, `off` never. A refusal is ignored. RFC 2971.",
        ..HERE
    },
    Directive {
        name: "proxy_issue_pop3_xoip",
        within: TELL,
        default: "auto",
        doc: "Whether a POP3 upstream is told the client's address by `XOIP`: `auto` if its CAPA \
              lists it, `on` always, `off` never. A refusal is ignored.",
        ..HERE
    },
    Directive {
        name: "xclient",
        within: TELL,
        default: "auto",
        doc: "Whether an upstream is told who the client is by `XCLIENT`: `auto` if its greeting or \
              its capabilities offer it, `on` always, `off` never. A refusal is ignored, but \
              where nobody logs in (`smtp_auth none`): there `auto` is `on`, unless a PROXY header \
              tells who the client is, and a refusal ends it, lest the client send under our \
              address. SMTP upstreams \
              are told the attributes they list, of `NAME ADDR PORT PROTO HELO LOGIN DESTADDR \
              DESTPORT SESSION TTL`; `on` with one that lists none: nginx's `ADDR LOGIN NAME`. POP3 and ManageSieve \
              as Dovecot has it.",
        ..HERE
    },
    Directive {
        name: "proxy_dovecot",
        within: TELL,
        takes: Takes::Flag,
        default: "off",
        doc: "Whether the upstream is a Dovecot whose `login_trusted_networks` names gatepost: ID \
              then carries `x-originating-ip`, `x-originating-port`, `x-connected-ip`, \
              `x-connected-port`, `x-session-id` and `x-proxy-ttl`.",
        ..HERE
    },
    Directive {
        name: "proxy_smtp_auth",
        within: TELL,
        default: "auto",
        doc: "Whether an SMTP upstream hears the client's credentials by AUTH: `on` by PLAIN, or by \
              LOGIN where only that is offered, `plain` or `login` by that one, `off` never: it then \
              relies on us, and learns the user by XCLIENT. `auto`: `off` where the handler at \
              `auth_http` has vouched for the login and wants no master login there, else `on`. A \
              login that acts for another (an authorization identity, or `login_master_separator`) \
              goes by AUTH under `auto`, and is refused under `off`, as the upstream must judge it. \
              Where the `route` table decides, nobody has checked the password, so `off` is an error.",
        ..HERE
    },
    Directive {
        name: "proxy_master_user",
        within: TELL,
        default: "off",
        doc: "A name that may open every mailbox of the upstream. It logs in, with \
              `proxy_master_password_file`, for clients that prove themselves without a password \
              (`external`, `gssapi`, …) and where a handler says `Auth-Upstream-Master: on`: as the \
              authentication identity of SASL PLAIN, the client's mailbox being the authorization \
              identity (RFC 4616 §2), as Dovecot, Cyrus and Zimbra have it.",
        ..HERE
    },
    Directive {
        name: "proxy_master_password_file",
        within: TELL,
        default: "",
        secret: Secret::File,
        doc: "The file whose first line is the password of `proxy_master_user`.",
        ..HERE
    },
    Directive {
        name: "proxy_master_separator",
        within: TELL,
        default: "off",
        doc: "For upstreams that take a master by its name only: the login is then \
              `mailbox<separator>master`, as Dovecot's `auth_master_user_separator` has it, without \
              an authorization identity.",
        ..HERE
    },
    Directive {
        name: "proxy_ttl",
        default: "5",
        doc: "Through how many gateposts or Dovecot proxies a login may pass. Each tells the next \
              one less (`x-proxy-ttl`, `TTL`); at none the login is refused as a temporary failure, \
              so a loop ends.",
        ..HERE
    },
    Directive {
        name: "log_format",
        within: &[MAIL],
        takes: Takes::AtLeast(2),
        repeats: true,
        default: "main",
        secret: Secret::None,
        doc: "`log_format NAME [escape=default|json|none] 'TEXT WITH $VARIABLES'…`: the shape of an \
              access line. `main` and `json` are built in.",
    },
    Directive {
        name: "access_log",
        takes: Takes::Args(1, 2),
        repeats: true,
        default: "off",
        doc: "`access_log FILE [FORMAT]` or `access_log off`: one line for each session, when it \
              ends.",
        ..HERE
    },
];
