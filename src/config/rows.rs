//! The rows of a table that has a file of its own: `KEY WORDS… ;`, one after the other.

use super::lex::{Lexer, Token, Word};

/// Who is told of each row: its line, its key and its other words, or what is wrong there. Says
/// whether to go on.
pub type Each<'a> = dyn FnMut(u32, Result<(&str, &[String]), &str>) -> bool + 'a;

/// Reads the rows of `input`, which are written as in a block of the configuration. Nothing is kept
/// of them, so a table may be long. A breach of the grammar ends it.
pub fn rows(input: &[u8], each: &mut Each<'_>) {
    let mut lexer = Lexer::new(input);
    let (mut key, mut words): (Option<Word>, Vec<String>) = (None, Vec::new());
    loop {
        let token = match lexer.token() {
            Ok(token) => token,
            Err((error, line)) => {
                each(line, Err(&error.to_string()));
                return;
            }
        };
        let (unexpected, line) = match (token, key.take()) {
            (Token::Word(word), _) if !word.is_utf8 => {
                let fault = format!("\"{}\" is not UTF-8", word.text);
                (fault, word.line)
            }
            (Token::Word(word), None) => {
                key = Some(word);
                continue;
            }
            (Token::Word(word), Some(first)) => {
                words.push(word.text);
                key = Some(first);
                continue;
            }
            (Token::Semicolon, Some(first)) => {
                if !each(first.line, Ok((&first.text, &words))) {
                    return;
                }
                words.clear();
                continue;
            }
            (Token::End, None) => return,
            (Token::End, Some(_)) => {
                ("unexpected end of file, expecting \";\"".to_owned(), lexer.line())
            }
            (Token::Semicolon, None) => ("unexpected \";\"".to_owned(), lexer.line()),
            (Token::Open, _) => ("unexpected \"{\"".to_owned(), lexer.line()),
            (Token::Close, _) => ("unexpected \"}\"".to_owned(), lexer.line()),
        };
        each(line, Err(&unexpected));
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<String> {
        let mut told = Vec::new();
        rows(text, &mut |line, row| {
            told.push(match row {
                Ok((key, words)) => format!("{line} [{key}] {}", words.join("|")),
                Err(fault) => format!("{line} {fault}"),
            });
            true
        });
        told
    }

    #[test]
    fn rows_are_read_up_to_a_breach() {
        for (text, want) in [
            ("a b;\n# c\n'~^(.{2})$' d e=f; g;", &["1 [a] b", "3 [~^(.{2})$] d|e=f", "3 [g] "][..]),
            ("", &[]),
            ("a b", &["1 unexpected end of file, expecting \";\""]),
            ("a b;\n;c d;", &["1 [a] b", "2 unexpected \";\""]),
            ("a {\nb c;}", &["1 unexpected \"{\""]),
            ("a; }", &["1 [a] ", "1 unexpected \"}\""]),
        ] {
            assert_eq!(all(text.as_bytes()), want, "{text}");
        }
        assert_eq!(all(b"a \xff;"), ["1 \"\u{fffd}\" is not UTF-8"]);
    }
}
