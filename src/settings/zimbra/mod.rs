//! From what Zimbra's `zmprov` prints to settings.
//!
//! [`read`] takes the output of `zmprov gacf` (the site), `gs NAME` (a server) and `gd NAME` (a
//! domain), any number in any order; [`plan`] says what becomes of each attribute.

mod dump;
mod plan;

pub use dump::{Entry, Of, hold_for_any, read};
pub use plan::{Plan, plan};

#[cfg(test)]
mod tests;
