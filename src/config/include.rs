//! Files to statements: reads the main file and puts what `include` names in its place.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern};

use super::fault::{COMMAND_LINE, Collector, Fault, Place};
use super::parse::{Kind, Raw, parse};
use super::value::os_error;

/// One file, in bytes.
pub const MAX_FILE: u64 = 16 << 20;
/// All files together, in bytes, each counted as often as it is included.
pub const MAX_TOTAL: u64 = 64 << 20;
/// Files within files.
pub const MAX_INCLUDES: usize = 32;
/// Files read, each counted as often as it is included.
pub const MAX_FILES: usize = 10_000;

/// A file that was read, for `-T`.
#[derive(Debug)]
pub struct Source {
    pub path: Arc<str>,
    /// None for what is no file: the command line.
    pub content: Option<Vec<u8>>,
}

/// Reads files and keeps the books on them.
#[derive(Debug)]
pub struct Reader<'a> {
    /// Where relative patterns begin.
    conf_dir: PathBuf,
    faults: &'a Collector,
    /// Every file once, in the order they were first read.
    sources: Vec<Source>,
    /// The files being read, from the main file to the innermost.
    within: Vec<PathBuf>,
    files: usize,
    bytes: u64,
    is_whole: bool,
}

impl<'a> Reader<'a> {
    pub fn new(conf_dir: PathBuf, faults: &'a Collector) -> Self {
        Self {
            conf_dir,
            faults,
            sources: Vec::new(),
            within: Vec::new(),
            files: 0,
            bytes: 0,
            is_whole: true,
        }
    }

    /// The files read, and whether nothing was left out of what they say.
    pub fn into_sources(self) -> (Vec<Source>, bool) {
        (self.sources, self.is_whole)
    }

    /// The statements of `-g`.
    pub fn command_line(&mut self, text: &str) -> Vec<Raw> {
        self.source(text.as_bytes(), &Arc::from(COMMAND_LINE), Kind::CommandLine, 0)
    }

    /// The statements of `content`, as if it had been read from `path`.
    pub fn text(&mut self, content: &[u8], path: &Path) -> Vec<Raw> {
        self.source(content, &Arc::from(path.to_string_lossy()), Kind::File, 0)
    }

    /// The statements of `path`, which stands `depth` blocks deep, included at `from`.
    pub fn file(&mut self, path: &Path, depth: usize, from: Option<&Place>) -> Vec<Raw> {
        match self.open(path) {
            Ok((canonical, content)) => {
                let name: Arc<str> = Arc::from(path.to_string_lossy());
                self.within.push(canonical);
                let statements = self.source(&content, &name, Kind::File, depth);
                self.within.pop();
                // Ahead of what it includes, although only now is its content free to be moved.
                if let Some(source) = self.sources.iter_mut().find(|source| source.path == name) {
                    source.content = Some(content);
                }
                statements
            }
            Err(text) => {
                self.is_whole = false;
                self.faults.add(Fault::new(text, from.cloned()));
                Vec::new()
            }
        }
    }

    fn open(&mut self, path: &Path) -> Result<(PathBuf, Vec<u8>), String> {
        let shown = path.display();
        let failed = |call: &str, error: &io::Error| {
            format!("{call}() \"{shown}\" failed ({})", os_error(error))
        };
        let canonical = path.canonicalize().map_err(|error| failed("open", &error))?;
        if self.within.contains(&canonical) {
            return Err(format!("\"{shown}\" includes itself"));
        }
        if self.within.len() >= MAX_INCLUDES {
            return Err(format!(
                "includes are nested too deep, at most {MAX_INCLUDES} are allowed"
            ));
        }
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(format!("too many files, at most {MAX_FILES} can be included"));
        }
        let too_much = || format!("the files are larger than {MAX_TOTAL} bytes together");
        if self.bytes > MAX_TOTAL {
            return Err(too_much());
        }
        let file = File::open(path).map_err(|error| failed("open", &error))?;
        let mut content = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut content)
            .map_err(|error| failed("read", &error))?;
        let bytes = content.len() as u64;
        self.bytes += bytes;
        if bytes > MAX_FILE {
            return Err(format!("\"{shown}\" is larger than {MAX_FILE} bytes"));
        }
        if self.bytes > MAX_TOTAL {
            return Err(too_much());
        }
        Ok((canonical, content))
    }

    fn source(&mut self, content: &[u8], name: &Arc<str>, kind: Kind, depth: usize) -> Vec<Raw> {
        if !self.sources.iter().any(|source| source.path == *name) {
            self.sources.push(Source { path: Arc::clone(name), content: None });
        }
        let outcome = parse(content, name, kind, depth);
        self.is_whole &= outcome.is_whole;
        outcome.faults.into_iter().for_each(|fault| self.faults.add(fault));
        self.expand(outcome.statements, depth)
    }

    /// Replaces each `include PATTERN;`. Any other shape of it is left for the check to refuse: in
    /// a table it may be a row.
    fn expand(&mut self, statements: Vec<Raw>, depth: usize) -> Vec<Raw> {
        let mut expanded = Vec::with_capacity(statements.len());
        for mut statement in statements {
            match (&*statement.name, &*statement.args, statement.body.take()) {
                ("include", [pattern], None) => {
                    expanded.extend(self.include(&pattern.text, &statement.place, depth));
                }
                (_, _, body) => {
                    statement.body = body.map(|body| self.expand(body, depth + 1));
                    expanded.push(statement);
                }
            }
        }
        expanded
    }

    fn include(&mut self, pattern: &str, place: &Place, depth: usize) -> Vec<Raw> {
        if !pattern.contains(['*', '?', '[']) {
            return self.file(&self.conf_dir.join(pattern), depth, Some(place));
        }
        let mut statements = Vec::new();
        for path in self.matches(pattern, place) {
            statements.extend(self.file(&path, depth, Some(place)));
        }
        statements
    }

    /// The files that match, sorted.
    fn matches(&mut self, pattern: &str, place: &Place) -> Vec<PathBuf> {
        // Only the pattern may have wildcards, not the directory it is looked for in.
        let base = Pattern::escape(&self.conf_dir.to_string_lossy());
        let whole = Path::new(&base).join(without_runs_of_stars(pattern));
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let mut paths = Vec::new();
        let mut refuse = |text: String| {
            self.is_whole = false;
            self.faults.add(Fault::new(text, Some(place.clone())));
        };
        match glob::glob_with(&whole.to_string_lossy(), options) {
            Ok(found) => {
                for path in found {
                    match path {
                        Ok(path) => paths.push(path),
                        Err(error) => refuse(format!(
                            "glob() \"{}\" failed ({})",
                            error.path().display(),
                            os_error(error.error())
                        )),
                    }
                }
            }
            Err(error) => refuse(format!("invalid pattern \"{pattern}\": {}", error.msg)),
        }
        paths.sort();
        paths
    }
}

/// `**` is `*`, as in nginx: no pattern walks whole trees of directories.
fn without_runs_of_stars(pattern: &str) -> String {
    let mut single = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if c != '*' || !single.ends_with('*') {
            single.push(c);
        }
    }
    single
}
