//! `gatepost conf`: the file of settings, got and set. No gatepost is asked.

mod file;
mod generate;
mod import;

use std::path::Path;

use serde::Serialize;

use super::{Done, Failure, Screen};
use crate::cli::command::{Conf, Place};
use crate::cli::table::{Cell, Table};
use crate::settings::{self, At, Draft, Fault, Key, Level, Scope, Settings};
use file::SettingsFile;

/// Does what is asked of the file below `prefix`, or of the one that is named.
pub fn run(command: Conf, prefix: &Path, configuration: &Path, screen: &mut Screen<'_>) -> Done {
    let open = |place: &Place| SettingsFile::at(prefix, place.settings.as_deref());
    match command {
        Conf::Get { key, place } => get(&key, &place, &open(&place), screen),
        Conf::Set { key, values, place } => set(&key, &values, &place, &open(&place), screen),
        Conf::Unset { key, place } => unset(&key, &place, &open(&place), screen),
        Conf::List { beginning, all, place } => {
            list(beginning.as_deref(), all, &place, &open(&place), screen)
        }
        Conf::Explain { key, place } => explain(&key, &place, &open(&place), screen),
        Conf::Gen(wish) => generate::run(&wish, prefix, screen),
        Conf::History => generate::history(prefix, screen),
        Conf::Diff { from, to } => generate::diff(from, to, prefix, screen),
        Conf::Rollback { number } => generate::rollback(number, prefix, screen),
        Conf::Show { effective, place } => generate::show(effective, &place, &open(&place), screen),
        Conf::Flat(flat) => generate::flat(&flat, prefix, configuration, screen),
        Conf::Template(template) => generate::template(&template, prefix, screen),
        Conf::ImportZimbra { files, dry_run, settings } => {
            let file = SettingsFile::at(prefix, settings.as_deref());
            import::run(&files, dry_run, prefix, &file, screen)
        }
    }
}

/// A value as it is told.
#[derive(Serialize)]
struct Told<'a> {
    key: &'a str,
    value: serde_json::Value,
    level: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

fn found(name: &str) -> Result<&'static Key, Failure> {
    settings::find(name).ok_or_else(|| {
        let hint = settings::near(name).map_or_else(String::new, |hint| format!("; {hint}"));
        Failure::Ours(format!("there is no setting \"{name}\"{hint}"))
    })
}

fn at(place: &Place) -> At {
    match (&place.domain, &place.server) {
        (Some(domain), server) => At::Domain { domain: domain.clone(), server: server.clone() },
        (None, Some(server)) => At::Server(server.clone()),
        (None, None) => At::Global,
    }
}

/// The table to change, which is one.
fn scope(place: &Place, key: &Key) -> Result<Scope, Failure> {
    let scope = match (&place.domain, &place.server) {
        (Some(_), Some(_)) => {
            let words = "a value is set for a server or for a domain: name one of them";
            return Err(Failure::Ours(words.to_owned()));
        }
        (Some(domain), None) => Scope::Domain(domain.clone()),
        (None, Some(server)) => Scope::Server(server.clone()),
        (None, None) => Scope::Global,
    };
    if key.levels.has(scope.level()) {
        return Ok(scope);
    }
    let hint = match (key.levels.has(Level::Server), key.levels.has(Level::Domain)) {
        (_, true) => "; name one with --domain",
        (true, false) => "; name one with --server",
        (false, false) => "",
    };
    let levels = key.levels.words();
    Err(Failure::Ours(format!("{} is set at these levels: {levels}{hint}", key.name)))
}

/// Tells each fault with its place.
fn refused(file: &SettingsFile, faults: &[Fault], screen: &mut Screen<'_>) -> Done {
    for fault in faults {
        screen.complain(&place_of(file, fault));
    }
    Ok(1)
}

/// `FILE:LINE: KEY WHAT; HINT`.
fn place_of(file: &SettingsFile, fault: &Fault) -> String {
    let told = fault.to_string();
    let told = told.split_once(": ").map_or(told.as_str(), |(_, rest)| rest);
    format!("{}:{}: {told}", file.path().display(), fault.line)
}

fn get(key: &str, place: &Place, file: &SettingsFile, screen: &mut Screen<'_>) -> Done {
    let key = found(key)?;
    let settings = match Settings::parse(&file.read()?) {
        Ok(settings) => settings,
        Err(faults) => return refused(file, &faults, screen),
    };
    let value = settings.value(key, &at(place));
    let told = Told {
        key: key.name,
        value: value.data.json(),
        level: value.level.word(),
        name: None,
        line: value.line,
    };
    if screen.has_json(&told) {
        return Ok(0);
    }
    match &*value.data {
        settings::Data::List(_) => value.data.words().iter().for_each(|word| screen.line(word)),
        one => screen.line(one.to_string()),
    }
    Ok(0)
}

fn set(
    key: &str,
    values: &[String],
    place: &Place,
    file: &SettingsFile,
    screen: &mut Screen<'_>,
) -> Done {
    let key = found(key)?;
    let scope = scope(place, key)?;
    let data = key.kind.words(values).map_err(|wrong| {
        let hint = wrong.hint.map_or_else(String::new, |hint| format!("; {hint}"));
        Failure::Ours(format!("{} {}{hint}", key.name, wrong.what))
    })?;
    change(file, screen, |draft| {
        draft.set(key, &scope, &data);
        Ok(())
    })
}

