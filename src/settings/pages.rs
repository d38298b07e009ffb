//! What is cut from the records: `docs/settings.md` and the shipped file.

use std::fmt::Write as _;

use super::key::{Key, Level};
use super::keys::{KEYS, SUBJECTS};

const HEAD: &str = "\
# settings.toml: what this site sets. gatepost's configuration is made from it and the templates.
#
# Every setting is here, with its default. To set one take away its \"#\", or say
# \"gatepost conf set KEY VALUE\"; \"gatepost conf explain KEY\" tells all about it, and so does
# docs/settings.md. What is set in [server.\"NAME\"] holds for one gatepost, what is set in
# [domain.\"NAME\"] for one domain; a domain's values come before its server's, and those before
# what [global] has. Zimbra's names (zimbraImapProxyBindPort) are understood as well.
#
# Times: \"500ms\", \"60s\", \"5m\", \"1h\", \"1d\". Sizes: \"8k\", \"1m\". Secrets are in files of their own,
# which are named here, or in the environment: \"env:NAME\".

[global]
";

/// The file that gatepost comes with: every key, commented out, with its default and its line.
pub fn shipped() -> String {
    let mut text = HEAD.to_owned();
    for (subject, keys) in SUBJECTS.iter().zip(KEYS) {
        let rule = "-".repeat(90_usize.saturating_sub(subject.len()));
        let _ = writeln!(text, "\n# --- {subject} {rule}");
        for key in keys.iter().filter(|key| key.levels.has(Level::Global)) {
            let _ = write!(text, "\n# {}\n#{} = {}\n", key.doc, key.name, key.default);
        }
    }
    let tables = [
        (Level::Server, "a gatepost", "[server.\"mx1.example.com\"]"),
        (Level::Domain, "a domain", "[domain.\"example.com\"]"),
    ];
    for (level, what, table) in tables {
        let _ = write!(
            text,
            "\n# What only {what} has, beside what is its own of the above:\n#{table}\n"
        );
        let only = |key: &&Key| key.levels.has(level) && !key.levels.has(Level::Global);
        for key in KEYS.iter().flat_map(|keys| *keys).filter(only) {
            let _ = write!(text, "\n# {}\n#{} = {}\n", key.doc, key.name, key.default);
        }
    }
    text
}

/// `docs/settings.md`.
pub fn markdown() -> String {
    let mut text = "# Settings\n\n\
        <!-- Cut from `src/settings/keys`; change the records, not this file. -->\n\n\
        What an admin sets in `conf/settings.toml`, by `gatepost conf set` or by hand. `[global]` is for\n\
        the whole site, `[server.\"NAME\"]` for one gatepost, `[domain.\"NAME\"]` for one domain; the nearest\n\
        that sets a value counts, and where none does, the default. Zimbra's names are understood\n\
        wherever a setting's own name is. Times are written `\"500ms\"`, `\"60s\"`, `\"1h\"`, sizes `\"8k\"`,\n\
        `\"1m\"`. `\"\"` and `[]` are none. A secret is never in the file: what asks for one takes a path\n\
        (`/…`, `./…`, `../…`) or `env:NAME`.\n"
        .to_owned();
    for (subject, keys) in SUBJECTS.iter().zip(KEYS) {
        let _ = write!(text, "\n## {subject}\n");
        for key in *keys {
            let _ = write!(text, "\n### `{}`\n\n{}\n\n", key.name, key.doc);
            let _ = writeln!(text, "Value: {}.  ", key.kind.range());
            let _ = writeln!(text, "Default: `{}`.  ", key.default);
            let _ = write!(text, "Levels: {}.", key.levels.words());
            let variables: Vec<_> = key.variables.iter().map(|variable| variable.name).collect();
            let lists: [(&str, &[&str]); 3] = [
                ("Zimbra", key.aliases),
                ("Template variables", &variables),
                ("Directives", key.directives),
            ];
            for (what, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                let _ = write!(text, "  \n{what}: {}.", names.join(", "));
            }
            text.push('\n');
        }
    }
    text
}
