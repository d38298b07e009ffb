//! What has changed between two sets of files.

use std::collections::BTreeMap;

use similar::TextDiff;

/// As `diff -u` tells it, passwords masked; empty where nothing differs.
pub fn difference(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> String {
    let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut text = String::new();
    for name in names {
        let side = |files: &BTreeMap<String, String>, mark: &str| match files.get(name) {
            Some(text) => (text.clone(), format!("{mark}/{name}")),
            None => (String::new(), "/dev/null".to_owned()),
        };
        let ((from, from_name), (to, to_name)) = (side(old, "a"), side(new, "b"));
        if from != to {
            let diff = TextDiff::from_lines(&from, &to);
            let told = diff.unified_diff().header(&from_name, &to_name).to_string();
            told.split_inclusive('\n').for_each(|line| text.push_str(&masked(line)));
        }
    }
    text
}

/// A line without the password that Zimbra's own directives have in them.
fn masked(line: &str) -> String {
    let rest = line.trim_start_matches(['+', '-', ' ', '\t', '#']);
    let (before, word) = (&line[..line.len() - rest.len()], rest.split_whitespace().next());
    match word {
        Some(word) if word.ends_with("password") => format!("{before}{word} ********;\n"),
        _ => line.to_owned(),
    }
}
