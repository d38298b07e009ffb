//! `core.*` and `main.*`: the process, and which families of addresses it listens on.

use super::{Made, switch};

const fn family(
    name: &'static str,
    doc: &'static str,
    make: fn(&super::Site<'_>) -> super::Piece,
) -> Made {
    Made { name, doc, kind: "ENABLER", attribute: "zimbraIPMode", make }
}

pub(super) const MADE: &[Made] = &[
    family("core.ipboth.enabled", "Lines for IPv4 and IPv6.", |site| {
        switch(site.text("main.ip_mode") == "both")
    }),
    family("core.ipv4only.enabled", "Lines for IPv4 alone.", |site| {
        switch(site.text("main.ip_mode") == "ipv4")
    }),
    family("core.ipv6only.enabled", "Lines for IPv6 alone.", |site| {
        switch(site.text("main.ip_mode") == "ipv6")
    }),
];
