//! What a log is called once it has been turned: `NAME-20261121`, then `NAME-20261121-1`; compressed
//! with `.gz` at its end.

/// One turned log, as its name tells. Ordered by age, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turned {
    /// Year, month and day, as one number: 20261121.
    pub date: u32,
    /// The how manyth of that day, from 0.
    pub number: u32,
    pub form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Plain,
    Compressed,
    /// Not yet whole: a crash may have left it.
    Part,
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Compressed => ".gz",
            Self::Part => ".gz.part",
        }
    }
}

/// Reads the name of a file beside the log `name`; None for whatever is not ours.
pub fn parse(name: &str, file: &str) -> Option<Turned> {
    let rest = file.strip_prefix(name)?.strip_prefix('-')?;
    let (rest, form) = [Form::Part, Form::Compressed]
        .into_iter()
        .find_map(|form| Some((rest.strip_suffix(form.ending())?, form)))
        .unwrap_or((rest, Form::Plain));
    let (date, number) = match rest.split_once('-') {
        Some((date, number)) => (date, digits(number, 1..=9).filter(|number| *number > 0)?),
        None => (rest, 0),
    };
    let turned = Turned { date: digits(date, 8..=8)?, number, form };
    // `-01` and the like: not a name that was given here.
    (turned.name(name) == file).then_some(turned)
}

fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let is_number = count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// The name for the next one of `date`, behind all that there have been.
pub fn next(date: u32, there: &[Turned]) -> Turned {
    let of_the_day = there.iter().filter(|turned| turned.date == date);
    let number = of_the_day.map(|turned| turned.number.saturating_add(1)).max().unwrap_or(0);
    Turned { date, number, form: Form::Plain }
}

impl Turned {
    /// Its name beside the log `name`.
    pub fn name(self, name: &str) -> String {
        let ending = self.form.ending();
        match self.number {
            0 => format!("{name}-{:08}{ending}", self.date),
            number => format!("{name}-{:08}-{number}{ending}", self.date),
        }
    }

    pub fn with(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// The same log, in whatever form.
    pub fn key(self) -> (u32, u32) {
        (self.date, self.number)
    }
}

/// What must hold for the name of any file.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (name, file) = text.split_once('\n').unwrap_or(("error.log", text));
    if let Some(turned) = parse(name, file) {
        assert_eq!(turned.name(name), file);
        let next = next(turned.date, &[turned]);
        assert!(next.number == u32::MAX || next.key() > turned.key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(date: u32, number: u32, form: Form) -> Option<Turned> {
        Some(Turned { date, number, form })
    }

    #[test]
    fn only_names_that_were_given_here_are_ours() {
        for (file, want) in [
            ("a.log-20261121", turned(20_261_121, 0, Form::Plain)),
            ("a.log-20261121.gz", turned(20_261_121, 0, Form::Compressed)),
            ("a.log-20261121-12.gz", turned(20_261_121, 12, Form::Compressed)),
            ("a.log-20261121-1.gz.part", turned(20_261_121, 1, Form::Part)),
            ("a.log", None),
            ("a.log.1", None),
            ("a.log-", None),
            ("a.log-2026112", None),
            ("a.log-202611211", None),
            ("a.log-20261121-0", None),
            ("a.log-20261121-01", None),
            ("a.log-20261121-1-1", None),
            ("a.log-20261121.bz2", None),
            ("a.log-20261121.gz.gz", None),
            ("a.log-+0261121", None),
            ("ba.log-20261121", None),
            ("a.log-old-20261121", None),
        ] {
            assert_eq!(parse("a.log", file), want, "{file}");
        }
    }

    #[test]
    fn the_next_name_is_behind_all_of_the_day_whatever_was_deleted() {
        assert_eq!(next(20_261_121, &[]).name("a"), "a-20261121");
        let there: Vec<_> =
            ["a-20261120-9", "a-20261121-3.gz"].iter().filter_map(|f| parse("a", f)).collect();
        assert_eq!(next(20_261_121, &there).name("a"), "a-20261121-4");
        assert!(there[0] < there[1]);
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_name(input in "a\\.log-[0-9]{7,9}(-[0-9]{1,10})?(\\.gz)?(\\.part)?") {
            hold_for_any(format!("a.log\n{input}").as_bytes());
        }
    }
}
