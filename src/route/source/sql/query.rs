//! The operator's SQL, and where the names of the login go in it. Pure.
//!
//! `:user` becomes `$1` or `?1`: a value is bound, never written into the text. What stands in
//! quotes or comments is left alone, and so is `::text`.

use std::fmt;

/// What a query may ask with, in the order of [`Name::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    User,
    Login,
    Local,
    Domain,
    Protocol,
    ClientIp,
}

impl Name {
    pub const ALL: [Self; 6] =
        [Self::User, Self::Login, Self::Local, Self::Domain, Self::Protocol, Self::ClientIp];

    pub fn text(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Login => "login",
            Self::Local => "local",
            Self::Domain => "domain",
            Self::Protocol => "protocol",
            Self::ClientIp => "client_ip",
        }
    }
}

/// Whose SQL it is: quotes and comments differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Sqlite,
}

/// A query, ready to be prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// With `$1` or `?1` for the names.
    pub sql: String,
    /// What `$1`, `$2`, … are; each name once.
    pub names: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the query is empty")]
    Empty,
    #[error("{0} is not closed in the query")]
    Open(&'static str),
    #[error("unknown name \":{name}\" in the query{hint}; there are {known}", known = Known)]
    Unknown { name: String, hint: String },
    #[error("\"{0}\" in the query: write :login, or another name of what is asked for")]
    Numbered(String),
    #[error("more than one statement in the query: leave one")]
    Several,
    #[error("a NUL in the query")]
    Nul,
}

/// `:user, :login, …`
struct Known;

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Name::ALL.map(|name| format!(":{}", name.text()));
        f.write_str(&names.join(", "))
    }
}

