//! When something ends, as an admin writes it.

use jiff::Zoned;
use jiff::civil::Time;

use crate::admin::api::When;
use crate::config::value;

/// Reads `2h`, `18:30` (the next one, in the zone of `now`) or `2026-11-20T18:30:00Z`.
pub fn parse(text: &str, now: &Zoned) -> Result<When, String> {
    let end = if let Ok(instant) = text.parse::<When>() {
        instant
    } else if let Some(time) = time_of_day(text) {
        let fail = |_| format!("there is no {text} today or tomorrow");
        let today = now.with().time(time).build().map_err(fail)?;
        let next = if today > *now {
            today
        } else {
            let tomorrow = now.tomorrow().map_err(fail)?;
            tomorrow.with().time(time).build().map_err(fail)?
        };
        When::from(next.timestamp())
    } else if let Ok(span) = value::read_time(text) {
        let span = jiff::SignedDuration::try_from(span).ok();
        let end = span.and_then(|span| now.timestamp().checked_add(span).ok());
        When::from(end.ok_or_else(|| format!("{text} is too long"))?)
    } else {
        return Err(format!("\"{text}\" is no time: write 2h, 18:30 or 2026-11-20T18:30:00Z"));
    };
    match end > When::from(now.timestamp()) {
        true => Ok(end),
        false => Err(format!("{text} is over")),
    }
}

/// `HH:MM`, nothing less.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_two.then(|| digits.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_an_instant_a_time_of_day_or_a_span() {
        let now: Zoned = "2026-11-20T18:22:18+02:00[+02:00]".parse().unwrap();
        for (text, want) in [
            ("2h", "2026-11-20T18:22:18Z"),
            ("1h30m", "2026-11-20T17:52:18Z"),
            ("90", "2026-11-20T16:23:48Z"),
            ("18:30", "2026-11-20T16:30:00Z"),
            // The next one is tomorrow's.
            ("18:22", "2026-11-21T16:22:00Z"),
            ("00:00", "2026-11-20T22:00:00Z"),
            ("2026-11-20T20:00:00+02:00", "2026-11-20T18:00:00Z"),
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(parse(text, &now).unwrap().to_string(), want, "{text}");
        }
        for (text, want) in [
            ("", "is no time"),
            ("soon", "is no time"),
            ("24:00", "is no time"),
            ("7:00", "is no time"),
            ("2026-11-20", "is no time"),
            ("2020-01-01T00:00:00Z", "is over"),
            ("0s", "is over"),
        ] {
            let wrong = parse(text, &now).unwrap_err();
            assert!(wrong.contains(want), "{text}: {wrong}");
        }
    }
}
