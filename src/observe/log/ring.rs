//! The last warnings, kept for who asks: [`recent`].

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::Level;

/// How many are kept, each of a log's line at the longest.
pub const KEPT: usize = 200;

/// What is kept: this and what is worse, whatever the logs want.
pub const LEAST: Level = Level::Warn;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Keeps a line.
pub fn keep(line: &[u8]) {
    let line = String::from_utf8_lossy(line).trim_end().to_owned();
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() >= KEPT {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// The last of them, the oldest first.
pub fn recent() -> Vec<String> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}
