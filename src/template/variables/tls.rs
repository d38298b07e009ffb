//! Clients' certificates, over the whole site.

use super::{Made, Piece, Site, switch};

/// Whether this mode asks clients for certificates.
pub(super) fn asks(mode: &str) -> bool {
    !matches!(mode, "" | "off")
}

fn by_default(site: &Site<'_>) -> Piece {
    switch(asks(&site.text("client_certificate_mode")))
}

fn anywhere(site: &Site<'_>) -> Piece {
    let domain = |name| asks(&site.of_domain(name, "client_certificate_mode").to_string());
    switch(asks(&site.text("client_certificate_mode")) || site.settings.domains().any(domain))
}

const fn sso(name: &'static str, doc: &'static str, make: fn(&Site<'_>) -> Piece) -> Made {
    Made { name, doc, kind: "ENABLER", attribute: "zimbraReverseProxyClientCertMode", make }
}

pub(super) const MADE: &[Made] = &[
    sso("web.sso.enabled", "Lines for a site where any domain asks for certificates.", anywhere),
    sso("web.sso.default.enabled", "Lines for a site that asks all clients.", by_default),
    sso(
        "web.sso.certauth.default.enabled",
        "Lines for logins by certificate where no domain says otherwise.",
        by_default,
    ),
];
