//! # config: the nginx dialect as a language
//!
//! Contract (the room is being built):
//!
//! ```ignore
//! pub struct Sources { prefix, main file, overrides (-g) }
//! pub fn load(path: &Path, prefix: &Path, overrides: Option<&str>,
//!             registry: &[&'static [Directive]]) -> Result<Tree, Faults>;   // reads, includes, checks
//! impl Tree { fn root(&self) -> &Block; fn dump(&self) -> String; fn finish(&self) -> Result<(), Faults>; }
//! impl Block {
//!     // every getter marks what it read and records a fault (with file:line) for a bad value
//!     fn has(&self, name) -> bool;
//!     fn flag(&self, name) -> Option<bool>;             // on | off
//!     fn text(&self, name) -> Option<&str>;             // the one argument
//!     fn words(&self, name) -> Option<Vec<&str>>;       // all arguments
//!     fn number<T: FromStr + PartialOrd>(&self, name, range: impl RangeBounds<T>) -> Option<T>;
//!     fn size(&self, name) -> Option<u64>;              // 8k, 1m
//!     fn time(&self, name) -> Option<Duration>;         // 60s, 1m30s, 24h, 500ms
//!     fn choice<T: Copy>(&self, name, choices: &[(&str, T)]) -> Option<T>;
//!     fn path(&self, name) -> Option<PathBuf>;          // relative to the prefix
//!     fn all(&self, name) -> Vec<&Statement>;           // repeats
//!     fn blocks(&self, name) -> Vec<&Block>;            // block directives; Block::args() are theirs
//!     fn rows(&self) -> &[Statement];                   // of a Table block
//!     fn fault(&self, at: &Statement, text: impl Into<String>);
//!     fn of(pairs: &[(&str, &str)]) -> Block;           // for tests: arguments split at blanks
//!     fn names_read(&self) -> Vec<String>;
//! }
//! impl Statement { fn name(&self) -> &str; fn args(&self) -> &[String]; fn place(&self) -> Place /* FILE:LINE */ }
//! ```

mod directive;

pub use directive::{Context, Directive, EVENTS, MAIL, MAIN, ROUTE, SERVER, Takes, UPSTREAM};
