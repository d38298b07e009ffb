//! What is in force, as one text that may be shown to others.
//!
//! Files are put in their places, comments are left out, since anything may stand in them, and what
//! the records call a secret is [`MASK`]. So are a user and password within a URL, and the value of
//! whatever is called a password, wherever they stand. Of a name that no record knows no argument is
//! shown.

use std::path::PathBuf;

use super::block::{Block, Statement};
use super::directive::{Context, Directive, MAIN, Secret, Takes};

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// The configuration, and what must not be seen of it.
#[derive(Debug, Default)]
pub struct Effective {
    pub text: String,
    /// Every secret that was masked, lest it turn up elsewhere.
    pub secrets: Vec<String>,
    /// Files with secrets in them, as they are named.
    pub files: Vec<PathBuf>,
    /// Each statement as a whole: its context, its name, its arguments, masked.
    pub statements: Vec<(Context, String, Vec<String>)>,
}

struct Writer<'a> {
    registry: &'a [&'static [Directive]],
    shows_users: bool,
    done: Effective,
}

/// Writes `root` and what is in it.
pub fn of(root: &Block, registry: &[&'static [Directive]], shows_users: bool) -> Effective {
    let mut writer = Writer { registry, shows_users, done: Effective::default() };
    writer.block(root, MAIN, 0);
    writer.done
}

impl Writer<'_> {
    fn block(&mut self, block: &Block, context: Context, depth: usize) {
        for statement in block.statements() {
            self.statement(statement, context, depth);
        }
    }

    fn statement(&mut self, at: &Statement, context: Context, depth: usize) {
        let found = self.registry.iter().flat_map(|room| room.iter());
        let found = found
            .copied()
            .find(|directive| directive.name == at.name() && directive.within.contains(&context));
        let from = match found.map(|directive| directive.secret) {
            None => 0,
            Some(Secret::Args(from)) => from,
            Some(Secret::None) => usize::MAX,
            Some(Secret::File) => {
                self.done.files.extend(at.args().iter().map(PathBuf::from));
                usize::MAX
            }
        };
        let mut words = Vec::new();
        for (index, word) in at.args().iter().enumerate() {
            words.push(match index >= from {
                true => {
                    self.done.secrets.push(word.clone());
                    MASK.to_owned()
                }
                false => self.masked(word),
            });
        }
        self.line(at.name(), &words, at.block().is_some(), depth);
        let Some(inner) = at.block() else {
            self.done.statements.push((context, at.name().to_owned(), words));
            return;
        };
        match found.map(|directive| directive.takes) {
            Some(Takes::Block(_, _, context)) => self.block(inner, context, depth + 1),
            Some(Takes::Table(..)) => self.rows(inner, depth + 1),
            _ => self.indent(MASK, depth + 1),
        }
        self.indent("}", depth);
    }

    /// A table's keys may be users.
    fn rows(&mut self, block: &Block, depth: usize) {
        for row in block.rows() {
            let is_shown = self.shows_users
                || matches!(row.name(), "default" | "include")
                || row.name().starts_with(['@', '*', '~']);
            let key = if is_shown { self.masked(row.name()) } else { MASK.to_owned() };
            let words: Vec<_> = row.args().iter().map(|word| self.masked(word)).collect();
            self.line(&key, &words, false, depth);
        }
    }

    fn masked(&mut self, word: &str) -> String {
        masked(word, &mut self.done.secrets)
    }

    fn line(&mut self, name: &str, words: &[String], has_block: bool, depth: usize) {
        let mut text = quoted(name);
        for word in words {
            text.push(' ');
            text.push_str(&quoted(word));
        }
        text.push_str(if has_block { " {" } else { ";" });
        self.indent(&text, depth);
    }

    fn indent(&mut self, text: &str, depth: usize) {
        let out = &mut self.done.text;
        out.extend(std::iter::repeat_n("    ", depth));
        out.push_str(text);
        out.push('\n');
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |letter: char| {
        !letter.is_whitespace() && !letter.is_control() && !"{};\"'\\#".contains(letter)
    };
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("{word:?}"),
    }
}

/// What is secret in a word whatever it belongs to: `//user:password@`, and `password=…`.
pub fn masked(word: &str, secrets: &mut Vec<String>) -> String {
    parameters(&userinfo(word, secrets), secrets)
}

fn userinfo(word: &str, secrets: &mut Vec<String>) -> String {
    let (mut out, mut rest) = (String::new(), word);
    while let Some(at) = rest.find("//") {
        let (before, after) = rest.split_at(at + 2);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace()).unwrap_or(after.len());
        let authority = after[..end].find(['/', '?', '#']).unwrap_or(end);
        // A password with a slash in it that nobody has escaped is still one.
        let sign = after[..authority].rfind('@').or_else(|| {
            let sign = after[..end].rfind('@')?;
            after[..sign].contains(':').then_some(sign)
        });
        rest = after;
        if let Some(sign) = sign {
            let info = &after[..sign];
            secrets.push(info.to_owned());
            secrets.extend(info.split_once(':').map(|(_, password)| password.to_owned()));
            out.push_str(MASK);
            rest = &after[sign..];
        }
    }
    out.push_str(rest);
    out
}

/// Names whose value is nobody's business, at their end.
const NAMES: [&str; 9] =
    ["password", "passwd", "passphrase", "pass", "pw", "pwd", "secret", "token", "apikey"];

fn parameters(word: &str, secrets: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('=') {
        let (name, value) = (&rest[..at], &rest[at + 1..]);
        let own = name.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        let own = own.to_ascii_lowercase();
        out.push_str(&rest[..=at]);
        rest = value;
        if NAMES.iter().any(|name| own.ends_with(name)) {
            let end = value.find(['&', ';', ',']).unwrap_or(value.len());
            let end = value[..end].find(char::is_whitespace).unwrap_or(end);
            if end > 0 {
                secrets.push(value[..end].to_owned());
                out.push_str(MASK);
            }
            rest = &value[end..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_any_word_is_masked() {
        for (word, want) in [
            ("http://a.example/x", "http://a.example/x"),
            ("http://u:p@a.example/x@y", "http://***@a.example/x@y"),
            ("postgres://u@a.example,b/db", "postgres://***@a.example,b/db"),
            ("postgres://u:p/w@a.example/db", "postgres://***@a.example/db"),
            ("postgres://a/db?user=x&password=y&z=1", "postgres://a/db?user=x&password=***&z=1"),
            ("host=a password=s3cret user=b", "host=a password=*** user=b"),
            ("sslPassword=x", "sslPassword=***"),
            ("client_secret=x,token=y", "client_secret=***,token=***"),
            ("weight=3", "weight=3"),
            ("keep=", "keep="),
            ("a@b.example", "a@b.example"),
        ] {
            let mut secrets = Vec::new();
            assert_eq!(masked(word, &mut secrets), want);
            for secret in secrets.iter().filter(|secret| secret.len() > 1) {
                assert!(!want.contains(&**secret), "{secret} in {want}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_word_is_masked_without_harm(word in "\\PC{0,60}", url in "[a-z:/@?&=.]{0,40}") {
            for word in [word, url] {
                let _ = masked(&word, &mut Vec::new());
            }
        }
    }
}
