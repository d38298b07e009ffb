//! `mail.*`, beyond what one setting says.

use super::{Made, Piece, Site};

/// The mechanisms that a protocol offers.
fn mechanisms(site: &Site<'_>, protocol: &str) -> Piece {
    let flags = ["plain", "gssapi"];
    let on = flags.into_iter().filter(|name| site.is_on(&format!("mail.{protocol}.auth.{name}")));
    let mut all: Vec<String> = on.map(str::to_owned).collect();
    all.extend(site.words(&format!("mail.{protocol}.auth.more")));
    if all.is_empty() {
        let which = format!("mail.{protocol}.auth.plain, .gssapi or .more");
        return Piece::Refused(format!("nobody could log in: no mechanism is on; see {which}"));
    }
    Piece::List(all)
}

const fn auth(name: &'static str, make: fn(&Site<'_>) -> Piece) -> Made {
    let doc = "The SASL mechanisms that are offered, with blanks between. Not Zimbra's.";
    Made { name, doc, kind: "CUSTOM", attribute: "", make }
}

pub(super) const MADE: &[Made] = &[
    auth("mail.imap.auth", |site| mechanisms(site, "imap")),
    auth("mail.pop3.auth", |site| mechanisms(site, "pop3")),
    auth("mail.smtp.auth", |site| mechanisms(site, "smtp")),
    auth("mail.sieve.auth", |site| mechanisms(site, "sieve")),
];
