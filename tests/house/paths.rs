//! Every path that a Rust file names, groups spread out, with where it starts from.
//!
//! In: the text of a file and how deep its module lies. Out: [`Named`] paths. Comments, strings and
//! characters are stepped over; `super::` is counted against the depth, inline modules included.

/// Where a path starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `crate::`, `$crate::`, or so many `super::` that they reach the crate's root.
    House,
    /// A module of the same room, or a name in scope: `net::copy`, `std::fs`, `self::x`.
    Elsewhere,
}

/// One path, with the segments after its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub root: Root,
    pub parts: Vec<String>,
    pub line: usize,
}

/// Words that may stand in front of a path that begins with `::`.
const BEFORE_PATHS: &[&str] =
    &["as", "dyn", "for", "impl", "in", "let", "match", "mut", "return", "use", "where"];

/// The names of the modules that `text` declares, inline or not.
pub fn modules(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    tokens
        .windows(3)
        .filter(|three| three[0].text == "mod" && matches!(three[2].text.as_str(), "{" | ";"))
        .map(|three| three[1].text.clone())
        .collect()
}

/// Every path in `text`, a file whose module lies `depth` below the crate's root.
pub fn named(text: &str, depth: usize) -> Vec<Named> {
    let tokens = tokens(text);
    let (mut found, mut at, mut braces, mut inline) = (Vec::new(), 0, 0, Vec::new());
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "mod" if is(&tokens, at + 2, "{") => {
                inline.push(braces);
                braces += 1;
                at += 3;
            }
            "{" => {
                braces += 1;
                at += 1;
            }
            "}" => {
                braces -= 1;
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
                at += 1;
            }
            // `use ::tokio` is no path that begins with `use`.
            word if BEFORE_PATHS.contains(&word) => at += 1,
            word if is_word(word) => {
                let here = Place { depth: depth + inline.len(), up: None, parts: Vec::new() };
                at = spread(&tokens, at, here, &mut found);
            }
            _ => at += 1,
        }
    }
    found
}

/// How far a path has been followed.
#[derive(Clone)]
struct Place {
    /// How deep the module lies in which the path stands.
    depth: usize,
    /// How many levels up it has gone: `Some(depth)` is the root.
    up: Option<usize>,
    parts: Vec<String>,
}

impl Place {
    fn named(self, line: usize) -> Named {
        let at_root = self.up.is_some_and(|up| up >= self.depth);
        let root = if at_root { Root::House } else { Root::Elsewhere };
        Named { root, parts: self.parts, line }
    }
}

/// Follows the path at `at`, every branch of it, and gives where it ends.
fn spread(tokens: &[Token], mut at: usize, mut place: Place, found: &mut Vec<Named>) -> usize {
    let line = tokens[at].line;
    loop {
        match tokens.get(at).map(|token| token.text.as_str()) {
            Some("{") => {
                at += 1;
                while at < tokens.len() && !is(tokens, at, "}") {
                    at = match is(tokens, at, ",") {
                        true => at + 1,
                        false => spread(tokens, at, place.clone(), found).max(at + 1),
                    };
                }
                return at + 1;
            }
            Some("crate") => place.up = Some(place.depth),
            Some("super") => place.up = Some(place.up.unwrap_or(0) + 1),
            Some("self") if place.parts.is_empty() && place.up.is_none() => {}
            Some(word) if word == "*" || is_word(word) => {
                place.parts.push(word.trim_start_matches("r#").to_owned());
            }
            _ => {
                found.push(place.named(line));
                return at;
            }
        }
        at += 1;
        if is(tokens, at, "::") {
            at += 1;
            continue;
        }
        // `pub(crate)` and `pub(super)` name no room.
        let is_visibility = place.parts.is_empty() && is(tokens, at, ")");
        if !is_visibility {
            found.push(place.named(tokens[at - 1].line));
        }
        // `as other`: the new name is no path.
        return if is(tokens, at, "as") { at + 2 } else { at };
    }
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::` and single marks; comments, strings, characters and lifetimes left out.
fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let used = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => block_comment(rest),
            b'"' => string(rest),
            b'\'' => character(rest),
            b'r' | b'b' | b'c' if prefixed(rest).is_some() => prefixed(rest).unwrap(),
            b':' if rest.starts_with("::") => {
                found.push(Token { text: "::".to_owned(), line });
                2
            }
            first if first.is_ascii_alphabetic() || first == b'_' => {
                let raw = if rest.starts_with("r#") { 2 } else { 0 };
                let end = rest[raw..]
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .map_or(rest.len(), |end| end + raw);
                found.push(Token { text: rest[..end].to_owned(), line });
                end
            }
            first if first.is_ascii_whitespace() => 1,
            _ => {
                let mark = rest.chars().next().unwrap();
                found.push(Token { text: mark.to_string(), line });
                mark.len_utf8()
            }
        };
        line += rest[..used].matches('\n').count();
        at += used;
    }
    found
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let two = rest.as_bytes().get(at..at + 2);
        match two {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string that begins here, its quotes included.
fn string(rest: &str) -> usize {
    let mut bytes = rest.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character; of a lifetime, only its quote.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(rest.len(), |end| end + 4),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// The length of a raw or byte string or byte, if one begins here.
fn prefixed(rest: &str) -> Option<usize> {
    let marks = rest.find(|c| !matches!(c, 'r' | 'b' | 'c'))?;
    let (prefix, body) = rest.split_at(marks);
    match prefix {
        "b" if body.starts_with('\'') => Some(marks + character(body)),
        "b" | "c" if body.starts_with('"') => Some(marks + string(body)),
        "r" | "br" | "cr" => {
            let hashes = body.find(|c| c != '#')?;
            let end = format!("\"{}", &body[..hashes]);
            let inside = body[hashes..].strip_prefix('"')?;
            Some(marks + hashes + 1 + inside.find(&end)? + end.len())
        }
        _ => None,
    }
}

#[test]
fn a_file_is_read_word_by_word() {
    let text = "a::b /* c \n */ // d\n 'e' '\\'' \"f\\\"\" br##\"g\"#\"## r#h &'i b'j' k";
    let words: Vec<_> = tokens(text).into_iter().map(|token| (token.text, token.line)).collect();
    let want = [("a", 1), ("::", 1), ("b", 1), ("r#h", 3), ("&", 3), ("i", 3), ("k", 3)];
    assert_eq!(words, want.map(|(word, line)| (word.to_owned(), line)));
}
