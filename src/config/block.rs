//! Statements and blocks, as the rooms read them.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::fault::{Collector, Fault, Place};
#[cfg(test)]
use super::value::Cidr;
use super::value::{self, Wrong};

/// `NAME ARGS…` and where it stands; cheap to clone.
#[derive(Clone)]
pub struct Statement {
    head: Arc<Head>,
    block: Option<Block>,
}

#[derive(Debug)]
pub struct Head {
    pub name: String,
    pub args: Vec<String>,
    pub place: Place,
}

impl Statement {
    pub fn new(head: Arc<Head>, block: Option<Block>) -> Self {
        Self { head, block }
    }

    pub fn name(&self) -> &str {
        &self.head.name
    }

    pub fn args(&self) -> &[String] {
        &self.head.args
    }

    /// The argument at `index`, from 0.
    pub fn arg(&self, index: usize) -> Option<&str> {
        self.head.args.get(index).map(String::as_str)
    }

    pub fn place(&self) -> Place {
        self.head.place.clone()
    }

    /// The block that follows, of a directive that takes one.
    pub fn block(&self) -> Option<&Block> {
        self.block.as_ref()
    }

    fn spell(&self, bytes: &mut Vec<u8>) {
        for word in std::iter::once(&self.head.name).chain(&self.head.args) {
            bytes.extend_from_slice(word.len().to_string().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(word.as_bytes());
        }
        if let Some(block) = &self.block {
            bytes.push(b'{');
            block.0.statements.iter().for_each(|inner| inner.spell(bytes));
            bytes.push(b'}');
        }
        bytes.push(b';');
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments may be secrets.
        write!(f, "Statement({} in {})", self.name(), self.head.place)
    }
}

/// What all blocks of one configuration share.
#[derive(Debug, Default)]
pub struct Shared {
    pub faults: Collector,
    pub prefix: PathBuf,
    pub conf_dir: PathBuf,
}

/// The statements between `{` and `}`, or all of the main file; cheap to clone, and clones share
/// their marks.
///
/// Every getter marks the name it was asked for as read. A value that is not what was asked for is
/// recorded as a fault and read as `None`, so a room reads on and all faults come out at once.
#[derive(Clone)]
pub struct Block(Arc<Inner>);

struct Inner {
    head: Arc<Head>,
    statements: Vec<Statement>,
    asked: Mutex<BTreeSet<String>>,
    /// Its rows were read: names do not matter.
    rows_read: AtomicBool,
    shared: Arc<Shared>,
}

impl Block {
    pub fn new(head: Arc<Head>, statements: Vec<Statement>, shared: &Arc<Shared>) -> Self {
        Self(Arc::new(Inner {
            head,
            statements,
            asked: Mutex::default(),
            rows_read: AtomicBool::new(false),
            shared: Arc::clone(shared),
        }))
    }

    /// What stands in it, without marking it as read.
    pub fn statements(&self) -> &[Statement] {
        &self.0.statements
    }

    /// The directive it belongs to; empty for the main file.
    pub fn name(&self) -> &str {
        &self.0.head.name
    }

    /// What stands between the name and the `{`.
    pub fn args(&self) -> &[String] {
        &self.0.head.args
    }

    pub fn place(&self) -> Place {
        self.0.head.place.clone()
    }

    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// `on` or `off`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.first(name).and_then(|at| self.flag_of(at, 0))
    }

