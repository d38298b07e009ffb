//! The log of what outlives a reload: each configuration brings its own.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::observe::{Level, Log};

/// Says lines that belong to no session. Silent until it has a log. Cheap to clone.
#[derive(Clone, Default)]
pub struct Voice(Arc<ArcSwapOption<Log>>);

impl Voice {
    /// From now on lines go there.
    pub fn speak_to(&self, log: &Log) {
        self.0.store(Some(Arc::new(log.clone())));
    }

    pub fn say(&self, level: Level, message: impl fmt::Display) {
        if let Some(log) = &*self.0.load() {
            log.line(level, None, message);
        }
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Voice")
    }
}
