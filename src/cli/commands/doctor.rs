//! `gatepost doctor`.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::{Done, Failure, Screen, mood};
use crate::admin::Client;
use crate::admin::api::{Diagnosis, DoctorAsk, Outcome, Password};
use crate::cli::command::{Doctor, Patient};
use crate::cli::human;
use crate::cli::table::{Cell, Table};

/// The longest password, in bytes.
const MAX_PASSWORD: u64 = 1024;

pub async fn run(doctor: Doctor, client: &Client, screen: &mut Screen<'_>) -> Done {
    let (call, patient) = match doctor {
        Doctor::Upstream { patient } => ("/v1/doctor/upstream", patient),
        Doctor::Lookup { patient } => ("/v1/doctor/lookup", patient),
        Doctor::Clientip { patient } => ("/v1/doctor/clientip", patient),
    };
    let Patient { name, login, password_file } = patient;
    let password = match password_file {
        None => None,
        Some(path) => Some(password(&path, screen)?),
    };
    let found: Diagnosis = client.post(call, &DoctorAsk { name, login, password }).await?;
    let exit = u8::from(!found.ok);
    if screen.has_json(&found) {
        return Ok(exit);
    }
    let mut table = Table::new(&["TARGET", "STEP", "RESULT", "TIME", ""]);
    for step in &found.steps {
        let outcome = step.outcome.name();
        let time = match step.outcome {
            Outcome::Skipped => Cell::none(),
            _ => Cell::number(human::millis(step.ms)),
        };
        table.row([
            (&step.target).into(),
            (&step.step).into(),
            Cell::moody(outcome, mood(outcome)),
            time,
            (&step.text).into(),
        ]);
    }
    if !table.is_empty() {
        screen.table(&table);
    }
    let name = human::text(&found.name);
    match &found.failed {
        None => screen.line(format!("{name}: all is well")),
        Some(step) => screen.line(format!("{name}: {} fails", human::text(step))),
    }
    Ok(exit)
}

/// The first line of a file, or of standard input.
fn password(path: &Path, screen: &mut Screen<'_>) -> Result<Password, Failure> {
    fn first_line(from: impl BufRead) -> std::io::Result<Vec<u8>> {
        let mut line = Vec::new();
        from.take(MAX_PASSWORD).read_until(b'\n', &mut line)?;
        line.truncate(line.trim_ascii_end().len());
        Ok(line)
    }
    let read = if path == Path::new("-") {
        first_line(&mut *screen.input)
    } else {
        std::fs::File::open(path).and_then(|file| first_line(BufReader::new(file)))
    };
    let line = read.map_err(|error| {
        let words = crate::config::value::os_error(&error);
        Failure::Ours(format!("reading \"{}\" failed ({words})", path.display()))
    })?;
    Ok(Password::new(line))
}