    /// The one argument.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.first(name).and_then(|at| at.arg(0))
    }

    /// All arguments.
    pub fn words(&self, name: &str) -> Option<Vec<&str>> {
        self.first(name).map(|at| at.args().iter().map(String::as_str).collect())
    }

    /// A number within `range`.
    pub fn number<T>(&self, name: &str, range: impl RangeBounds<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.first(name).and_then(|at| self.number_of(at, 0, range))
    }

    /// Bytes: `512`, `8k`, `1m`, `2g`.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.first(name).and_then(|at| self.size_of(at, 0))
    }

    /// `60s`, `1m30s`, `24h`, `500ms`; see [`value::time`].
    pub fn time(&self, name: &str) -> Option<Duration> {
        self.first(name).and_then(|at| self.time_of(at, 0))
    }

    /// An address or a network.
    #[cfg(test)]
    pub fn cidr(&self, name: &str) -> Option<Cidr> {
        self.first(name).and_then(|at| self.cidr_of(at, 0))
    }

    /// One of these words.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        self.first(name).and_then(|at| self.choice_of(at, 0, choices))
    }

    /// A path; a relative one begins at the prefix, as nginx takes those of logs and pid files.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.first(name).and_then(|at| self.path_of(at, 0))
    }

    /// A path; a relative one begins where the main file lies, as nginx takes those of
    /// certificates.
    pub fn conf_path(&self, name: &str) -> Option<PathBuf> {
        self.first(name).and_then(|at| self.conf_path_of(at, 0))
    }

    /// The statement of a directive that does not repeat.
    pub fn statement(&self, name: &str) -> Option<&Statement> {
        self.first(name)
    }

    /// Every statement of a directive that repeats.
    pub fn all(&self, name: &str) -> Vec<&Statement> {
        self.mark(name);
        self.0.statements.iter().filter(|statement| statement.name() == name).collect()
    }

    /// Every statement of these directives, in the order in which they are written.
    pub fn all_of(&self, names: &[&str]) -> Vec<&Statement> {
        names.iter().for_each(|name| self.mark(name));
        self.0.statements.iter().filter(|statement| names.contains(&statement.name())).collect()
    }

    /// Every block of a directive that takes one.
    pub fn blocks(&self, name: &str) -> Vec<&Self> {
        self.all(name).into_iter().filter_map(Statement::block).collect()
    }

    /// The rows of a table, each with its key for a name.
    pub fn rows(&self) -> &[Statement] {
        self.0.rows_read.store(true, Ordering::Relaxed);
        &self.0.statements
    }

    /// How the statements of these names are spelled, with all that is within them, in an encoding
    /// that tells any two apart; empty where there are none. Nothing counts as read by it.
    pub fn spelling(&self, names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            let named = self.0.statements.iter().filter(|statement| statement.name() == *name);
            named.for_each(|statement| statement.spell(&mut bytes));
        }
        bytes
    }

    pub fn flag_of(&self, at: &Statement, index: usize) -> Option<bool> {
        self.read(at, index, "\"on\" or \"off\"", |word| value::flag(word).ok_or(Wrong::Form))
    }

    pub fn number_of<T>(
        &self,
        at: &Statement,
        index: usize,
        range: impl RangeBounds<T>,
    ) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.read(at, index, &describe(&range), |word| {
            let is_signed_plus = word.starts_with('+');
            let number = word.parse().ok().filter(|_| !is_signed_plus);
            number.filter(|number| range.contains(number)).ok_or(Wrong::Form)
        })
    }

    pub fn size_of(&self, at: &Statement, index: usize) -> Option<u64> {
        self.read(at, index, "a size such as \"512\", \"8k\" or \"1m\"", value::read_size)
    }

    pub fn time_of(&self, at: &Statement, index: usize) -> Option<Duration> {
        self.read(at, index, "a time such as \"500ms\", \"30s\" or \"1m30s\"", value::read_time)
    }

    #[cfg(test)]
    pub fn cidr_of(&self, at: &Statement, index: usize) -> Option<Cidr> {
        let expected = "an address or a network such as \"10.0.0.0/8\"";
        self.read(at, index, expected, |word| value::cidr(word).ok_or(Wrong::Form))
    }

    pub fn choice_of<T: Copy>(
        &self,
        at: &Statement,
        index: usize,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        self.read(at, index, &either(&names), |word| {
            let chosen = choices.iter().find(|(name, _)| *name == word);
            chosen.map(|(_, choice)| *choice).ok_or(Wrong::Form)
        })
    }

    pub fn path_of(&self, at: &Statement, index: usize) -> Option<PathBuf> {
        self.read(at, index, "a path", |word| full(&self.0.shared.prefix, word))
    }

    pub fn conf_path_of(&self, at: &Statement, index: usize) -> Option<PathBuf> {
        self.read(at, index, "a path", |word| full(&self.0.shared.conf_dir, word))
    }

    /// The argument at `index` as `read` takes it. None where there is no such argument: how many
    /// there are was checked against the directive's record before.
    pub fn read<T>(
        &self,
        at: &Statement,
        index: usize,
        expected: &str,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let word = at.arg(index)?;
        match read(word) {
            Ok(value) => return Some(value),
            Err(Wrong::Form) => self.fault(at, invalid(word, at.name(), expected)),
            Err(Wrong::TooLarge) => {
                let text = format!(
                    "invalid value \"{word}\" in \"{}\" directive, it is too large",
                    at.name()
                );
                self.fault(at, text);
            }
        }
        None
    }

    /// Records that `at` is wrong.
    pub fn fault(&self, at: &Statement, text: impl Into<String>) {
        self.0.shared.faults.add(Fault::new(text, Some(at.place())));
    }

    /// Records that the block as a whole is wrong: something is missing in it.
    pub fn fault_here(&self, text: impl Into<String>) {
        self.0.shared.faults.add(Fault::new(text, Some(self.place())));
    }

    /// Every name that a getter was asked for, whether it was there or not.
    #[cfg(test)]
    pub fn names_read(&self) -> Vec<String> {
        self.asked().iter().cloned().collect()
    }

    /// Records a fault for each statement that nobody read. Of a block that nobody read, its
    /// statements are not told one by one.
    pub fn check_all_read(&self) {
        if self.0.rows_read.load(Ordering::Relaxed) {
            return;
        }
        for statement in &self.0.statements {
            // The lock is not held while an inner block takes its own.
            let is_read = self.asked().contains(statement.name());
            match statement.block() {
                Some(block) if is_read => block.check_all_read(),
                _ if is_read => {}
                _ => {
                    let text = format!("\"{}\" directive is not used here", statement.name());
                    self.fault(statement, text);
                }
            }
        }
    }

    fn first(&self, name: &str) -> Option<&Statement> {
        self.mark(name);
        self.0.statements.iter().find(|statement| statement.name() == name)
    }

    fn mark(&self, name: &str) {
        let mut asked = self.asked();
        if !asked.contains(name) {
            asked.insert(name.to_owned());
        }
    }

    fn asked(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("name", &self.name())
            .field("place", &self.0.head.place)
            .field("statements", &self.0.statements)
            .finish()
    }
}