/// What stands at the front of the text.
enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    Blank(&'a str),
    /// `:name`
    Name(&'a str),
    /// `$1`, `?`, `?1`, `@name`: somebody else's way to say it.
    Numbered(&'a str),
    /// `;`
    End,
}

impl Query {
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, Fault> {
        if text.contains('\0') {
            return Err(Fault::Nul);
        }
        let (mut sql, mut names) = (String::with_capacity(text.len()), Vec::new());
        let (mut rest, mut is_empty, mut is_over) = (text, true, false);
        let mut before = None;
        while !rest.is_empty() {
            let (piece, used) = piece(rest, before, dialect)?;
            if is_over && !matches!(piece, Piece::Blank(_) | Piece::End) {
                return Err(Fault::Several);
            }
            is_empty &= matches!(piece, Piece::Blank(_) | Piece::End);
            match piece {
                Piece::Text(text) | Piece::Blank(text) => sql.push_str(text),
                Piece::Name(text) => {
                    let name = named(text)?;
                    let number = match names.iter().position(|known| *known == name) {
                        Some(at) => at + 1,
                        None => {
                            names.push(name);
                            names.len()
                        }
                    };
                    // `a:user` would become the one word `a$1`.
                    if is_word(before) {
                        sql.push(' ');
                    }
                    sql.push(match dialect {
                        Dialect::Postgres => '$',
                        Dialect::Sqlite => '?',
                    });
                    sql.push_str(&number.to_string());
                    // `:user2` is another name, but `:user.5` would become another number.
                    if rest[used..].starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                        sql.push(' ');
                    }
                }
                Piece::Numbered(text) => return Err(Fault::Numbered(text.to_owned())),
                Piece::End => is_over = true,
            }
            before = rest[..used].chars().next_back();
            rest = &rest[used..];
        }
        if is_empty { Err(Fault::Empty) } else { Ok(Self { sql, names }) }
    }

    pub fn asks_for(&self, name: Name) -> bool {
        self.names.contains(&name)
    }
}

fn named(text: &str) -> Result<Name, Fault> {
    let lower = text.to_ascii_lowercase();
    if let Some(name) = Name::ALL.into_iter().find(|name| name.text() == lower) {
        return Ok(name);
    }
    let near = Name::ALL.into_iter().map(Name::text);
    let near = near.map(|name| (strsim::damerau_levenshtein(name, &lower), name)).min();
    let hint = match near {
        Some((distance, name)) if distance <= 2 => format!(", did you mean \":{name}\"?"),
        _ => String::new(),
    };
    Err(Fault::Unknown { name: text.to_owned(), hint })
}

/// The piece at the front of `rest`, which is not empty and comes behind `before`, and its length.
fn piece(rest: &str, before: Option<char>, dialect: Dialect) -> Result<(Piece<'_>, usize), Fault> {
    let text = |used: usize| Ok((Piece::Text(&rest[..used]), used));
    let blank = |used: usize| Ok((Piece::Blank(&rest[..used]), used));
    let is_postgres = dialect == Dialect::Postgres;
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or_default();
    let second = chars.next();
    match (first, second) {
        ('\'', _) => text(quoted(rest, '\'', false)?),
        // E'…' and its kin: PostgreSQL alone knows backslashes there.
        ('e' | 'E', Some('\'')) if is_postgres && !is_word(before) => {
            text(1 + quoted(&rest[1..], '\'', true)?)
        }
        ('"', _) => text(quoted(rest, '"', false)?),
        ('`', _) if !is_postgres => text(quoted(rest, '`', false)?),
        ('[', _) if !is_postgres => match rest.find(']') {
            Some(end) => text(end + 1),
            None => Err(Fault::Open("\"[\"")),
        },
        ('-', Some('-')) => blank(rest.find('\n').map_or(rest.len(), |end| end + 1)),
        ('/', Some('*')) => blank(comment(rest, is_postgres)?),
        ('$', _) if is_postgres && !is_word(before) => match dollars(rest) {
            Some(tag) => match rest[tag.len()..].find(tag) {
                Some(end) => text(tag.len() + end + tag.len()),
                None => Err(Fault::Open("a \"$\" quote")),
            },
            None => match word(&rest[1..]) {
                0 => text(1),
                length => Ok((Piece::Numbered(&rest[..=length]), length + 1)),
            },
        },
        ('?' | '@' | '$' | '#', _) if !is_postgres => {
            let length = word(&rest[1..]) + 1;
            Ok((Piece::Numbered(&rest[..length]), length))
        }
        (':', Some(':' | '=')) => text(2),
        (':', Some(c)) if c.is_ascii_alphabetic() || c == '_' => {
            let length = word(&rest[1..]);
            Ok((Piece::Name(&rest[1..=length]), length + 1))
        }
        (';', _) => Ok((Piece::End, 1)),
        (c, _) if c.is_whitespace() => blank(c.len_utf8()),
        // A word whole, so that the end of one is not taken for a prefix.
        (c, _) if c.is_alphanumeric() || c == '_' => {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            text(end.unwrap_or(rest.len()))
        }
        (c, _) => text(c.len_utf8()),
    }
}

/// How many bytes of a name there are at the front.
fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn is_word(before: Option<char>) -> bool {
    before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// The length of what is quoted, both quotes included; a doubled quote is one of the text.
fn quoted(rest: &str, quote: char, has_backslash: bool) -> Result<usize, Fault> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && has_backslash {
            chars.next();
        } else if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => drop(chars.next()),
                _ => return Ok(at + quote.len_utf8()),
            }
        }
    }
    Err(Fault::Open(match quote {
        '\'' => "a \"'\"",
        '"' => "a '\"'",
        _ => "a \"`\"",
    }))
}

/// The length of a comment. PostgreSQL's lie within one another.
fn comment(rest: &str, nests: bool) -> Result<usize, Fault> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let tail = &rest[at..];
        if tail.starts_with("/*") && (nests || depth == 0) {
            (depth, at) = (depth + 1, at + 2);
        } else if tail.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Ok(at);
            }
        } else {
            match tail.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => return Err(Fault::Open("a comment")),
            }
        }
    }
}

