//! Settings and templates to files.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::overlay::{Origin, Templates};
use crate::settings::{self, Kind, Settings};
use crate::template::variables;
use crate::template::{Copies, Piece, Unknown, Values};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub settings: &'a Settings,
    pub server: Option<&'a str>,
    /// `-c name=value`.
    pub overrides: &'a [(String, String)],
    /// What relative paths start from.
    pub prefix: &'a Path,
    pub unknown: Unknown,
}

/// A configuration, not yet anywhere.
#[derive(Debug, Default)]
pub struct Files {
    /// By their paths below the generation's folder.
    pub all: BTreeMap<String, String>,
    /// The one that includes the others.
    pub main: String,
    /// Whose files they are: a line for each, template and file.
    pub made: Vec<(String, String)>,
    pub notes: Vec<String>,
    /// Whether a secret went into them: nobody else may read them then.
    pub has_secrets: bool,
}

/// How shipped templates' names begin; `core.cprefix` takes its place in the files'.
const PREFIX: &str = "gatepost.conf";

/// Settings that are paths of the files themselves.
const OWN: &[&str] = &["main.includes", "main.workdir"];

/// Expands all templates.
///
/// # Errors
/// Every fault with its template and line.
pub fn expand(wish: &Wish<'_>, templates: &Templates) -> Result<Files, Vec<String>> {
    let (mut values, mut copies, _) = variables::values(wish.settings, wish.server, wish.overrides);
    absolute(&mut values, &mut copies, wish.prefix);
    folders(&mut values, wish.prefix);
    let mut files = Files { notes: templates.notes.clone(), ..Files::default() };
    let mut faults = Vec::new();
    files.has_secrets = read_secret(&mut values, wish);
    let cprefix = show(&values, "core.cprefix");
    let includes = show(&values, "core.includes");
    for (what, value) in [("core.cprefix", &cprefix), ("core.includes", &includes)] {
        let mut parts = Path::new(value).components();
        let is_one = parts.clone().count() == 1;
        if !parts.all(|part| matches!(part, Component::Normal(_)))
            || value.is_empty()
            || what == "core.cprefix" && !is_one
        {
            faults.push(format!("{what} is \"{value}\": it must be a path below the generation"));
        }
    }
    for (name, (text, origin)) in &templates.all {
        let shown = match origin {
            Origin::Shipped => format!("{name}.template (shipped)"),
            Origin::File(path) => path.display().to_string(),
        };
        let file = match name.strip_prefix(PREFIX) {
            Some(rest) => format!("{cprefix}{rest}"),
            None => name.clone(),
        };
        let file = if file == cprefix { file } else { format!("{includes}/{file}") };
        match crate::template::expand(text, &values, &copies, wish.unknown) {
            Ok(expanded) => {
                let place = |fault: &crate::template::Fault| told(&shown, fault);
                files.notes.extend(expanded.notes.iter().map(place));
                files.made.push((shown, file.clone()));
                files.all.insert(file, expanded.text);
            }
            Err(all) => faults.extend(all.iter().map(|fault| told(&shown, fault))),
        }
    }
    if !files.all.contains_key(&cprefix) && faults.is_empty() {
        faults.push(format!(
            "there is no template \"{cprefix}.template\": which file is the main one?"
        ));
    }
    files.main = cprefix;
    if faults.is_empty() { Ok(files) } else { Err(faults) }
}

/// `FILE:LINE: WHAT`.
fn told(file: &str, fault: &crate::template::Fault) -> String {
    let text = fault.to_string();
    let text = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest);
    format!("{file}:{}: {text}", fault.line)
}

fn show(values: &Values, name: &str) -> String {
    values.get(name).map(Piece::show).unwrap_or_default()
}

/// Paths begin at the prefix, wherever the file that names them lies.
fn absolute(values: &mut Values, copies: &mut Copies, prefix: &Path) {
    let is_path = |kind: &Kind| matches!(kind, Kind::Path | Kind::SecretFile);
    let keys = settings::all().filter(|key| is_path(&key.kind) && !OWN.contains(&key.name));
    let mut names: Vec<&str> = Vec::new();
    for key in keys {
        names.push(key.name);
        names.extend(
            key.variables.iter().filter(|one| !one.name.ends_with(".enabled")).map(|one| one.name),
        );
    }
    let change = |values: &mut Values, names: &[&str]| {
        for name in names {
            let piece = match values.get(name) {
                Some(Piece::Text(text)) if text.starts_with("env:") => Piece::Refused(
                    "a directive takes a file, not the environment: name a path".to_owned(),
                ),
                Some(Piece::Text(text)) if !text.is_empty() && !text.starts_with('/') => {
                    let below = text.strip_prefix("./").unwrap_or(text);
                    Piece::Text(prefix.join(below).display().to_string())
                }
                _ => continue,
            };
            values.put(*name, piece);
        }
    };
    change(values, &names);
    names.extend(["ssl.crt", "ssl.key", "ssl.clientcertca"]);
    for domain in &mut copies.domains {
        change(&mut domain.values, &names);
    }
}

/// `certificates …;` for each folder or pattern of `tls.certificates`.
fn folders(values: &mut Values, prefix: &Path) {
    let Some(Piece::List(all)) = values.get("tls.certificates") else { return };
    let line = |folder: &String| -> Result<String, String> {
        let whole = prefix.join(folder).display().to_string();
        Ok(format!("    certificates {};", crate::template::word(&whole)?))
    };
    let piece = match all.iter().map(line).collect::<Result<Vec<_>, _>>() {
        Ok(lines) => Piece::Code(lines.join("\n")),
        Err(why) => Piece::Refused(why),
    };
    values.put("tls.:certificates", piece);
}

/// Zimbra's own templates write the password into the configuration.
fn read_secret(values: &mut Values, wish: &Wish<'_>) -> bool {
    let place = match settings::find("lookup.master.password_file") {
        Some(key) => {
            let at = match wish.server {
                Some(server) => settings::At::Server(server.to_owned()),
                None => settings::At::Global,
            };
            wish.settings.value(key, &at).data.to_string()
        }
        None => String::new(),
    };
    if place.is_empty() || wish.overrides.iter().any(|(name, _)| name == "zmlookup.dpasswd") {
        return false;
    }
    let secret = match place.strip_prefix("env:") {
        Some(name) => std::env::var(name).ok(),
        None => std::fs::read_to_string(wish.prefix.join(place)).ok(),
    };
    // What cannot be read is a fault only in templates that use it.
    let Some(secret) = secret else { return false };
    let line = secret.lines().next().unwrap_or_default().to_owned();
    values.put("zmlookup.dpasswd", Piece::Secret(line));
    true
}
