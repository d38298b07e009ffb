//! Words to statements: the grammar, without meaning and without files.

use std::sync::Arc;

use super::fault::{Fault, Place};
use super::lex::{Error, Lexer, Token, Word};

/// Blocks within blocks, those around an `include` counted.
pub const MAX_DEPTH: usize = 64;

/// `NAME ARGS… ;` or `NAME ARGS… { BODY }`, not yet checked against any directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub name: String,
    pub args: Vec<Word>,
    pub place: Place,
    pub body: Option<Vec<Self>>,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    /// `-g`: no blocks.
    CommandLine,
}

/// What was read of a source; with `is_whole` false, up to a breach of the grammar.
#[derive(Debug)]
pub struct Outcome {
    pub statements: Vec<Raw>,
    pub faults: Vec<Fault>,
    pub is_whole: bool,
}

/// Reads `input`, which stands `depth` blocks deep.
pub fn parse(input: &[u8], file: &Arc<str>, kind: Kind, depth: usize) -> Outcome {
    let mut parser = Parser {
        lexer: Lexer::new(input),
        file,
        kind,
        depth,
        words: Vec::new(),
        open: Vec::new(),
        statements: Vec::new(),
        faults: Vec::new(),
    };
    let is_whole = match parser.run() {
        Ok(()) => true,
        Err((text, line)) => {
            parser.faults.push(Fault::new(text, Some(Place::new(file, line))));
            // What stands before the breach is worth checking too.
            while !parser.open.is_empty() {
                parser.close();
            }
            false
        }
    };
    Outcome { statements: parser.statements, faults: parser.faults, is_whole }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    file: &'a Arc<str>,
    kind: Kind,
    depth: usize,
    /// The words of the statement being read.
    words: Vec<Word>,
    /// The blocks being read, each with the statements that stand before it.
    open: Vec<(Raw, Vec<Raw>)>,
    statements: Vec<Raw>,
    faults: Vec<Fault>,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), (String, u32)> {
        loop {
            let token = self.lexer.token().map_err(|(error, line)| self.explain(&error, line))?;
            let in_statement = !self.words.is_empty();
            let unexpected = match token {
                Token::Word(word) => {
                    self.take(word);
                    continue;
                }
                Token::Semicolon if in_statement => {
                    let statement = self.statement();
                    self.statements.push(statement);
                    continue;
                }
                Token::Open if in_statement => {
                    self.open()?;
                    continue;
                }
                Token::Close if !in_statement && !self.open.is_empty() => {
                    self.close();
                    continue;
                }
                Token::End if !in_statement && self.open.is_empty() => return Ok(()),
                Token::Semicolon => "unexpected \";\"",
                Token::Open => "unexpected \"{\"",
                Token::Close => "unexpected \"}\"",
                Token::End => match (self.kind, in_statement) {
                    (Kind::CommandLine, _) => "unexpected end of parameter, expecting \";\"",
                    (Kind::File, true) => "unexpected end of file, expecting \";\" or \"}\"",
                    (Kind::File, false) => "unexpected end of file, expecting \"}\"",
                },
            };
            return Err((unexpected.to_owned(), self.lexer.line()));
        }
    }

    fn take(&mut self, word: Word) {
        if !word.is_utf8 {
            let text = format!("\"{}\" is not UTF-8", word.text);
            self.faults.push(Fault::new(text, Some(Place::new(self.file, word.line))));
        }
        self.words.push(word);
    }

    fn statement(&mut self) -> Raw {
        let mut words = std::mem::take(&mut self.words).into_iter();
        let name = words.next().expect("a statement ends only after its first word");
        let place = Place::new(self.file, name.line);
        Raw { name: name.text, args: words.collect(), place, body: None }
    }

    fn open(&mut self) -> Result<(), (String, u32)> {
        if self.kind == Kind::CommandLine {
            let text = "block directives are not supported in -g option";
            return Err((text.to_owned(), self.lexer.line()));
        }
        if self.depth + self.open.len() >= MAX_DEPTH {
            return Err((too_deep(), self.lexer.line()));
        }
        let head = self.statement();
        let before = std::mem::take(&mut self.statements);
        self.open.push((head, before));
        Ok(())
    }

    fn close(&mut self) {
        if let Some((mut head, before)) = self.open.pop() {
            head.body = Some(std::mem::replace(&mut self.statements, before));
            self.statements.push(head);
        }
    }

    fn explain(&self, error: &Error, line: u32) -> (String, u32) {
        match (self.kind, error) {
            (Kind::CommandLine, Error::Unclosed(..)) => {
                ("unexpected end of parameter, expecting \";\"".to_owned(), line)
            }
            _ => (error.to_string(), line),
        }
    }
}

pub fn too_deep() -> String {
    format!("blocks are nested too deep, at most {MAX_DEPTH} are allowed")
}

/// What must hold for any bytes at all. Called by fuzz/ on made-up input, and by `cargo test`.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let file: Arc<str> = Arc::from("any");
    let lines = 1 + input.iter().filter(|byte| **byte == b'\n').count();
    for kind in [Kind::File, Kind::CommandLine] {
        let outcome = parse(input, &file, kind, 0);
        assert!(outcome.is_whole || !outcome.faults.is_empty(), "a breach is a fault");
        for fault in &outcome.faults {
            assert!(fault.place().is_some_and(|place| place.line() as usize <= lines), "{fault}");
            assert!(!fault.to_string().contains(char::is_control), "a fault is one line: {fault}");
        }
        let mut written = String::new();
        if write(&outcome.statements, &mut written) {
            let again = parse(written.as_bytes(), &file, kind, 0);
            assert!(again.is_whole && again.faults.is_empty(), "{written}");
            let mut rewritten = String::new();
            write(&again.statements, &mut rewritten);
            assert_eq!(rewritten, written, "what is written is read back as the same");
        }
    }
}

/// Writes `statements` so that they can be read again; false if a word grew too long for that.
fn write(statements: &[Raw], out: &mut String) -> bool {
    let mut fits = true;
    for statement in statements {
        let words = std::iter::once(&statement.name).chain(statement.args.iter().map(|w| &w.text));
        for word in words {
            let quoted = quoted(word);
            fits &= quoted.len() <= super::lex::MAX_WORD;
            out.push_str(&quoted);
            out.push(' ');
        }
        match &statement.body {
            Some(body) => {
                out.push('{');
                fits &= write(body, out);
                out.push('}');
            }
            None => out.push(';'),
        }
    }
    fits
}

/// `word` as a quoted word.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