/// The opening `$tag$` of a dollar quote, if there is one.
fn dollars(rest: &str) -> Option<&str> {
    let tag = rest.strip_prefix('$')?;
    let end = tag.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let is_tag = tag[end..].starts_with('$') && !tag.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| &rest[..end + 2])
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        let Ok(query) = Query::parse(text, dialect) else { continue };
        // Each name once, and nothing but the names was taken out.
        for (at, name) in query.names.iter().enumerate() {
            assert!(!query.names[..at].contains(name));
        }
        let names = text.len() - text.matches(';').count();
        assert!(query.sql.len() <= text.len() + text.matches(':').count());
        assert!(query.sql.len() + 12 * text.matches(':').count() >= names);
        if query.names.is_empty() {
            let same = |text: &str| text.replace(';', "");
            assert_eq!(same(&query.sql), same(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(text: &str) -> [String; 2] {
        [Dialect::Postgres, Dialect::Sqlite].map(|dialect| match Query::parse(text, dialect) {
            Ok(query) => query.sql,
            Err(fault) => fault.to_string(),
        })
    }

    #[test]
    fn names_become_numbers_each_once() {
        let text = "SELECT a FROM t WHERE b = :user AND c = :DOMAIN OR d = :user";
        let query = Query::parse(text, Dialect::Postgres).unwrap();
        assert_eq!(query.sql, "SELECT a FROM t WHERE b = $1 AND c = $2 OR d = $1");
        assert_eq!(query.names, [Name::User, Name::Domain]);
        let query = Query::parse("SELECT :client_ip;", Dialect::Sqlite).unwrap();
        assert_eq!((query.sql.as_str(), &query.names[..]), ("SELECT ?1", &[Name::ClientIp][..]));
    }

    #[test]
    fn quotes_casts_and_comments_hold_no_names() {
        // As it is, in either dialect.
        for text in [
            "SELECT ':user', 'it''s :user', \"a:user\"\"b\"",
            "SELECT 1 -- :user",
            "SELECT 1 -- ' \n, 2",
            "SELECT 1 /* ' :user */",
            "SELECT a::text, b :: int, c := 1",
            "SELECT 'é:user'",
        ] {
            assert_eq!(both(text), [text, text]);
        }
        for text in [
            "SELECT E'\\':user', e'a\\\\'",
            "SELECT $$ :user ' $$, $a$ $$ :user $a$",
            "SELECT 1 /* /* */ :user */",
            "SELECT a[1:2], b ? 'c', d @> e, f #> g",
        ] {
            assert_eq!(both(text)[0], text);
        }
        for text in ["SELECT [:user], `:user`", "SELECT '\\'"] {
            assert_eq!(both(text)[1], text);
        }
    }

    #[test]
    fn names_behind_quotes_are_seen() {
        for (text, want) in [
            ("SELECT '\\', :user", ["SELECT '\\', $1", "SELECT '\\', ?1"]),
            ("SELECT '':user", ["SELECT ''$1", "SELECT ''?1"]),
            ("SELECT :user::text", ["SELECT $1::text", "SELECT ?1::text"]),
            ("SELECT a:user", ["SELECT a $1", "SELECT a ?1"]),
            ("SELECT one'\\':user", ["SELECT one'\\'$1", "SELECT one'\\'?1"]),
            ("SELECT(:user)||:local", ["SELECT($1)||$2", "SELECT(?1)||?2"]),
            ("SELECT :user.5", ["SELECT $1 .5", "SELECT ?1 .5"]),
        ] {
            assert_eq!(both(text), want);
        }
    }

    #[test]
    fn each_fault_says_what_to_do() {
        let known = "; there are :user, :login, :local, :domain, :protocol, :client_ip";
        for (text, want) in [
            ("", "the query is empty"),
            (" ; -- a", "the query is empty"),
            ("SELECT 'a", "a \"'\" is not closed in the query"),
            ("SELECT \"a", "a '\"' is not closed in the query"),
            ("SELECT /* a", "a comment is not closed in the query"),
            ("SELECT 1; DELETE FROM t", "more than one statement in the query: leave one"),
            (
                "SELECT $1",
                "\"$1\" in the query: write :login, or another name of what is asked for",
            ),
        ] {
            assert_eq!(both(text)[0], want);
        }
        let domian = "unknown name \":domian\" in the query, did you mean \":domain\"?";
        assert_eq!(both("SELECT :domian")[0], format!("{domian}{known}"));
        let password = "unknown name \":password\" in the query";
        assert_eq!(both("SELECT :password")[0], format!("{password}{known}"));
        for text in ["SELECT ?", "SELECT ?7", "SELECT @a", "SELECT $a"] {
            assert!(both(text)[1].contains("write :login"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "[ a-zE:;'\"$?@/*\\\\\\[\\]-]{0,40}(:user)?.{0,8}") {
            hold_for_any(text.as_bytes());
        }
    }
}
