//! Bytes to words, as nginx splits them.

use std::borrow::Cow;

/// As nginx: a word beyond this is a quote that somebody forgot to close.
pub const MAX_WORD: usize = 4096;

/// One word, its quotes and escapes undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// Where it begins.
    pub line: u32,
    /// Whether a line break stands right before it, blanks apart.
    pub leads: bool,
    /// Whether its bytes were UTF-8; if not, `text` shows the others as U+FFFD.
    pub is_utf8: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Word(Word),
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unexpected \"{0}\"")]
    Unexpected(char),
    #[error("too long parameter \"{0}...\" started")]
    TooLong(String),
    #[error("too long parameter, probably missing terminating \"{0}\" character")]
    TooLongQuoted(char),
    /// The quote, and the line on which it was opened.
    #[error("unexpected end of file, expecting \";\" or \"}}\", a {0} of line {1} is not closed")]
    Unclosed(char, u32),
}

/// Cuts its input into [`Token`]s. After an error the rest makes no sense.
#[derive(Debug)]
pub struct Lexer<'a> {
    input: &'a [u8],
    at: usize,
    line: u32,
    leads: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        // An editor's mark of byte order is no part of the first word.
        let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
        Self { input, at: 0, line: 1, leads: true }
    }

    /// The line that was reached.
    pub fn line(&self) -> u32 {
        self.line
    }

    pub fn token(&mut self) -> Result<Token, (Error, u32)> {
        self.skip_blanks_and_comments();
        let Some(&first) = self.input.get(self.at) else {
            return Ok(Token::End);
        };
        let single = match first {
            b';' => Token::Semicolon,
            b'{' => Token::Open,
            b'}' => Token::Close,
            quote @ (b'"' | b'\'') => return self.quoted(quote).map(Token::Word),
            _ => return self.bare().map(Token::Word),
        };
        self.at += 1;
        self.leads = false;
        Ok(single)
    }

    fn skip_blanks_and_comments(&mut self) {
        while let Some(&byte) = self.input.get(self.at) {
            match byte {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    self.leads = true;
                }
                b' ' | b'\t' | b'\r' => {}
                b'#' => {
                    let rest = &self.input[self.at..];
                    // The line break itself is left for the next round, which counts it.
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                    continue;
                }
                _ => return,
            }
            self.at += 1;
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Word, (Error, u32)> {
        let (begin, line) = (self.at + 1, self.line);
        self.at = begin;
        loop {
            match self.input.get(self.at) {
                None => {
                    return Err((Error::Unclosed(char::from(quote), line), self.line));
                }
                Some(_) if self.at - begin > MAX_WORD => {
                    return Err((Error::TooLongQuoted(char::from(quote)), line));
                }
                Some(b'\\') => self.step_over_escape(),
                Some(byte) if *byte == quote => break,
                Some(byte) => {
                    self.line = self.line.saturating_add(u32::from(*byte == b'\n'));
                    self.at += 1;
                }
            }
        }
        let word = self.word(begin, line);
        self.at += 1;
        match self.input.get(self.at) {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => Ok(word),
            Some(_) => Err((Error::Unexpected(self.char_here()), self.line)),
        }
    }

    fn bare(&mut self) -> Result<Word, (Error, u32)> {
        let (begin, line) = (self.at, self.line);
        let mut after_dollar = false;
        while let Some(&byte) = self.input.get(self.at) {
            match byte {
                // `${name}` is part of a word and opens no block.
                b'{' if after_dollar => self.at += 1,
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                _ if self.at - begin > MAX_WORD => break,
                b'\\' => {
                    after_dollar = false;
                    self.step_over_escape();
                }
                _ => {
                    after_dollar = byte == b'$';
                    self.at += 1;
                }
            }
        }
        if self.at - begin > MAX_WORD {
            let head = String::from_utf8_lossy(&self.input[begin..begin + 10]).into_owned();
            return Err((Error::TooLong(head), line));
        }
        Ok(self.word(begin, line))
    }

    /// A backslash takes the next byte's meaning away, whatever it is.
    fn step_over_escape(&mut self) {
        let next = self.input.get(self.at + 1);
        self.line = self.line.saturating_add(u32::from(next == Some(&b'\n')));
        self.at = (self.at + 2).min(self.input.len());
    }

    fn word(&mut self, begin: usize, line: u32) -> Word {
        let bytes = unescape(&self.input[begin..self.at]);
        let (text, is_utf8) = match String::from_utf8_lossy(&bytes) {
            Cow::Borrowed(text) => (text.to_owned(), true),
            Cow::Owned(text) => (text, false),
        };
        Word { text, line, leads: std::mem::take(&mut self.leads), is_utf8 }
    }

    fn char_here(&self) -> char {
        let rest = &self.input[self.at..self.input.len().min(self.at + 4)];
        String::from_utf8_lossy(rest).chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

/// Undoes `\"`, `\'`, `\\`, `\t`, `\r` and `\n`; before any other byte the backslash stays.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        let meant = match (byte, rest.peek()) {
            (b'\\', Some(next @ (b'"' | b'\'' | b'\\'))) => *next,
            (b'\\', Some(b't')) => b'\t',
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'n')) => b'\n',
            _ => {
                bytes.push(byte);
                continue;
            }
        };
        rest.next();
        bytes.push(meant);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens of `input`, or the first error after them.
    fn tokens(input: &str) -> Result<Vec<String>, String> {
        let mut lexer = Lexer::new(input.as_bytes());
        let mut tokens = Vec::new();
        loop {
            match lexer.token() {
                Ok(Token::End) => return Ok(tokens),
                Ok(Token::Word(word)) => tokens.push(word.text),
                Ok(Token::Semicolon) => tokens.push("<;>".to_owned()),
                Ok(Token::Open) => tokens.push("<{>".to_owned()),
                Ok(Token::Close) => tokens.push("<}>".to_owned()),
                Err((error, _)) => return Err(error.to_string()),
            }
        }
    }

    #[test]
    fn words_are_split_as_nginx_splits_them() {
        for (input, want) in [
            ("a b;c{d}", &["a", "b", "<;>", "c", "<{>", "d}"][..]),
            ("a {b;}", &["a", "<{>", "b", "<;>", "<}>"]),
            ("a # b;\n c#d;", &["a", "c#d", "<;>"]),
            (r#"a "b c" 'd;{"' "";"#, &["a", "b c", "d;{\"", "", "<;>"]),
            (r#"a"b c'd;"#, &["a\"b", "c'd", "<;>"]),
            (r#""a\"b\'c\\d\te\x\;";"#, &["a\"b'c\\d\te\\x\\;", "<;>"]),
            (r"\\ a\ b a\;b \n;", &["\\", "a\\ b", "a\\;b", "\n", "<;>"]),
            ("${a}b $c{d} $${e};", &["${a}b", "$c", "<{>", "d}", "$${e}", "<;>"]),
            ("\"a\")b;", &["a", ")b", "<;>"]),
            ("'a'{\"b\";", &["a", "<{>", "b", "<;>"]),
            ("'a\nb';", &["a\nb", "<;>"]),
            ("a\\", &["a\\"]),
        ] {
            assert_eq!(tokens(input).unwrap(), want, "{input}");
        }
    }

    #[test]
    fn a_word_has_an_end() {
        let long = "x".repeat(MAX_WORD);
        assert_eq!(tokens(&format!("{long};'{long}';")).unwrap().len(), 4);
        let error = tokens(&format!("{long}x")).unwrap_err();
        assert_eq!(error, "too long parameter \"xxxxxxxxxx...\" started");
        let error = tokens(&format!("'{long}x'")).unwrap_err();
        assert_eq!(error, "too long parameter, probably missing terminating \"'\" character");
    }

    #[test]
    fn bytes_that_are_no_text_are_told() {
        let mut lexer = Lexer::new(b"# caf\xe9\ncaf\xe9;");
        let Ok(Token::Word(word)) = lexer.token() else { panic!("a word") };
        assert_eq!((&*word.text, word.line, word.is_utf8), ("caf\u{fffd}", 2, false));
    }
}
