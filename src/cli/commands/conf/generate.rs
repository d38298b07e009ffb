//! `gatepost conf gen`, and what there is to see and do of generations and templates.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::{Done, Failure, Screen};
use super::file::SettingsFile;
use super::{at, refused};
use crate::cli::command::{ConfGen, Flat, Place, Template};
use crate::cli::table::{Cell, Table};
use crate::conf::{self, Files, Generation, Origin, Shape, Store, Templates, Trouble, Wish};
use crate::settings::{self, At, Settings};
use crate::template::Unknown;
use crate::template::variables::{self, unknown_overrides};

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Ours(trouble.to_string())
    }
}

/// What is told of a generation.
#[derive(Serialize)]
struct Told<'a> {
    generation: u64,
    time: &'a str,
    path: &'a Path,
    in_force: bool,
}

impl<'a> Told<'a> {
    fn of(generation: &'a Generation) -> Self {
        Self {
            generation: generation.number,
            time: generation.time(),
            path: &generation.path,
            in_force: generation.is_current,
        }
    }
}

/// Where the word "prefix" of the configuration leads.
fn root(wish: &ConfGen, prefix: &Path) -> PathBuf {
    let root = wish.work.as_deref().unwrap_or(prefix);
    std::path::absolute(root).unwrap_or_else(|_| root.to_owned())
}

pub fn run(wish: &ConfGen, prefix: &Path, screen: &mut Screen<'_>) -> Done {
    let root = root(wish, prefix);
    let file = SettingsFile::at(&root, wish.settings.as_deref());
    let text = if wish.defaults { String::new() } else { file.read()? };
    let settings = match Settings::parse(&text) {
        Ok(settings) => settings,
        Err(faults) => return refused(&file, &faults, screen),
    };
    let server = wish.server.as_deref();
    if let Some(name) = server
        && !settings.servers().any(|known| known.eq_ignore_ascii_case(name))
        && !wish.defaults
    {
        screen.complain(&format!("note: the settings have no table for the server \"{name}\""));
    }
    if wish.defaults || wish.definitions {
        let (_, _, listed) = variables::values(&settings, server, &wish.config);
        listed.iter().for_each(|entry| screen.say(entry.to_string()));
        return Ok(0);
    }
    for name in unknown_overrides(&wish.config) {
        screen.complain(&format!("note: no variable of ours or Zimbra's is called \"{name}\""));
    }
    let templates = Templates::load(&root, wish.templates.as_deref()).map_err(Failure::Ours)?;
    let unknown = if wish.lenient { Unknown::Lenient } else { Unknown::Refuse };
    let asked =
        Wish { settings: &settings, server, overrides: &wish.config, prefix: &root, unknown };
    let files = match conf::expand(&asked, &templates) {
        Ok(files) => files,
        Err(faults) => {
            faults.iter().for_each(|fault| screen.complain(fault));
            return Ok(1);
        }
    };
    files.notes.iter().for_each(|note| screen.complain(&format!("note: {note}")));
    let store = Store::at(&root);
    let old = match store.current()? {
        Some(current) => store.read(&current)?,
        None => BTreeMap::new(),
    };
    if wish.diff {
        screen.say(conf::difference(&old, &files.all));
    }
    if wish.dry_run {
        return try_out(&files, &root, screen);
    }
    if let Some(current) = store.current()?.filter(|_| old == files.all) {
        // What it names may have changed: it is looked at again.
        if let Err(faults) = conf::check(&root, &current.path, &files.main) {
            faults.iter().for_each(|fault| screen.complain(fault));
            return Ok(1);
        }
        if !screen.has_json(&Told::of(&current)) {
            screen.line(format!("nothing has changed: generation {} stays", current.number));
        }
        return Ok(0);
    }
    let key = settings::find("main.history").expect("it is a setting: a test reads them all");
    let place = server.map_or(At::Global, |name| At::Server(name.to_owned()));
    let keep = settings.value(key, &place).data.integer().unwrap_or(20);
    let keep = usize::try_from(keep).unwrap_or(20);
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut check = |folder: &Path| conf::check(&root, folder, &files.main);
    match store.put(&files, &time, keep, &mut check, &mut |_| ControlFlow::Continue(())) {
        Ok(generation) => {
            if !screen.has_json(&Told::of(&generation)) {
                let path = generation.path.display();
                screen.line(format!("generation {} is in force: {path}", generation.number));
            }
            Ok(0)
        }
        Err(trouble) => told(trouble, screen),
    }
}

/// Each fault on its line, and what has become of what was in force: nothing.
fn told(trouble: Trouble, screen: &mut Screen<'_>) -> Done {
    match trouble {
        Trouble::Refused(faults) => {
            faults.iter().for_each(|fault| screen.complain(fault));
            screen.complain("the check failed: what was in force stays");
            Ok(1)
        }
        other => Err(other.into()),
    }
}

/// Writes the files where nobody looks for them, checks them there, and takes them away.
fn try_out(files: &Files, root: &Path, screen: &mut Screen<'_>) -> Done {
    for (template, file) in &files.made {
        screen.line(format!("Would expand template:{template} to file:{file}"));
    }
    let folder = std::env::temp_dir().join(format!("gatepost-conf-{}", std::process::id()));
    let failed = |error: std::io::Error| {
        Failure::Ours(format!("making \"{}\" failed ({error})", folder.display()))
    };
    {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
    }
    let mut check = |folder: &Path| conf::check(root, folder, &files.main);
    let done =
        Store::at(&folder).put(files, "dry-run", 1, &mut check, &mut |_| ControlFlow::Continue(()));
    let _ = std::fs::remove_dir_all(&folder);
    match done {
        Ok(_) => Ok(0),
        Err(trouble) => told(trouble, screen),
    }
}

