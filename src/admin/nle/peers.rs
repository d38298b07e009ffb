//! What the log hears of peers that are hung up on: a line a second, and how many were not told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const AT_MOST_ONCE_IN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Complaint(Mutex<(Option<Instant>, u64)>);

impl Complaint {
    /// Whether it is time for a line, and if so, how many there were since the last one.
    pub fn is_due(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, others) = &mut *said;
        if last.is_some_and(|last| now < last + AT_MOST_ONCE_IN) {
            *others = others.saturating_add(1);
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_a_second() {
        let (complaint, start) = (Complaint::default(), Instant::now());
        let at = |millis| complaint.is_due(start + Duration::from_millis(millis));
        assert_eq!(at(0), Some(0));
        assert_eq!((at(1), at(999)), (None, None));
        assert_eq!(at(1000), Some(2));
        assert_eq!(at(2500), Some(0));
    }
}
