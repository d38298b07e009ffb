//! The documents that are cut from the code say what the code says.
//!
//! `BLESS=1 cargo nextest run --test docs` writes them anew.

#![allow(clippy::unwrap_used)] // tests: a panic is the report

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use gatepost::testing::docs;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares `docs/NAME` with `fresh`, or writes it when asked to.
fn compare(name: &str, fresh: &str) {
    let path = root().join("docs").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, fresh).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept != fresh {
        let differs = kept.lines().zip(fresh.lines()).find(|(kept, fresh)| kept != fresh);
        panic!("docs/{name} is not what the code says; BLESS=1 writes it. First: {differs:?}");
    }
}

#[test]
fn directives_md_lists_every_directive() {
    compare("directives.md", &docs::directives());
}

#[test]
fn settings_md_and_the_shipped_file_list_every_setting() {
    compare("settings.md", &docs::settings());
    compare("../conf/settings.toml", &docs::shipped());
}

#[test]
fn metrics_md_lists_every_metric() {
    let head = "# Metrics\n\nCut from `src/observe/names.rs`. Shown at `/metrics` of the addresses \
                that the `metrics` directive names.\n\n";
    compare("metrics.md", &format!("{head}{}", docs::metrics()));
}

#[test]
fn variables_md_lists_every_variable() {
    let head = "# Variables of `log_format`\n\nCut from `src/observe/variables.rs`. Times are in \
                seconds with milliseconds.\n\n";
    compare("variables.md", &format!("{head}{}", docs::variables()));
}

#[test]
fn templates_md_lists_every_variable_of_templates() {
    // Written by hand down to the mark, and cut from the code below it.
    let mark = "<!-- From here on cut from the code. -->\n\n";
    let kept = fs::read_to_string(root().join("docs/templates.md")).unwrap();
    let (head, _) = kept.split_once(mark).unwrap();
    compare("templates.md", &format!("{head}{mark}{}", docs::templates()));
}

#[test]
fn rfc_md_lists_every_section_that_the_code_names() {
    compare("rfc.md", &rfc(&root().join("src")));
}

#[test]
fn what_the_dashboard_and_the_alerts_watch_is_counted() {
    let table = docs::metrics();
    let known: Vec<&str> = table.lines().filter_map(|row| row.split('`').nth(1)).collect();
    let folder = root().join("conf/monitoring");
    let mut named = std::collections::BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        named.extend(words.filter(|word| word.starts_with("gatepost_")).map(str::to_owned));
    }
    for name in &named {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(
            known.contains(&name.as_str()) || family.is_some_and(|name| known.contains(&name)),
            "{name} is watched, and nobody counts it"
        );
    }
    assert!(named.len() > 20, "{named:?}");
}

/// RFC and section to the files that name them.
fn rfc(src: &Path) -> String {
    let mut found: BTreeMap<(u32, Vec<u32>, String), Vec<String>> = BTreeMap::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                for (number, section) in sections(&text) {
                    let order = section.split('.').map(|part| part.parse().unwrap_or(0)).collect();
                    let files = found.entry((number, order, section)).or_default();
                    if !files.contains(&name) {
                        files.push(name.clone());
                    }
                }
            }
        }
    }
    let mut text = "# Where the code obeys which RFC\n\nCut from the comments of `src/`: \
                    `RFC 9051 §6.2.1` is their one spelling.\n\n| RFC | section | where |\n|---|---|---|\n"
        .to_owned();
    for ((number, _, section), mut files) in found {
        files.sort();
        let files: Vec<_> = files.iter().map(|file| format!("`{file}`")).collect();
        let _ = writeln!(text, "| {number} | {section} | {} |", files.join(", "));
    }
    text
}

/// Every `RFC n §s` in `text`, also where a comment's line breaks between them.
fn sections(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for part in text.split("RFC ").skip(1) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let rest = part[digits.len()..].trim_start_matches(['\n', ' ', '/', '!']);
        let Some(rest) = rest.strip_prefix('§') else { continue };
        let section: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
        let section = section.trim_end_matches('.').to_owned();
        if let Ok(number) = digits.parse()
            && !section.is_empty()
        {
            found.push((number, section));
        }
    }
    found
}

#[test]
fn a_section_is_found_across_a_line_break() {
    let text = "/// as RFC 9051\n    /// §6.2.1, and RFC 2449 §4. Not RFC 5530.";
    assert_eq!(sections(text), [(9051, "6.2.1".to_owned()), (2449, "4".to_owned())]);
}
