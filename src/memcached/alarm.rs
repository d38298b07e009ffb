//! What the log hears of servers that fail: at most one warning a minute, and one word when they
//! are back.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::observe::{Level, Log};

const AT_MOST_ONCE_IN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Alarm {
    log: ArcSwap<Log>,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    /// Servers that are down, whether a line named them or not.
    down: Vec<Arc<str>>,
    /// A warning stands, so its end is worth a line.
    is_open: bool,
    /// When something was last held back.
    held_back: Option<Instant>,
}

impl Alarm {
    pub fn new(log: Log) -> Self {
        Self { log: ArcSwap::from_pointee(log), said: Mutex::default() }
    }

    /// A reload has brought another log.
    pub fn tell(&self, log: Log) {
        self.log.store(Arc::new(log));
    }

    pub fn down(&self, server: &Arc<str>, cause: &dyn Display) {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.down.contains(server) {
            said.down.push(Arc::clone(server));
        }
        if said.last.is_some_and(|last| now < last + AT_MOST_ONCE_IN) {
            return;
        }
        (said.last, said.is_open) = (Some(now), true);
        drop(said);
        let text = format_args!(
            "memcached server {server} is down ({cause}): what it holds is looked up directly"
        );
        self.log.load().line(Level::Warn, None, text);
    }

    /// `server` makes believe that orders were missed, again and again.
    pub fn held_back(&self, server: &Arc<str>) {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.held_back.is_some_and(|last| now < last + AT_MOST_ONCE_IN) {
            return;
        }
        said.held_back = Some(now);
        drop(said);
        let text = format_args!(
            "memcached server {server} loses orders of the fleet again and again: \
             what is kept here is doubted every 30 s at most"
        );
        self.log.load().line(Level::Warn, None, text);
    }

    pub fn up(&self, server: &Arc<str>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.down.retain(|down| down != server);
        if !said.down.is_empty() || !std::mem::take(&mut said.is_open) {
            return;
        }
        drop(said);
        let text =
            format_args!("memcached server {server} is back: all servers of the cache are up");
        self.log.load().line(Level::Notice, None, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_warning_a_minute_and_one_word_when_all_is_well_again() {
        let (log, memory) = Log::memory(Level::Info);
        let alarm = Alarm::new(log);
        let (a, b): (Arc<str>, Arc<str>) = ("a:1".into(), "b:1".into());
        for second in 0..130 {
            alarm.down(&a, &"refused");
            if second == 30 {
                alarm.down(&b, &"silent");
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let lines = memory.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("[warn]") && lines[0].contains("a:1 is down (refused)"));
        alarm.up(&a);
        assert_eq!(memory.lines().len(), 3, "one is still down");
        alarm.up(&b);
        alarm.up(&b);
        let lines = memory.lines();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[3].contains("[notice]") && lines[3].contains("b:1 is back"));

        // It flaps within the minute: nothing is said of it, and no end of what was not said.
        alarm.down(&a, &"refused");
        alarm.up(&a);
        assert_eq!(memory.lines().len(), 4);

        for _ in 0..9 {
            alarm.held_back(&a);
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let lines = memory.lines();
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines[4].contains("[warn]") && lines[4].contains("a:1 loses orders"));
    }
}
