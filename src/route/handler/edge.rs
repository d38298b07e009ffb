//! The two moments that an operator wants to hear of: a handler is set aside, and it is back.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A handler has turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub lookup: Box<str>,
    pub url: Box<str>,
    pub turn: Turn,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    Aside { fails: u32, cause: String, since: SystemTime },
    Back { since: SystemTime },
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = shown(&self.url);
        match &self.turn {
            Turn::Aside { fails, cause, .. } => {
                let plural = if *fails == 1 { "" } else { "s" };
                write!(f, "lookup handler {url} set aside after {fails} failure{plural}: {cause}")
            }
            Turn::Back { .. } => write!(f, "lookup handler {url} answers again"),
        }
    }
}

impl Edge {
    pub fn is_back(&self) -> bool {
        matches!(self.turn, Turn::Back { .. })
    }
}

/// A URL as logs and figures show it: what stands behind a `?` may be a secret.
pub fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// Who wants to know at once.
pub type Hook = Arc<dyn Fn(&Edge) + Send + Sync>;

/// How many edges wait for somebody to tell them to.
const MOST: usize = 64;

/// Where edges go: to the hooks at once, and to whoever asks next, once.
#[derive(Default)]
pub struct Edges {
    hooks: Mutex<Vec<Hook>>,
    waiting: Mutex<VecDeque<Edge>>,
}

impl Edges {
    pub fn hook(&self, hook: Hook) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    /// `tells`: it waits for somebody with a log, too.
    pub fn add(&self, edge: Edge, tells: bool) {
        if tells {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() == MOST {
                waiting.pop_front();
            }
            waiting.push_back(edge.clone());
        }
        // Who is woken by a hook finds it there.
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for hook in hooks {
            hook(&edge);
        }
    }

    /// All that wait, in their order.
    pub fn take(&self) -> VecDeque<Edge> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Edges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edges")
    }
}
