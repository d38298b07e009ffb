//! # conf: from the settings to the configuration in force
//!
//! **For.** Templates and settings become the files that gatepost reads, and no reader ever sees half
//! of them.
//!
//! **In and out.** [`expand`] takes settings and [`Templates`] (the shipped ones, overlaid by
//! `templates.d/`) and gives [`Files`]. [`Store`] keeps them as generations,
//! `generations/NUMBER-TIME/`, and the link `current` leads to the one in force. [`check`] asks boot
//! whether a gatepost could start with one. [`flat`] puts included files in their places.
//!
//! **Promises.**
//! - A generation is written and flushed whole, and checked where it lies, before `current` is changed
//!   by one rename(2). Nothing else is changed in place: a crash anywhere leaves the old generation
//!   or the new one ([`Step`]), and what it left behind is cleared by the next run.
//! - The reader follows `current` once for all files that it reads.
//! - Two runs at once wait for each other. The generation in force is never pruned.
//! - Names of hosts stay names, paths become absolute, secrets stay in their files.
//!
//! **Limits.** It does not tell a running gatepost: `gatepost -s reload` does.

mod difference;
mod expand;
mod flat;
mod overlay;
mod shipped;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use difference::difference;
pub use expand::{Files, Wish, expand};
pub use flat::{Shape, flat};
pub use overlay::{Origin, Templates};
#[cfg(test)]
pub use store::Step;
pub use store::{Generation, Store, Trouble};

use crate::boot::{self, Options};

/// Whether a gatepost could start with the configuration in `folder`.
///
/// # Errors
/// Every fault, a line each.
pub fn check(prefix: &Path, folder: &Path, main: &str) -> Result<(), Vec<String>> {
    let options = Options {
        prefix: prefix.to_owned(),
        configuration: folder.join(main),
        directives: None,
        error_log: None,
    };
    boot::test(&options).map(|_| ()).map_err(|unusable| unusable.faults)
}
