//! When is a warning due?

use std::collections::HashMap;
use std::path::PathBuf;

use crate::tls::certs::Expiry;

const DAY: i64 = 86_400;

/// Days before the end; 0 is the end.
const STAGES: [i64; 6] = [0, 1, 3, 7, 14, 30];

/// A certificate that ends soon, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub name: String,
    /// Whole ones that are left; below 0 when it has ended.
    pub days: i64,
    pub is_over: bool,
    pub file: PathBuf,
}

/// What has been warned of: by the file, its end and the last stage.
#[derive(Debug, Default)]
pub struct Told(HashMap<PathBuf, (i64, i64)>);

impl Told {
    /// One for each certificate that has come to another stage. `now` in seconds since 1970.
    pub fn news(&mut self, all: &[Expiry], now: i64) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut fresh = HashMap::new();
        for one in all {
            let left = one.not_after.saturating_sub(now);
            let due = STAGES.into_iter().find(|days| left <= days * DAY);
            let Some(stage) = due else { continue };
            let state = (one.not_after, stage);
            // Several servers may share it.
            if fresh.insert(one.certificate.clone(), state).is_none()
                && self.0.get(&one.certificate) != Some(&state)
            {
                warnings.push(Warning {
                    name: one.name.clone(),
                    days: left.div_euclid(DAY),
                    is_over: left <= 0,
                    file: one.certificate.clone(),
                });
            }
        }
        self.0 = fresh;
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_told_once() {
        let end = 100 * DAY;
        let one =
            Expiry { certificate: "/a.crt".into(), not_after: end, name: "a.example".to_owned() };
        let mut told = Told::default();
        let mut days = Vec::new();
        for hours in 0..(102 * 24) {
            let news = told.news(&[one.clone(), one.clone()], hours * 3600);
            days.extend(news.iter().map(|warning| (warning.days, warning.is_over)));
        }
        assert_eq!(days, [(30, false), (14, false), (7, false), (3, false), (1, false), (0, true)]);
        let renewed = Expiry { not_after: end + 80 * DAY, ..one.clone() };
        assert_eq!(told.news(std::slice::from_ref(&renewed), end), []);
        assert_eq!(told.news(std::slice::from_ref(&one), end - 20 * DAY).len(), 1, "begins anew");
    }
}
