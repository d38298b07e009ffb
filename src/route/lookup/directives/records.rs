//! The records of `lookup { … }` and `zm_lookup { … }`.

use crate::config::{Context, Directive, LOOKUP, MAIL, MAIN, Secret, Takes, ZM_LOOKUP};

const fn record(
    name: &'static str,
    within: &'static [Context],
    takes: Takes,
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive { name, within, takes, repeats: false, default, secret: Secret::None, doc }
}

const ONE: Takes = Takes::Args(1, 1);
const BOTH: &[Context] = &[LOOKUP, ZM_LOOKUP];

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "lookup",
        within: &[MAIL],
        takes: Takes::Block(1, 1, LOOKUP),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A source of routes by its name: handlers, any of which knows. The better one of two \
              that chance draws is asked (fewer questions on their way there, faster of late, \
              heavier); another one where it fails, or is slow (`hedge`). Lookups are asked before \
              `auth_http`, in their order. See [auth-http.md](auth-http.md).",
    },
    Directive {
        name: "handler",
        within: &[LOOKUP],
        takes: Takes::Args(1, 2),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A handler's URL, as in `auth_http`, and `weight=N`, from 1 to 1000, by default 1. With \
              `protocol nle` a URL without a path has that of Zimbra's servlet, \
              `/service/extension/nginx-lookup`.",
    },
    record(
        "protocol",
        &[LOOKUP],
        ONE,
        "auth_http",
        "What the handlers speak: `auth_http`, nginx's protocol, or `nle`, that of Zimbra's lookup \
         servlet, which knows routes and no passwords.",
    ),
    record(
        "timeout",
        &[LOOKUP],
        ONE,
        "15s",
        "How long one question may take in all, with every handler that is asked. With `hedge off` \
         handlers that are silent share it.",
    ),
    record(
        "retry_interval",
        &[LOOKUP],
        ONE,
        "60s",
        "How long a handler stays set aside before one question, beside the login that asks it, sees \
         whether it is back; up to a tenth less, by chance. With success it is asked as before.",
    ),
    record(
        "max_fails",
        &[LOOKUP],
        ONE,
        "3",
        "After how many failures in a row a handler is set aside: no connection, no TLS, silence, a \
         server error, what is no answer to a lookup, or trouble that it tells of. With `0`, never. \
         If all are set aside they are asked all the same, the least bad first.",
    ),
    record(
        "hedge",
        &[LOOKUP],
        ONE,
        "on",
        "When a second handler is asked as well, although the first has not failed: `on` after what \
         the first itself exceeds once in 20 times, from 5 ms to 400 ms; a time after that; `off` \
         never. The first answer counts. One question in ten, and five more, may be asked twice in 20 \
         s, so that slow handlers are not asked twice as much for it; but a handler that has said \
         nothing to anybody for 400 ms does not count. A lookup is a question: those with passwords, \
         too, may be put to two handlers.",
    ),
    record(
        "send_password",
        &[LOOKUP],
        Takes::Flag,
        "on",
        "Whether handlers are sent what the client proves itself by. By default `on` for \
         `auth_http`, `off` for `nle`. With `off` there is no `Auth-Pass` in a question, and \
         `_password_` with `nle`; nobody has checked a password then, so the upstream must, and an \
         answer that brings one of its own (`Auth-Pass`, `Auth-Upstream-Master: on`) is an error.",
    ),
    Directive {
        name: "header",
        within: &[LOOKUP],
        takes: Takes::Args(2, 2),
        repeats: true,
        default: "",
        secret: Secret::Args(1),
        doc: "A header, name and value, for every question to these handlers, after all others. \
              Without variables. `Host` replaces ours. Those of `auth_http_header` are not sent.",
    },
    record(
        "strict",
        &[LOOKUP],
        Takes::Flag,
        "off",
        "For `auth_http` as `auth_http_strict`. For `nle`, whether `Auth-Status: OK` must be said: \
         Zimbra takes its absence for that.",
    ),
    record("pass_client_cert", &[LOOKUP], Takes::Flag, "off", "As `auth_http_pass_client_cert`."),
    record(
        "ssl_verify",
        BOTH,
        Takes::Flag,
        "on",
        "Whether a handler at `https://` must show a certificate that is trusted and made out to its \
         name. Zimbra's own proxy takes any.",
    ),
    record(
        "ssl_trusted_certificate",
        BOTH,
        ONE,
        "",
        "A PEM file with the certificates that the handlers' are trusted by, or theirs themselves. \
         Without it the system's roots are trusted. Relative to the configuration file.",
    ),
    record(
        "ssl_name",
        BOTH,
        ONE,
        "",
        "The name that the handlers' certificates must have, instead of the one in each URL.",
    ),
    record(
        "ssl_server_name",
        BOTH,
        Takes::Flag,
        "on",
        "Whether handlers are told which name is asked for (SNI). An address is never told.",
    ),
    record(
        "allow_unqualified",
        &[LOOKUP],
        Takes::Flag,
        "off",
        "Understood, and without effect yet: what is kept of a name without a domain is kept for the \
         address of ours that it came to, and in Zimbra's form for the client's.",
    ),
    Directive {
        secret: Secret::File,
        ..record(
            "master",
            &[LOOKUP],
            Takes::Args(2, 2),
            "",
            "Whom an `nle` handler hands tokens to: a user, and the file whose first line is the \
             password. Sent with GSSAPI logins alone (`Auth-Admin-User`, `Auth-Admin-Pass`).",
        )
    },
    record(
        "temporary",
        &[LOOKUP],
        Takes::AtLeast(1),
        "\"unable to \" \"ldap \" \"system failure\" \"service exception\" \"service unavailable\" \
         \"temporary \" \"temporarily \" \"timed out\" \"try again\" \"missing header\" \"invalid header\" \
         \"unsupported \"",
        "How an `Auth-Status` of an `nle` handler begins, in any case, that tells of trouble instead of \
         a refusal: another handler is asked, and the client told to try again later. `user not \
         found`, `account not found`, `no such account`, `no such user`, `no such domain`, `domain not \
         found` and `unknown user` say that there is no such user; all else is a refusal.",
    ),
    record(
        "zm_lookup",
        &[MAIN, MAIL],
        Takes::Block(0, 0, ZM_LOOKUP),
        "",
        "Zimbra's spelling of a `lookup zm_lookup` with `protocol nle`. Unlike Zimbra's proxy, \
         handlers at `https://` are verified unless `ssl_verify off` is in it, and a hanging one is \
         not waited for.",
    ),
    record(
        "zm_lookup_handlers",
        &[ZM_LOOKUP],
        Takes::AtLeast(1),
        "",
        "The URLs of the lookup servlets, `https://host:7072/service/extension/nginx-lookup`.",
    ),
    record("zm_lookup_timeout", &[ZM_LOOKUP], ONE, "15s", "As `timeout` in `lookup`."),
    record(
        "zm_lookup_handler_retry_interval",
        &[ZM_LOOKUP],
        ONE,
        "60s",
        "As `retry_interval` in `lookup`.",
    ),
    record(
        "zm_lookup_caching",
        &[ZM_LOOKUP],
        Takes::Flag,
        "on",
        "Whether what is found may be kept. What GSSAPI brings never is.",
    ),
    record(
        "zm_lookup_allow_unqualified",
        &[ZM_LOOKUP],
        Takes::Flag,
        "off",
        "As `allow_unqualified` in `lookup`.",
    ),
    record(
        "zm_lookup_master_auth_username",
        &[ZM_LOOKUP],
        ONE,
        "",
        "Whom a handler hands tokens to, for GSSAPI logins. Together with the next.",
    ),
    Directive {
        secret: Secret::Args(0),
        ..record(
            "zm_lookup_master_auth_password",
            &[ZM_LOOKUP],
            ONE,
            "",
            "The password of that user.",
        )
    },
    record(
        "zm_lookup_buffer_size",
        &[ZM_LOOKUP],
        ONE,
        "",
        "Without effect: the head of an answer may have 16 KiB.",
    ),
    record(
        "zm_prefix_url",
        &[ZM_LOOKUP],
        ONE,
        "",
        "Without effect: it is about web requests, which gatepost does not look up.",
    ),
];