fn unset(key: &str, place: &Place, file: &SettingsFile, screen: &mut Screen<'_>) -> Done {
    let key = found(key)?;
    let scope = scope(place, key)?;
    change(file, screen, |draft| {
        if draft.unset(key, &scope) {
            return Ok(());
        }
        let at = scope.name().map_or_else(String::new, |name| format!(" \"{name}\""));
        let level = scope.level().word();
        Err(Failure::Ours(format!("{} is not set in {level}{at}", key.name)))
    })
}

/// Changes the file, unless it is the worse for it: a fault that was there before may stay.
fn change(
    file: &SettingsFile,
    screen: &mut Screen<'_>,
    edit: impl FnOnce(&mut Draft) -> Result<(), Failure>,
) -> Done {
    let held = file.hold()?;
    let text = file.read_or_shipped()?;
    let before = Settings::parse(&text).err().unwrap_or_default();
    let mut draft = match Draft::new(&text) {
        Ok(draft) => draft,
        Err(faults) => return refused(file, &faults, screen),
    };
    edit(&mut draft)?;
    let changed = draft.text();
    let after = Settings::parse(&changed).err().unwrap_or_default();
    if !after.is_empty() && after.len() >= before.len().max(1) {
        return refused(file, &after, screen);
    }
    if changed != text {
        file.write(&changed)?;
    }
    drop(held);
    refused(file, &after, screen)?;
    Ok(u8::from(!after.is_empty()))
}

fn list(
    beginning: Option<&str>,
    all: bool,
    place: &Place,
    file: &SettingsFile,
    screen: &mut Screen<'_>,
) -> Done {
    let settings = match Settings::parse(&file.read()?) {
        Ok(settings) => settings,
        Err(faults) => return refused(file, &faults, screen),
    };
    let is_asked = |key: &&Key| {
        beginning.is_none_or(|start| {
            let rest = key.name.strip_prefix(start.trim_end_matches('.'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let keys: Vec<_> = settings::all().filter(is_asked).collect();
    if keys.is_empty() {
        let words = format!("no setting begins with \"{}\"", beginning.unwrap_or_default());
        return Err(Failure::Ours(words));
    }
    let is_placed = place.server.is_some() || place.domain.is_some();
    let mut rows = Vec::new();
    if all || is_placed {
        for key in keys {
            let value = settings.value(key, &at(place));
            if all || value.level != Level::Default {
                rows.push((key, value.data.into_owned(), value.level, None, value.line));
            }
        }
    } else {
        let servers = settings.servers().map(|name| Scope::Server(name.to_owned()));
        let domains = settings.domains().map(|name| Scope::Domain(name.to_owned()));
        for scope in std::iter::once(Scope::Global).chain(servers).chain(domains) {
            for key in &keys {
                if let Some(data) = settings.own(key, &scope.at()) {
                    let name = scope.name().map(ToOwned::to_owned);
                    rows.push((key, data.clone(), scope.level(), name, None));
                }
            }
        }
    }
    let told: Vec<_> = rows
        .iter()
        .map(|(key, data, level, name, line)| Told {
            key: key.name,
            value: data.json(),
            level: level.word(),
            name: name.as_deref(),
            line: *line,
        })
        .collect();
    if screen.has_json(&told) {
        return Ok(0);
    }
    let mut table = Table::new(&["LEVEL", "SETTING", "VALUE"]);
    for (key, data, level, name, _) in &rows {
        let level = match name {
            Some(name) => format!("{} {name}", level.word()),
            None => level.word().to_owned(),
        };
        let value = data.toml().to_string();
        table.row([Cell::from(level), key.name.into(), value.into()]);
    }
    if table.is_empty() {
        screen.line("nothing is set: the defaults hold (--all lists them)");
    } else {
        screen.table(&table);
    }
    Ok(0)
}

/// All about a setting.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    told: Told<'a>,
    doc: &'a str,
    range: String,
    default: serde_json::Value,
    levels: String,
    zimbra: &'a [&'a str],
    variables: Vec<&'a str>,
    directives: &'a [&'a str],
}

fn explain(key: &str, place: &Place, file: &SettingsFile, screen: &mut Screen<'_>) -> Done {
    let key = found(key)?;
    let settings = match Settings::parse(&file.read()?) {
        Ok(settings) => settings,
        Err(faults) => return refused(file, &faults, screen),
    };
    let value = settings.value(key, &at(place));
    let explained = Explained {
        told: Told {
            key: key.name,
            value: value.data.json(),
            level: value.level.word(),
            name: None,
            line: value.line,
        },
        doc: key.doc,
        range: key.kind.range(),
        default: key.default_data().json(),
        levels: key.levels.words(),
        zimbra: key.aliases,
        variables: key.variables.iter().map(|variable| variable.name).collect(),
        directives: key.directives,
    };
    if screen.has_json(&explained) {
        return Ok(0);
    }
    let from = match value.line {
        Some(line) => format!("{}, {}:{line}", value.level.word(), file.path().display()),
        None => value.level.word().to_owned(),
    };
    screen.line(format!("{}\n  {}\n", key.name, key.doc));
    let mut rows = vec![
        ("value", value.data.toml().to_string()),
        ("from", from),
        ("takes", explained.range),
        ("default", key.default.to_owned()),
        ("levels", explained.levels),
    ];
    for (what, names) in [
        ("zimbra", key.aliases.join(", ")),
        ("variables", explained.variables.join(", ")),
        ("directives", key.directives.join(", ")),
    ] {
        rows.push((what, if names.is_empty() { "none".to_owned() } else { names }));
    }
    for (what, text) in rows {
        screen.line(format!("  {what:<12}{text}"));
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
