//! The records of the directives.

use crate::config::{Directive, MAIL, SERVER, Secret, Takes, UPSTREAM};

const CLIENT: &[&str] = &[MAIL, SERVER];
const UPSTREAMS: &[&str] = &[MAIL, SERVER, UPSTREAM];
const ONE: Takes = Takes::Args(1, 1);

/// What `ssl_ciphers` says in nginx when nobody says anything.
pub const CIPHERS: &str = "HIGH:!aNULL:!MD5";

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "ssl_certificate",
        within: CLIENT,
        takes: ONE,
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A PEM file with the server's certificate and after it the chain that leads to a \
              root. Several, say one ECDSA and one RSA, serve the same names: the client's \
              signature schemes decide. Changed files are taken in within seconds and on SIGHUP, \
              for new handshakes; a file that turned bad leaves the certificate in use. Relative \
              to the configuration file. Those of a `server` replace those of `mail`.",
    },
    Directive {
        name: "ssl_certificate_key",
        within: CLIENT,
        takes: ONE,
        repeats: true,
        default: "",
        secret: Secret::File,
        doc: "The PEM file with the private key for the `ssl_certificate` of the same rank. The \
              pass phrase of an encrypted key comes from `ssl_password_file`; nobody is asked \
              for it. A key that cannot be used is reported, its server does without TLS, and \
              all others serve.",
    },
    Directive {
        name: "certificates",
        within: CLIENT,
        takes: ONE,
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A folder of certificates with their keys, for any number of names; see \
              [certificates.md](certificates.md). Each folder in it is a domain's \
              (`fullchain.pem` and `privkey.pem`; `cert.pem`, `chain.pem` and `key.pem`; \
              `NAME.crt` and `NAME.key`), each file in it a certificate (`NAME.crt` or \
              `NAME.pem` with `NAME.key`, or a `NAME.pem` that holds both). With `*`, `?` or \
              `[` it is a pattern of such folders and files. A client gets the certificate for \
              the name it asks for; where there is none, the one that `ssl_certificate` gives. \
              What is added, replaced and removed is seen within seconds. `off` in a `server` \
              takes those of `mail` away.",
    },
    Directive {
        name: "ssl_password_file",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "",
        secret: Secret::File,
        doc: "A file with the pass phrases of encrypted keys, one on each line; all are tried in \
              turn for each such key. Keys in PKCS #8 (PBES2) and in OpenSSL's older form are \
              read, with AES or triple DES; one that asks for more than ten million rounds of \
              PBKDF2, or 256 MiB of scrypt, is not opened. Relative to the configuration file.",
    },
    Directive {
        name: "ssl_protocols",
        within: CLIENT,
        takes: Takes::AtLeast(1),
        repeats: false,
        default: "TLSv1.2 TLSv1.3",
        secret: Secret::None,
        doc: "The versions of TLS offered to clients. Older ones are known and not offered.",
    },
    Directive {
        name: "ssl_ciphers",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: CIPHERS,
        secret: Secret::None,
        doc: "The ciphers for TLS 1.2, in OpenSSL's language. There are six, all with forward \
              secrecy: ECDHE with ECDSA or RSA, and AES256-GCM, AES128-GCM or CHACHA20-POLY1305. \
              A list that leaves none is an error. As with OpenSSL, the ciphers of TLS 1.3 are \
              not chosen by it but by `ssl_conf_command Ciphersuites`.",
    },
    Directive {
        name: "ssl_prefer_server_ciphers",
        within: CLIENT,
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether our order of ciphers comes before the client's.",
    },
    Directive {
        name: "ssl_ecdh_curve",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "auto",
        secret: Secret::None,
        doc: "The groups for the key exchange, in order of preference, with colons between: \
              `X25519MLKEM768`, `X25519`, `prime256v1`, `secp384r1`, `SecP256r1MLKEM768`. `auto` \
              is the first four.",
    },
    Directive {
        name: "ssl_conf_command",
        within: CLIENT,
        takes: Takes::Args(2, 2),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "`Ciphersuites LIST` chooses and orders the ciphers of TLS 1.3, with colons between: \
              `TLS_AES_256_GCM_SHA384`, `TLS_AES_128_GCM_SHA256`, \
              `TLS_CHACHA20_POLY1305_SHA256`. `Options` `KTLS` and `PrioritizeChaCha` are without \
              effect. Other commands of OpenSSL are errors.",
    },
    Directive {
        name: "ssl_certificate_compression",
        within: CLIENT,
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Taken for nginx's sake and without effect: certificates are sent as they are.",
    },
    Directive {
        name: "ssl_dhparam",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "Taken for nginx's sake and without effect: no cipher with finite-field \
              Diffie-Hellman is offered.",
    },
    Directive {
        name: "ssl_session_cache",
        within: CLIENT,
        takes: Takes::Args(1, 2),
        repeats: false,
        default: "none",
        secret: Secret::None,
        doc: "Where sessions are kept for clients that use no tickets: `off` or `none`, \
              `builtin[:sessions]` for this server alone, `shared:name:size` for all servers \
              that say the same name, with 4000 sessions to the megabyte. Either is shared by \
              all workers. A session is only resumed under the same certificates and TLS \
              settings.",
    },
    Directive {
        name: "ssl_session_tickets",
        within: CLIENT,
        takes: Takes::Flag,
        repeats: false,
        default: "on",
        secret: Secret::None,
        doc: "Whether clients are given tickets to resume their sessions with.",
    },
    Directive {
        name: "ssl_session_ticket_key",
        within: CLIENT,
        takes: ONE,
        repeats: true,
        default: "",
        secret: Secret::File,
        doc: "A file of 48 or 80 random bytes that tickets are sealed with, for several machines \
              that share a name. Of several files the first seals and all open. Changed files \
              are taken in as those of certificates are. Without it keys are random and replaced \
              every 12 hours; they outlive a reload.",
    },
    Directive {
        name: "ssl_session_timeout",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "5m",
        secret: Secret::None,
        doc: "How long a session can be resumed.",
    },
    Directive {
        name: "ssl_verify_client",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether clients are asked for certificates. The handshake succeeds whatever they \
              show; then, in the words of their protocol, `on` sends away those without a \
              certificate or with a bad one, `optional` those with a bad one, and \
              `optional_no_ca` those with one that is bad for other reasons than that nobody \
              trusted has issued it. What the certificate is worth is judged on resumed sessions \
              too, and told to `auth_http`.",
    },
    Directive {
        name: "ssl_verify_depth",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "1",
        secret: Secret::None,
        doc: "How many certificates may stand between a client's and a trusted root, six at \
              the most. `0`: the root itself must have issued it.",
    },
    Directive {
        name: "ssl_client_certificate",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "A PEM file with the certificates of authorities that clients' certificates are \
              trusted by; clients are told their names. Authorities must be roots; another \
              certificate is trusted by itself only if it is self-signed. Changed files are \
              taken in as those of certificates are, the names at a reload. Relative to the \
              configuration file.",
    },
    Directive {
        name: "ssl_trusted_certificate",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "As `ssl_client_certificate`, but clients are not told the names.",
    },
    Directive {
        name: "ssl_crl",
        within: CLIENT,
        takes: ONE,
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "A PEM file with the revocation lists of all authorities in clients' chains, the \
              root's among them. A certificate for which there is no valid list is bad. A changed \
              file is taken in within seconds and on SIGHUP, for new handshakes.",
    },
    Directive {
        name: "ssl_early_data",
        within: CLIENT,
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Only `off`: early data can be replayed by somebody else.",
    },
    Directive {
        name: "proxy_ssl",
        within: UPSTREAMS,
        takes: ONE,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether upstreams are spoken to in TLS: `on` from the first byte, `starttls` after \
              the greeting, by STARTTLS or STLS, without which no login is sent.",
    },
    Directive {
        name: "proxy_ssl_verify",
        within: UPSTREAMS,
        takes: Takes::Flag,
        repeats: false,
        default: "on",
        secret: Secret::None,
        doc: "Whether an upstream must show a certificate that is trusted and made out to its \
              name.",
    },
    Directive {
        name: "proxy_ssl_trusted_certificate",
        within: UPSTREAMS,
        takes: ONE,
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "A PEM file with the certificates that upstreams' certificates are trusted by: \
              their authorities', or self-signed ones themselves. Without it the system's roots \
              are trusted.",
    },
    Directive {
        name: "proxy_ssl_name",
        within: UPSTREAMS,
        takes: ONE,
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The name that the upstream's certificate must have, and that is asked for, instead \
              of the one the upstream is reached by.",
    },
    Directive {
        name: "proxy_ssl_server_name",
        within: UPSTREAMS,
        takes: Takes::Flag,
        repeats: false,
        default: "on",
        secret: Secret::None,
        doc: "Whether the upstream is told which name is asked for (SNI). An address is never \
              told.",
    },
    Directive {
        name: "proxy_ssl_protocols",
        within: UPSTREAMS,
        takes: Takes::AtLeast(1),
        repeats: false,
        default: "TLSv1.2 TLSv1.3",
        secret: Secret::None,
        doc: "The versions of TLS offered to upstreams.",
    },
];
