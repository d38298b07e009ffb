//! # The variables of Zimbra's templates, and where each gets its value
//!
//! Most are one setting, written by its format: which one, `settings::KEYS` says. What is put
//! together of several settings, or of those of other servers, is a [`Made`] in the file of its
//! subject. Beyond Zimbra's, every setting that fills no variable of its own name is one
//! (`${upstream.tls.verify}`); `${KEY.set}` and `${KEY.unset}` switch a line by any setting, and
//! `${KEY.said}` ([`said`]) leaves it out where it would say what holds anyway.
//!
//! **In and out.** [`values`] takes the settings, the server that is generated for, and what the
//! command line sets; it gives the values of a template, its copies, and the listing of the
//! variables ([`Listed`]). **Promises.** Names of hosts stay names: nothing here asks the DNS. What
//! an admin wrote is a [`Piece`] that is quoted where it stands, or goes through [`word`] into a
//! line. **Limits.** Secrets are in files, which this room does not read: who generates puts
//! `zmlookup.dpasswd` in as a [`Piece::Secret`].

mod domain;
mod listing;
mod lookup;
mod mail;
mod memcache;
mod overrides;
mod parts;
mod process;
mod said;
mod site;
#[cfg(test)]
mod tests;
mod throttle;
mod tls;
mod web;

use crate::settings::{self, Data, Format, Settings};

use super::piece::Piece;
use super::values::{Copies, Values};
use super::word;
pub use domain::OF_A_DOMAIN;
pub use listing::{Listed, markdown};
pub use overrides::unknown as unknown_overrides;
use site::Site;

/// What `!{explode server(…)}` sets.
pub const OF_A_SERVER: &[&str] = &["server_id", "server_hostname"];

/// A variable that is more than one setting.
#[derive(Debug)]
struct Made {
    name: &'static str,
    doc: &'static str,
    /// As Zimbra calls the type of its text.
    kind: &'static str,
    /// Zimbra's attribute, if it is mainly one.
    attribute: &'static str,
    make: fn(&Site<'_>) -> Piece,
}

const MADE: &[&[Made]] = &[
    process::MADE,
    memcache::MADE,
    lookup::MADE,
    mail::MADE,
    throttle::MADE,
    tls::MADE,
    web::MADE,
    parts::MADE,
];

fn made() -> impl Iterator<Item = &'static Made> {
    MADE.iter().flat_map(|subject| *subject)
}

/// The values of `server`'s templates, or of a site without servers' names.
///
/// An override (`-c name=value`) is text of the configuration, on one line and without `;` or
/// braces outside of quotes; of another form it is refused where it is used.
pub fn values(
    settings: &Settings,
    server: Option<&str>,
    overrides: &[(String, String)],
) -> (Values, Copies, Vec<Listed>) {
    let site = Site::new(settings, server);
    let mut values = Values::default();
    let mut listed = Vec::new();
    for key in settings::all() {
        let data = site.data(key);
        values.put(key.name, natural(&data));
        values.put(format!("{}.set", key.name), switch(is_set(&data)));
        values.put(format!("{}.unset", key.name), switch(!is_set(&data)));
        values.put(format!("{}.said", key.name), switch(said::is_said(key, &data)));
    }
    for key in settings::all() {
        let (data, default) = (site.data(key), key.default_data());
        for variable in key.variables {
            if made().any(|made| made.name == variable.name) {
                continue;
            }
            let piece = formatted(&data, variable.format);
            let attribute = key.aliases.first().copied().unwrap_or_default();
            let kind = listing::kind(variable.format);
            let (default, current) = (listing::plain(&default), listing::plain(&data));
            let entry = Listed::new(variable.name, key.doc, kind, attribute, default, current);
            listed.push(entry.with(&piece));
            values.put(variable.name, piece);
        }
    }
    let bare = Settings::default();
    let bare = Site::new(&bare, None);
    for made in made() {
        let (piece, default) = ((made.make)(&site), (made.make)(&bare));
        let (default, current) = (default.show(), piece.show());
        let Made { name, doc, kind, attribute, .. } = *made;
        listed.push(Listed::new(name, doc, kind, attribute, default, current).with(&piece));
        values.put(name, piece);
    }
    for (name, text) in overrides {
        let piece = overrides::piece(text);
        if let Some(entry) = listed.iter_mut().find(|entry| entry.keyword == *name) {
            entry.current = piece.show();
            entry.text = piece.show();
        }
        values.put(name.as_str(), piece);
    }
    listed.sort_by(|one, other| one.keyword.cmp(&other.keyword));
    let copies = Copies { domains: domain::copies(&site, &values), servers: site.services() };
    (values, copies, listed)
}

fn is_set(data: &Data) -> bool {
    match data {
        Data::Flag(flag) => *flag,
        Data::Integer(number) => *number != 0,
        Data::Bytes(bytes) => *bytes != 0,
        Data::Time(time) => !time.is_zero(),
        Data::Text(text) => !text.is_empty() && text != "off",
        Data::List(list) => !list.is_empty(),
    }
}

/// A switch of lines: nothing where they hold, `#` where not.
fn switch(holds: bool) -> Piece {
    Piece::Code(if holds { String::new() } else { "#".to_owned() })
}

/// A value as it is written where nothing else is said.
fn natural(data: &Data) -> Piece {
    match data {
        Data::Text(text) => Piece::Text(text.clone()),
        Data::List(_) => Piece::List(data.words()),
        Data::Flag(_) | Data::Integer(_) | Data::Time(_) | Data::Bytes(_) => {
            Piece::Code(data.to_string())
        }
    }
}

fn formatted(data: &Data, format: Format) -> Piece {
    match format {
        Format::Enabler | Format::Disabler => Piece::Code(data.formatted(format)),
        Format::Words => Piece::Words(data.words()),
        Format::List => Piece::List(data.words()),
        _ => match natural(data) {
            Piece::Code(_) => Piece::Code(data.formatted(format)),
            other => other,
        },
    }
}

/// A line for each of `words`, of the form `before WORD after`.
fn lines(before: &str, words: &[String], after: &str) -> Piece {
    let lines = words.iter().map(|raw| Ok(format!("{before}{}{after}", word(raw)?)));
    match lines.collect::<Result<Vec<String>, String>>() {
        Ok(lines) => Piece::Code(lines.join("\n")),
        Err(why) => Piece::Refused(why),
    }
}
