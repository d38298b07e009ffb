//! `docs/directives.md`, cut from the records.

use std::fmt::Write as _;

use super::directive::{Context, Directive, Takes};

const HEADER: &str = "# Directives

<!-- Cut from the code by `tests/docs.rs`; change the records, not this file. -->

Times: `500ms`, `30s`, `1m30s`, `1h`, `1d`, `2w`, `1M` (30 days), `1y` (365 days); a number without
a unit is seconds. Sizes: bytes, or `8k`, `1m`, `1g`. An inner block takes what it leaves unset from
the block around it.
";

/// The contexts from the outermost in, as the sections go.
const ORDER: [Context; 11] = [
    super::MAIN,
    super::EVENTS,
    super::MAIL,
    super::SERVER,
    super::UPSTREAM,
    super::ROUTE,
    super::MEMCACHED,
    super::LOOKUP,
    super::ZM_LOOKUP,
    super::ROUTE_SQL,
    super::ROUTE_LDAP,
];

/// All directives of `registry` (room, records), by context and within it by room.
pub fn markdown(registry: &[(&str, &[Directive])]) -> String {
    let mut order = ORDER.to_vec();
    for directive in registry.iter().flat_map(|(_, room)| room.iter()) {
        order.extend(directive.within.iter().filter(|context| !ORDER.contains(context)));
    }
    let mut text = HEADER.to_owned();
    for (index, context) in order.iter().enumerate() {
        if !order[..index].contains(context) {
            section(&mut text, context, &order, registry);
        }
    }
    text
}

/// Each directive once, under the first context of `order` that it may stand in.
fn section(
    text: &mut String,
    context: Context,
    order: &[Context],
    registry: &[(&str, &[Directive])],
) {
    let home = |directive: &Directive| order.iter().find(|c| directive.within.contains(c)).copied();
    let mut rooms = String::new();
    for (room, directives) in registry {
        let mut own: Vec<_> = directives.iter().filter(|d| home(d) == Some(context)).collect();
        own.sort_by_key(|directive| directive.name);
        if !own.is_empty() {
            // Writing to a String cannot fail; so below.
            let _ = write!(rooms, "\n### {context}: {room}\n");
            own.into_iter().for_each(|directive| entry(&mut rooms, directive));
        }
    }
    if !rooms.is_empty() {
        let _ = write!(text, "\n## In `{context}`\n{rooms}");
    }
}

fn entry(text: &mut String, directive: &Directive) {
    let within: Vec<_> = directive.within.iter().map(|context| format!("`{context}`")).collect();
    let default = match directive.default {
        "" => "–".to_owned(),
        default => format!("`{} {default};`", directive.name),
    };
    let repeats = if directive.repeats { "  \nMay be repeated." } else { "" };
    let _ = write!(
        text,
        "\n#### `{}`\n\nSyntax: `{}`  \nDefault: {default}  \nContext: {}{repeats}\n\n{}\n",
        directive.name,
        syntax(directive),
        within.join(", "),
        directive.doc.trim(),
    );
}

/// `name on | off;`, `name ARG [ARG];`, `name ARG { … }`.
fn syntax(directive: &Directive) -> String {
    let words = |least: usize, most: usize| {
        let mut words = String::new();
        for index in 0..most {
            words.push_str(if index < least { " ARG" } else { " [ARG]" });
        }
        words
    };
    let shape = match directive.takes {
        Takes::Flag => " on | off;".to_owned(),
        Takes::Args(least, most) => format!("{};", words(least, most)),
        Takes::AtLeast(least) => format!("{} [ARG …];", words(least, least)),
        Takes::Block(least, most, _) => format!("{} {{ … }}", words(least, most)),
        Takes::Table(least, most) => format!("{} {{ KEY …; … }}", words(least, most)),
    };
    format!("{}{shape}", directive.name)
}
