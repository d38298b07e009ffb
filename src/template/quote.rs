//! Where a value stands in a line of the nginx dialect, and how it is written there.
//!
//! Zimbra's language substitutes text and knows no escaping: a greeting with a `"` in it ends its
//! directive, and what follows is read as configuration. Here a value is written by its [`Place`]:
//!
//! | the variable stands | a value that needs no quotes | any other |
//! |---|---|---|
//! | between blanks | as it is | in `"…"`, with `\` and `"` escaped |
//! | within a word | as it is | refused |
//! | within `"…"` or `'…'` | as it is | `\` and the quote escaped |
//! | in a comment | as it is | as it is |
//!
//! A control character is refused everywhere, and so is a `${` that the value does not close: it
//! would take the template's own text into a variable's name. A `${name}` in a value is let through,
//! to be expanded again, and what it stands for is written by the place it then has.

use super::fill;
use super::values::Values;

/// Where a byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Where a word may begin.
    #[default]
    Between,
    Word,
    /// By which quote.
    Quoted(char),
    Comment,
}

impl Place {
    /// The place after `text`. Variables in it count as nothing if they are switches, and as
    /// letters otherwise.
    pub fn after(self, text: &str, values: &[&Values]) -> Self {
        let mut place = self;
        let mut rest = text;
        let mut after_dollar = false;
        while let Some(letter) = rest.chars().next() {
            // nginx: `${` is part of a word and opens no block.
            let opens_no_block = std::mem::replace(&mut after_dollar, letter == '$');
            if let Some(name) = fill::variable(rest) {
                after_dollar = false;
                rest = &rest[name.len() + 3..];
                let is_switch = fill::find(values, name).is_some_and(|piece| piece.is_switch());
                if place == Self::Between && !is_switch {
                    place = Self::Word;
                }
                continue;
            }
            let mut step = letter.len_utf8();
            place = match (place, letter) {
                (Self::Comment, '\n') => Self::Between,
                (Self::Comment, _) => Self::Comment,
                (Self::Between | Self::Word | Self::Quoted(_), '\\') => {
                    step += rest[step..].chars().next().map_or(0, char::len_utf8);
                    if place == Self::Between { Self::Word } else { place }
                }
                (Self::Quoted(quote), letter) if letter == quote => Self::Between,
                (Self::Quoted(_), _) => place,
                (Self::Word, '{') if opens_no_block => Self::Word,
                (_, ' ' | '\t' | '\r' | '\n' | ';' | '{') => Self::Between,
                (Self::Word, _) => Self::Word,
                (Self::Between, '}') => Self::Between,
                (Self::Between, '#') => Self::Comment,
                (Self::Between, '"' | '\'') => Self::Quoted(letter),
                (Self::Between, _) => Self::Word,
            };
            rest = &rest[step..];
        }
        place
    }
}

/// One value between blanks, quoted if it needs it.
///
/// # Errors
/// Why it cannot be written.
pub fn word(raw: &str) -> Result<String, String> {
    check(raw)?;
    Ok(if raw.is_empty() || !is_plain(raw) { quoted(raw) } else { raw.to_owned() })
}

/// One value where it stands, with `rest` after it.
pub fn text(raw: &str, place: Place, rest: &str) -> Result<String, String> {
    check(raw)?;
    match place {
        Place::Comment => Ok(raw.to_owned()),
        Place::Quoted(quote) => Ok(escaped(raw, quote)),
        Place::Between | Place::Word if is_plain(raw) => Ok(raw.to_owned()),
        Place::Between if ends_a_word(rest) => Ok(quoted(raw)),
        Place::Between | Place::Word => {
            Err("its value needs quotes and stands within a word; put the whole word into quotes"
                .to_owned())
        }
    }
}

/// Several words where they stand.
pub fn words(raw: &[String], always: bool, place: Place, rest: &str) -> Result<String, String> {
    if let ([one], false) | ([one], true) = (raw, always)
        && !(always && place == Place::Between)
    {
        return text(one, place, rest);
    }
    if raw.is_empty() {
        return Ok(String::new());
    }
    match place {
        Place::Comment | Place::Quoted(_) => text(&raw.join(" "), place, rest),
        Place::Between if ends_a_word(rest) => {
            let words = raw.iter().map(|raw| match always {
                true => check(raw).map(|()| quoted(raw)),
                false => word(raw),
            });
            Ok(words.collect::<Result<Vec<_>, _>>()?.join(" "))
        }
        Place::Between | Place::Word => Err("a list cannot stand within a word".to_owned()),
    }
}

/// The program's own text: it goes where it is put, except that lines do not go into quotes.
pub fn code(raw: &str, place: Place) -> Result<String, String> {
    match place {
        Place::Quoted(_) if raw.contains(['\n', '"', '\'', '\\']) => {
            Err("its value is a piece of configuration and cannot stand within quotes".to_owned())
        }
        _ => Ok(raw.to_owned()),
    }
}

fn check(raw: &str) -> Result<(), String> {
    if let Some(control) = raw.chars().find(|letter| letter.is_control()) {
        return Err(format!("its value has a control character, {}", control.escape_unicode()));
    }
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        match fill::variable(&rest[at..]) {
            Some(name) => rest = &rest[at + name.len() + 3..],
            None => return Err("its value has a \"${\" that is not closed".to_owned()),
        }
    }
    Ok(())
}

/// Whether it can stand as it is, its variables apart: they are written by their own places.
fn is_plain(raw: &str) -> bool {
    let mut rest = raw;
    while let Some(letter) = rest.chars().next() {
        if let Some(name) = fill::variable(rest) {
            rest = &rest[name.len() + 3..];
            continue;
        }
        if letter.is_whitespace() || matches!(letter, ';' | '{' | '}' | '"' | '\'' | '\\' | '#') {
            return false;
        }
        rest = &rest[letter.len_utf8()..];
    }
    true
}

/// What nginx allows after a closing quote.
fn ends_a_word(rest: &str) -> bool {
    rest.chars().next().is_none_or(|next| matches!(next, ' ' | '\t' | '\r' | '\n' | ';' | '{'))
}

fn quoted(raw: &str) -> String {
    format!("\"{}\"", escaped(raw, '"'))
}

fn escaped(raw: &str, quote: char) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(letter) = rest.chars().next() {
        let step = fill::variable(rest).map_or(letter.len_utf8(), |name| name.len() + 3);
        if step == letter.len_utf8() && (letter == quote || letter == '\\') {
            text.push('\\');
        }
        text.push_str(&rest[..step]);
        rest = &rest[step..];
    }
    text
}