/// The words for a value that is none of `expected`.
pub fn invalid(word: &str, directive: &str, expected: &str) -> String {
    format!("invalid value \"{word}\" in \"{directive}\" directive, it must be {expected}")
}

fn full(base: &Path, word: &str) -> Result<PathBuf, Wrong> {
    if word.is_empty() || word.contains('\0') {
        return Err(Wrong::Form);
    }
    Ok(base.join(word))
}

/// `"a", "b" or "c"`.
fn either(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn describe<T: Display>(range: &impl RangeBounds<T>) -> String {
    let from = match range.start_bound() {
        Bound::Included(from) => Some(format!("from {from}")),
        Bound::Excluded(from) => Some(format!("above {from}")),
        Bound::Unbounded => None,
    };
    let to = match range.end_bound() {
        Bound::Included(to) => Some(format!("to {to}")),
        Bound::Excluded(to) => Some(format!("below {to}")),
        Bound::Unbounded => None,
    };
    match (from, to) {
        (Some(from), Some(to)) => format!("a number {from} {to}"),
        (Some(from), None) => format!("a number {from} upwards"),
        (None, Some(to)) => format!("a number {to}"),
        (None, None) => "a number".to_owned(),
    }
}

/// For the tests of the rooms that read blocks.
impl Block {
    /// A block of `(name, arguments)` pairs, the arguments written as in a file; places are
    /// `test:1`, `test:2`, …
    ///
    /// # Panics
    /// If the arguments break the grammar.
    #[cfg(test)]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let lines: Vec<_> = pairs.iter().map(|(name, args)| format!("{name} {args};\n")).collect();
        Self::parse(&lines.concat())
    }

    /// The block that `text` makes, unchecked against any directive; places are `test:LINE`.
    /// Blocks in it can be read as directives and as rows.
    ///
    /// # Panics
    /// If `text` breaks the grammar.
    #[cfg(test)]
    pub fn parse(text: &str) -> Self {
        use super::parse::{Kind, Raw, parse};

        fn statement(raw: Raw, shared: &Arc<Shared>) -> Statement {
            let args = raw.args.into_iter().map(|word| word.text).collect();
            let head = Arc::new(Head { name: raw.name, args, place: raw.place });
            let block = raw.body.map(|body| {
                let inner = body.into_iter().map(|raw| statement(raw, shared)).collect();
                Block::new(Arc::clone(&head), inner, shared)
            });
            Statement::new(head, block)
        }
        let file: Arc<str> = Arc::from("test");
        let outcome = parse(text.as_bytes(), &file, Kind::File, 0);
        assert_eq!(outcome.faults, [], "{text}");
        let shared = Arc::new(Shared::default());
        let raws = outcome.statements.into_iter();
        let statements = raws.map(|raw| statement(raw, &shared)).collect();
        Self::new(super::check::main_head(Place::new(&file, 0)), statements, &shared)
    }

    /// The faults found so far, each as the operator sees it.
    #[cfg(test)]
    pub fn faults(&self) -> Vec<String> {
        match self.0.shared.faults.sorted(&[]) {
            Ok(()) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getters_read_what_is_written() {
        let block = Block::of(&[
            ("flag", "off"),
            ("text", "'a b'"),
            ("words", "a '' b"),
            ("number", "7"),
            ("size", "8k"),
            ("time", "1m30s"),
            ("cidr", "10.0.0.0/8"),
            ("choice", "pop3"),
            ("path", "logs/a"),
            ("bare", ""),
        ]);
        assert_eq!(block.flag("flag"), Some(false));
        assert_eq!(block.text("text"), Some("a b"));
        assert_eq!(block.words("words"), Some(vec!["a", "", "b"]));
        assert_eq!(block.number("number", 1..=7), Some(7_u16));
        assert_eq!(block.size("size"), Some(8192));
        assert_eq!(block.time("time"), Some(Duration::from_secs(90)));
        assert_eq!(block.cidr("cidr"), value::cidr("10.0.0.0/8"));
        assert_eq!(block.choice("choice", &[("imap", 1), ("pop3", 2)]), Some(2));
        assert_eq!(block.path("path"), Some(PathBuf::from("logs/a")));
        assert!(block.has("bare"));
        assert_eq!((block.text("bare"), block.time("bare")), (None, None));
        assert_eq!(block.time("absent"), None);
        assert_eq!(block.faults(), [""; 0]);
        assert_eq!(block.names_read().len(), 11);
    }

    #[test]
    fn a_bad_value_is_a_fault_and_reads_as_unset() {
        let block =
            Block::of(&[("number", "+7"), ("size", "9x"), ("time", "none"), ("much", "999y")]);
        assert_eq!(block.number("number", 1..10), None::<i8>);
        // Said once, however often it is read.
        assert_eq!(block.number("number", 1..10), None::<i8>);
        assert_eq!(block.size("size"), None);
        assert_eq!(block.time("time"), None);
        assert_eq!(block.time("much"), None);
        assert_eq!(block.choice("time", &[("a", 1), ("b", 2), ("c", 3)]), None);
        block.fault_here("no \"x\" is given");
        let value = |word, name| format!("invalid value \"{word}\" in \"{name}\" directive, it ");
        let want = [
            "no \"x\" is given in test".to_owned(),
            value("+7", "number") + "must be a number from 1 below 10 in test:1",
            value("9x", "size") + "must be a size such as \"512\", \"8k\" or \"1m\" in test:2",
            value("none", "time")
                + "must be a time such as \"500ms\", \"30s\" or \"1m30s\" in test:3",
            value("none", "time") + "must be \"a\", \"b\" or \"c\" in test:3",
            value("999y", "much") + "is too large in test:4",
        ];
        assert_eq!(block.faults(), want);
    }

    #[test]
    fn a_fault_of_an_inner_block_reaches_the_outer() {
        let block = Block::parse("mail {\n server x {\n  time never;\n }\n}");
        let server = block.blocks("mail")[0].blocks("server")[0].clone();
        assert_eq!((server.name(), server.args()), ("server", &["x".to_owned()][..]));
        assert_eq!(server.time("time"), None);
        assert_eq!(block.faults().len(), 1);
        block.check_all_read();
        assert_eq!(block.faults().len(), 1, "all was read");
    }

    #[test]
    fn paths_begin_at_the_prefix_or_at_the_main_file() {
        let shared =
            Shared { prefix: "/p".into(), conf_dir: "/p/conf".into(), ..Shared::default() };
        let place = Place::new(&Arc::from("test"), 1);
        let head = |name: &str, arg: &str| {
            let args = vec![arg.to_owned()];
            Arc::new(Head { name: name.to_owned(), args, place: place.clone() })
        };
        let statements = [("a", "x"), ("b", "/x"), ("c", ""), ("d", "x\0y")]
            .map(|(name, arg)| Statement::new(head(name, arg), None));
        let block = Block::new(head("", ""), statements.to_vec(), &Arc::new(shared));
        assert_eq!(block.path("a"), Some("/p/x".into()));
        assert_eq!(block.conf_path("a"), Some("/p/conf/x".into()));
        assert_eq!(block.conf_path("b"), Some("/x".into()));
        assert_eq!((block.path("c"), block.path("d")), (None, None));
        assert_eq!(block.faults().len(), 2);
    }
}
