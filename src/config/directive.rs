//! The record that describes a directive: the parser's checks and `docs/directives.md` are cut
//! from it.

/// One directive: name, place, shape and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    pub name: &'static str,
    /// The blocks it may stand in, by the name of their context: [`MAIN`], [`MAIL`], …
    pub within: &'static [Context],
    pub takes: Takes,
    /// Whether it may stand more than once in one block.
    pub repeats: bool,
    /// As it would be written; empty where there is none.
    pub default: &'static str,
    pub secret: Secret,
    /// One paragraph: what it does, units, errors, source. Markdown.
    pub doc: &'static str,
}

/// What of a directive nobody may see who is shown the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    None,
    /// The arguments from this one on.
    Args(usize),
    /// What is in the file that it names; the name may be seen.
    File,
}

/// The name of a kind of block.
pub type Context = &'static str;

pub const MAIN: Context = "main";
pub const EVENTS: Context = "events";
pub const MAIL: Context = "mail";
/// A `server` block in `mail`.
pub const SERVER: Context = "mail.server";
/// `upstream NAME { … }` in `mail`.
pub const UPSTREAM: Context = "mail.upstream";
/// `route { … }` in `mail`: a table, its rows are no directives.
pub const ROUTE: Context = "mail.route";
/// `memcached { … }`
pub const MEMCACHED: Context = "memcached";
/// `lookup NAME { … }` in `mail`.
pub const LOOKUP: Context = "mail.lookup";
/// `zm_lookup { … }`, Zimbra's spelling of one.
pub const ZM_LOOKUP: Context = "zm_lookup";
/// `route_sql NAME { … }` in `mail`.
pub const ROUTE_SQL: Context = "mail.route_sql";
/// `route_ldap NAME { … }` in `mail`.
pub const ROUTE_LDAP: Context = "mail.route_ldap";

/// How many arguments a directive takes, and whether a block follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `on` or `off`.
    Flag,
    /// From so many to so many arguments, then `;`.
    Args(usize, usize),
    /// So many or more arguments, then `;`.
    AtLeast(usize),
    /// From so many to so many arguments, then a block of directives of the context.
    Block(usize, usize, Context),
    /// From so many to so many arguments, then a block of rows (first word: the key), as nginx's
    /// `map`: the rows are not checked against directives.
    Table(usize, usize),
}