pub fn history(prefix: &Path, screen: &mut Screen<'_>) -> Done {
    let all = Store::at(prefix).list()?;
    let told: Vec<_> = all.iter().map(Told::of).collect();
    if screen.has_json(&told) {
        return Ok(0);
    }
    if all.is_empty() {
        screen.line("there is no generation yet: \"gatepost conf gen\" makes one");
        return Ok(0);
    }
    let mut table = Table::new(&["GENERATION", "MADE", "STATE"]);
    for one in &all {
        let state = if one.is_current { "in force" } else { "" };
        table.row([Cell::from(one.number.to_string()), one.time().into(), state.into()]);
    }
    screen.table(&table);
    Ok(0)
}

pub fn diff(from: Option<u64>, to: Option<u64>, prefix: &Path, screen: &mut Screen<'_>) -> Done {
    let store = Store::at(prefix);
    let current = || -> Result<Generation, Failure> {
        let words = "no generation is in force: \"gatepost conf gen\" makes one";
        store.current()?.ok_or_else(|| Failure::Ours(words.to_owned()))
    };
    let to = match to {
        Some(number) => store.find(number)?,
        None => current()?,
    };
    let old = match from {
        Some(number) => store.read(&store.find(number)?)?,
        None => match store.list()?.iter().rfind(|one| one.number < to.number) {
            Some(before) => store.read(before)?,
            None => BTreeMap::new(),
        },
    };
    screen.say(conf::difference(&old, &store.read(&to)?));
    Ok(0)
}

pub fn rollback(number: u64, prefix: &Path, screen: &mut Screen<'_>) -> Done {
    let store = Store::at(prefix);
    // The main file is the one file that is in no folder.
    let mut check = |folder: &Path| {
        let main = main_of(folder).ok_or_else(|| vec!["it has no main file".to_owned()])?;
        conf::check(prefix, folder, &main)
    };
    match store.back(number, &mut check, &mut |_| ControlFlow::Continue(())) {
        Ok(generation) => {
            if !screen.has_json(&Told::of(&generation)) {
                screen.line(format!("generation {number} is in force again"));
            }
            Ok(0)
        }
        Err(trouble) => told(trouble, screen),
    }
}

fn main_of(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?;
    let file = entries.flatten().map(|entry| entry.path()).find(|path| path.is_file())?;
    Some(file.file_name()?.to_str()?.to_owned())
}

/// A setting as it is shown.
#[derive(Serialize)]
struct Shown {
    key: &'static str,
    value: String,
    origin: String,
}

pub fn show(effective: bool, place: &Place, file: &SettingsFile, screen: &mut Screen<'_>) -> Done {
    let settings = match Settings::parse(&file.read()?) {
        Ok(settings) => settings,
        Err(faults) => return refused(file, &faults, screen),
    };
    let mut all = Vec::new();
    for key in settings::all() {
        let value = settings.value(key, &at(place));
        if !effective && value.line.is_none() {
            continue;
        }
        let origin = match value.line {
            Some(line) => format!("{} {}:{line}", value.level.word(), file.path().display()),
            None => value.level.word().to_owned(),
        };
        let is_secret = key.is_secret() && !value.data.is_none() && value.line.is_some();
        let value = if is_secret { "********".to_owned() } else { value.data.toml().to_string() };
        all.push(Shown { key: key.name, value, origin });
    }
    if screen.has_json(&all) {
        return Ok(0);
    }
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for one in &all {
        table.row([one.key.into(), Cell::from(one.value.clone()), one.origin.clone().into()]);
    }
    screen.table(&table);
    Ok(0)
}

pub fn flat(wish: &Flat, prefix: &Path, configuration: &Path, screen: &mut Screen<'_>) -> Done {
    let path = match &wish.file {
        Some(file) => file.clone(),
        None if configuration.exists() => configuration.to_owned(),
        None => prefix.join("current/gatepost.conf"),
    };
    if let Err(error) = std::fs::File::open(&path) {
        return Err(Failure::Ours(format!("opening \"{}\" failed ({error})", path.display())));
    }
    let shape = Shape {
        markers: wish.markers,
        indent: wish.indent,
        no_comments: wish.nocomments,
        no_empty: wish.noempty,
    };
    screen.say(conf::flat(&path, shape));
    Ok(0)
}

pub fn template(wish: &Template, prefix: &Path, screen: &mut Screen<'_>) -> Done {
    match wish {
        Template::List => {
            let templates = Templates::load(prefix, None).map_err(Failure::Ours)?;
            let mut table = Table::new(&["TEMPLATE", "FROM"]);
            for (name, (_, origin)) in &templates.all {
                let from = match origin {
                    Origin::Shipped => "shipped".to_owned(),
                    Origin::File(path) => path.display().to_string(),
                };
                table.row([Cell::from(name.clone()), from.into()]);
            }
            screen.table(&table);
            templates.notes.iter().for_each(|note| screen.complain(&format!("note: {note}")));
        }
        Template::Copy { name, keep } => {
            let path = Templates::copy(prefix, name, *keep).map_err(Failure::Ours)?;
            screen.line(path.display().to_string());
        }
        Template::Diff { name } => {
            let (name, shipped) = Templates::shipped(name).map_err(Failure::Ours)?;
            let templates = Templates::load(prefix, None).map_err(Failure::Ours)?;
            let ours = templates.all.get(name).map_or(shipped, |(text, _)| text);
            let one = |text: &str| BTreeMap::from([(format!("{name}.template"), text.to_owned())]);
            screen.say(conf::difference(&one(shipped), &one(ours)));
        }
    }
    Ok(0)
}
