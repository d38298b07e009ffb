//! # config: the nginx dialect as a language
//!
//! Reads the files an operator writes, checks every statement against the records of the rooms'
//! directives, and gives each room the blocks it is to read. It knows no room: `boot` brings the
//! registry along.
//!
//! **In and out.** [`load`] takes the main file and the registry and gives a [`Tree`] of
//! [`Block`]s. A room reads its values with the getters of [`Block`]. [`Tree::finish`] tells
//! everything that was wrong, from the first unknown name to the last value out of range.
//!
//! **Directives.** [`DIRECTIVES`]: `include`, which belongs to the language.
//!
//! **Promises.**
//! - The grammar and the words for a breach of it are nginx's.
//! - All faults of all files come out at once, each with its file and line, one line each. Only a
//!   breach of the grammar hides what follows it in that file.
//! - Nothing is ignored: a directive that no room has read is a fault.
//! - No input makes it panic, recurse or grow without bound (`MAX_…` in `lex`, `parse`, `include`).
//!
//! **Limits.** No variables: `$` is a letter like any other. In a table, a row of the key `include`
//! and one word is an include.

mod block;
mod check;
mod directive;
pub mod docs;
mod dump;
pub mod effective;
mod fault;
mod include;
mod lex;
mod parse;
mod rows;
#[cfg(test)]
mod tests;
pub mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use block::{Block, Statement};
pub use directive::{
    Context, Directive, EVENTS, LOOKUP, MAIL, MAIN, MEMCACHED, ROUTE, ROUTE_LDAP, ROUTE_SQL,
    SERVER, Secret, Takes, UPSTREAM, ZM_LOOKUP,
};
pub use fault::{Faults, Place};
pub use parse::hold_for_any;
pub use rows::rows;
pub use value::Cidr;

use block::Shared;
use include::{Reader, Source};
use parse::Raw;

/// What the language itself brings along.
pub const DIRECTIVES: &[Directive] = &[Directive {
    name: "include",
    within: &[
        MAIN, EVENTS, MAIL, SERVER, UPSTREAM, ROUTE, MEMCACHED, LOOKUP, ZM_LOOKUP, ROUTE_SQL,
        ROUTE_LDAP,
    ],
    takes: Takes::Args(1, 1),
    repeats: true,
    default: "",
    secret: Secret::None,
    doc: "Puts the content of another file, or of all files that match a pattern (`*`, `?`, \
          `[…]`), in its place, sorted by name. Relative names begin at the directory of the main \
          configuration file. A file that is missing is an error; a pattern that matches nothing \
          is not.",
}];

/// A configuration that was read.
#[derive(Debug)]
pub struct Tree {
    root: Block,
    sources: Vec<Source>,
}

/// Reads the configuration at `path` (relative to `prefix`), with the directives of `overrides`
/// (`-g`) before it, and checks it against `registry`.
///
/// # Errors
/// Only if something could not be read to its end: a file is missing or breaks the grammar. Other
/// faults are kept for [`Tree::finish`], so that bad values come out together with unknown names.
pub fn load(
    path: &Path,
    prefix: &Path,
    overrides: Option<&str>,
    registry: &[&'static [Directive]],
) -> Result<Tree, Faults> {
    let path = followed(prefix.join(path));
    let conf_dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let shared = Arc::new(Shared {
        faults: fault::Collector::default(),
        prefix: prefix.to_path_buf(),
        conf_dir: conf_dir.clone(),
    });
    let mut reader = Reader::new(conf_dir, &shared.faults);
    let mut statements = overrides.map(|text| reader.command_line(text)).unwrap_or_default();
    statements.extend(reader.file(&path, 0, None));
    tree(reader, statements, &path, &shared, registry)
}

/// Where the main file's folder is a link (`current/gatepost.conf`), the file where it lies. The link
/// is followed once: it may be changed while files are read, and all must be of one generation.
fn followed(path: PathBuf) -> PathBuf {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return path };
    match (folder.read_link(), folder.parent()) {
        (Ok(target), Some(above)) => above.join(target).join(name),
        _ => path,
    }
}

/// Reads `text`, as the file at `path` would be read. For what must hold for any text.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    text: &[u8],
    path: &Path,
    registry: &[&'static [Directive]],
) -> Result<Tree, Faults> {
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let shared = Arc::new(Shared {
        faults: fault::Collector::default(),
        prefix: folder.clone(),
        conf_dir: folder.clone(),
    });
    let mut reader = Reader::new(folder, &shared.faults);
    let statements = reader.text(text, path);
    tree(reader, statements, path, &shared, registry)
}

fn tree(
    reader: Reader<'_>,
    statements: Vec<Raw>,
    path: &Path,
    shared: &Arc<Shared>,
    registry: &[&'static [Directive]],
) -> Result<Tree, Faults> {
    let (sources, is_whole) = reader.into_sources();
    let main = Place::new(&Arc::from(path.to_string_lossy()), 0);
    let checker = check::Checker::new(registry, shared);
    let root = checker.block(check::main_head(main), statements, MAIN);
    let tree = Tree { root, sources };
    if !is_whole {
        tree.faults()?;
    }
    Ok(tree)
}

impl Tree {
    /// The main file's block.
    pub fn root(&self) -> &Block {
        &self.root
    }

    /// All files as they were read: what `-T` shows.
    pub fn dump(&self) -> String {
        dump::dump(&self.sources)
    }

    /// What is in force, as one text without secrets: for others to see.
    pub fn effective(
        &self,
        registry: &[&'static [Directive]],
        shows_users: bool,
    ) -> effective::Effective {
        effective::of(&self.root, registry, shows_users)
    }

    /// The files read, the main file first.
    #[cfg(test)]
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.sources.iter().filter(|source| source.content.is_some());
        files.map(|source| PathBuf::from(&*source.path)).collect()
    }

    /// What has been found wrong so far.
    ///
    /// # Errors
    /// If there is a fault.
    pub fn faults(&self) -> Result<(), Faults> {
        let files: Vec<_> = self.sources.iter().map(|source| Arc::clone(&source.path)).collect();
        self.root.shared().faults.sorted(&files)
    }

    /// To be called when every room has read what is its own.
    ///
    /// # Errors
    /// Everything that is wrong, directives that nobody read among it.
    pub fn finish(&self) -> Result<(), Faults> {
        self.root.check_all_read();
        self.faults()
    }
}
