//! The templates that gatepost comes with.

/// Each by its name, without `.template`.
pub const SHIPPED: &[(&str, &str)] = &[
    (
        "gatepost.conf.mail.imap.default",
        include_str!("../../templates/gatepost.conf.mail.imap.default.template"),
    ),
    ("gatepost.conf.mail.imap", include_str!("../../templates/gatepost.conf.mail.imap.template")),
    (
        "gatepost.conf.mail.imaps.default",
        include_str!("../../templates/gatepost.conf.mail.imaps.default.template"),
    ),
    ("gatepost.conf.mail.imaps", include_str!("../../templates/gatepost.conf.mail.imaps.template")),
    (
        "gatepost.conf.mail.lmtp.default",
        include_str!("../../templates/gatepost.conf.mail.lmtp.default.template"),
    ),
    (
        "gatepost.conf.mail.pop3.default",
        include_str!("../../templates/gatepost.conf.mail.pop3.default.template"),
    ),
    ("gatepost.conf.mail.pop3", include_str!("../../templates/gatepost.conf.mail.pop3.template")),
    (
        "gatepost.conf.mail.pop3s.default",
        include_str!("../../templates/gatepost.conf.mail.pop3s.default.template"),
    ),
    ("gatepost.conf.mail.pop3s", include_str!("../../templates/gatepost.conf.mail.pop3s.template")),
    (
        "gatepost.conf.mail.sieve.default",
        include_str!("../../templates/gatepost.conf.mail.sieve.default.template"),
    ),
    ("gatepost.conf.mail.sieve", include_str!("../../templates/gatepost.conf.mail.sieve.template")),
    (
        "gatepost.conf.mail.smtp.default",
        include_str!("../../templates/gatepost.conf.mail.smtp.default.template"),
    ),
    (
        "gatepost.conf.mail.submission.default",
        include_str!("../../templates/gatepost.conf.mail.submission.default.template"),
    ),
    (
        "gatepost.conf.mail.submission",
        include_str!("../../templates/gatepost.conf.mail.submission.template"),
    ),
    (
        "gatepost.conf.mail.submissions.default",
        include_str!("../../templates/gatepost.conf.mail.submissions.default.template"),
    ),
    (
        "gatepost.conf.mail.submissions",
        include_str!("../../templates/gatepost.conf.mail.submissions.template"),
    ),
    ("gatepost.conf.mail", include_str!("../../templates/gatepost.conf.mail.template")),
    ("gatepost.conf.main", include_str!("../../templates/gatepost.conf.main.template")),
    ("gatepost.conf.memcache", include_str!("../../templates/gatepost.conf.memcache.template")),
    ("gatepost.conf", include_str!("../../templates/gatepost.conf.template")),
    ("gatepost.conf.web", include_str!("../../templates/gatepost.conf.web.template")),
    ("gatepost.conf.zmlookup", include_str!("../../templates/gatepost.conf.zmlookup.template")),
];
