//! Memory in which records are opened and sealed, one for all sessions of a thread.

use std::cell::Cell;

use super::{FEW, PIECE};

/// What waits, a piece, and what sealing adds: at most 29 bytes for each 16 KiB, and a key update.
pub const SIZE: usize = FEW + PIECE + 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends it for the time of one call. What other sessions left in it is still there.
pub fn lend<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with(|scratch| {
        // Taken, not borrowed: whoever is called meanwhile may lend some too.
        let mut bytes = scratch.take();
        if bytes.is_empty() {
            bytes = vec![0; SIZE];
        }
        let done = work(&mut bytes);
        scratch.set(bytes);
        done
    })
}
