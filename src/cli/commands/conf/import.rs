//! `gatepost conf import-zimbra`: what `zmprov` prints becomes settings.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::{Done, Failure, Screen, count};
use super::file::{self, SettingsFile};
use super::refused;
use crate::cli::table::{Cell, Table};
use crate::settings::zimbra::{self, Plan};
use crate::settings::{Draft, Scope, Settings};

/// Where certificates and keys go, below the prefix.
const FOLDER: &str = "tls/zimbra";

/// More than any site's output.
const LARGEST: u64 = 256 << 20;

/// What was done, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    written: bool,
    taken: Vec<Taken<'a>>,
    left: Vec<Left<'a>>,
    files: Vec<&'a str>,
    same: usize,
    others: usize,
}

#[derive(Serialize)]
struct Taken<'a> {
    level: &'a str,
    name: Option<&'a str>,
    attribute: &'a str,
    key: &'a str,
    /// `null`: taken back, as the level above says the same.
    value: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Left<'a> {
    of: &'a str,
    attribute: &'a str,
    why: &'a str,
}

pub fn run(
    files: &[PathBuf],
    dry_run: bool,
    prefix: &Path,
    file: &SettingsFile,
    screen: &mut Screen<'_>,
) -> Done {
    let mut entries = Vec::new();
    for path in files {
        let text = text(path, screen)?;
        let found = zimbra::read(&text);
        if found.is_empty() {
            let words = format!("\"{}\" has nothing that zmprov prints", path.display());
            return Err(Failure::Ours(words));
        }
        entries.extend(found);
    }
    let held = if dry_run { None } else { Some(file.hold()?) };
    let before = file.read_or_shipped()?;
    let settings = match Settings::parse(&before) {
        Ok(settings) => settings,
        Err(faults) => return refused(file, &faults, screen),
    };
    let folder = prefix.join(FOLDER);
    let plan = zimbra::plan(&entries, &settings, &folder.to_string_lossy());
    let mut draft = match Draft::new(&before) {
        Ok(draft) => draft,
        Err(faults) => return refused(file, &faults, screen),
    };
    apply(&plan, &mut draft);
    let after = draft.text();
    if let Err(faults) = Settings::parse(&after) {
        return refused(file, &faults, screen);
    }
    if !dry_run {
        // The files first: settings never name one that is not there.
        store(&plan, &folder)?;
        if after != before || !file.path().exists() {
            file.write(&after)?;
        }
    }
    drop(held);
    show(&plan, dry_run, file, screen);
    Ok(0)
}

fn text(path: &Path, screen: &mut Screen<'_>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        (&mut *screen.input).take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    let failed = |error: io::Error| {
        Failure::Ours(format!("reading \"{}\" failed ({error})", path.display()))
    };
    let length = read.map_err(failed)?;
    if length as u64 > LARGEST {
        return Err(failed(io::Error::other("it is too large")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn apply(plan: &Plan, draft: &mut Draft) {
    for taken in &plan.taken {
        let Some(key) = crate::settings::find(taken.key) else { continue };
        match &taken.data {
            Some(data) => draft.set(key, &taken.scope, data),
            None => drop(draft.unset(key, &taken.scope)),
        }
    }
}

fn store(plan: &Plan, folder: &Path) -> Result<(), Failure> {
    if plan.files.is_empty() {
        return Ok(());
    }
    let failed = |path: &Path, error: io::Error| {
        Failure::Ours(format!("writing \"{}\" failed ({error})", path.display()))
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| failed(folder, error))?;
    for pem in &plan.files {
        let path = Path::new(&pem.path);
        if fs::read(path).is_ok_and(|kept| kept == pem.content.as_bytes()) {
            continue;
        }
        // An older one may be open to others: it is not kept as it is.
        let _ = fs::remove_file(path);
        file::replace(path, pem.content.as_bytes(), 0o600).map_err(|error| failed(path, error))?;
    }
    Ok(())
}

fn named(scope: &Scope) -> String {
    match scope.name() {
        Some(name) => format!("{} {name}", scope.level().word()),
        None => scope.level().word().to_owned(),
    }
}

fn show(plan: &Plan, dry_run: bool, file: &SettingsFile, screen: &mut Screen<'_>) {
    let taken = plan.taken.iter().map(|taken| Taken {
        level: taken.scope.level().word(),
        name: taken.scope.name(),
        attribute: &taken.attribute,
        key: taken.key,
        value: taken.data.as_ref().map(crate::settings::Data::json),
    });
    let left = plan.left.iter().map(|left| Left {
        of: &left.of,
        attribute: &left.attribute,
        why: &left.why,
    });
    let told = Told {
        written: !dry_run,
        taken: taken.collect(),
        left: left.collect(),
        files: plan.files.iter().map(|file| file.path.as_str()).collect(),
        same: plan.same,
        others: plan.others,
    };
    if screen.has_json(&told) {
        return;
    }
    if !plan.taken.is_empty() {
        let mut table = Table::new(&["LEVEL", "ATTRIBUTE", "SETTING", "VALUE"]);
        for taken in &plan.taken {
            let value = taken
                .data
                .as_ref()
                .map_or_else(|| "as above it".to_owned(), |data| data.toml().to_string());
            let attribute = Cell::from(&taken.attribute);
            table.row([named(&taken.scope).into(), attribute, taken.key.into(), value.into()]);
        }
        screen.line("Taken:");
        screen.table(&table);
        screen.line("");
    }
    if !plan.left.is_empty() {
        let mut table = Table::new(&["OF", "ATTRIBUTE", "WHY"]);
        for left in &plan.left {
            table.row([(&left.of).into(), (&left.attribute).into(), (&left.why).into()]);
        }
        screen.line("Left:");
        screen.table(&table);
        screen.line("");
    }
    let done = if dry_run { "Nothing was written; it would be:" } else { "Written:" };
    screen.line(format!(
        "{done} {} in {}, {} in {FOLDER}; {} said what holds already, {} concern no proxy.",
        count(plan.taken.len() as u64, "setting"),
        file.path().display(),
        count(plan.files.len() as u64, "file"),
        count(plan.same as u64, "value"),
        plan.others,
    ));
}
