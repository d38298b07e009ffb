//! What reading and building a configuration leaves as it was.

use std::path::Path;

use super::*;
use crate::route::handler::state::Standing;

/// A gatepost's folder, and what outlives its reloads.
struct Home {
    folder: tempfile::TempDir,
    kept: Kept,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("conf")).unwrap();
        std::fs::create_dir_all(folder.path().join("logs")).unwrap();
        std::fs::write(folder.path().join("conf/key"), "0123456789abcdef".repeat(4)).unwrap();
        Self { folder, kept: Kept::new() }
    }

    fn options(&self, text: &str) -> Options {
        let prefix = self.folder.path().to_owned();
        let configuration = prefix.join("conf/gatepost.conf");
        std::fs::write(&configuration, text).unwrap();
        Options { configuration, prefix, directives: None, error_log: None }
    }

    fn build(&self, text: &str) -> Result<Model, Faults> {
        Plan::read(&self.options(text), &self.kept)?.build(&self.kept)
    }

    fn weights(&self) -> Vec<(String, u32, bool)> {
        let status = self.kept.fleet.servers.status();
        status.into_iter().map(|one| (one.server, one.weight, one.is_down)).collect()
    }

    /// Where each lookup is configured, and how it stands.
    fn handlers(&self) -> Vec<(String, String, bool)> {
        let status = self.kept.fleet.handlers.status();
        let row = |one: route::handler::state::Status| {
            (one.url, one.source, one.standing == Standing::Healthy)
        };
        status.into_iter().map(row).collect()
    }

    fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        list(self.folder.path(), &mut all);
        all.sort();
        all
    }
}

fn list(folder: &Path, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => list(&path, all),
            false => all.push(path.file_name().unwrap().to_string_lossy().into_owned()),
        }
    }
}

fn conf(cache: &str, weight: u32, source: &str, more: &str) -> String {
    format!(
        "error_log logs/error.log; {cache}
        mail {{
            upstream pool {{ server 127.0.0.1:1143 weight={weight}; server 127.0.0.2:1143; }}
            route {{ default pool; }}
            {source}
            lookup l {{ handler http://127.0.0.1:1/a; }}
            server {{ listen 127.0.0.1:10143; protocol imap; }}
            {more}
        }}"
    )
}

const CACHE: &str = "memcached { server 127.0.0.1:1; key key; }";

#[test]
fn a_configuration_that_does_not_come_into_force_changes_nothing() {
    let home = Home::new();
    let mut first = home.build(&conf(CACHE, 3, "", "")).unwrap();
    first.take_effect(&home.kept);
    let before = (home.weights(), home.handlers(), home.kept.fleet.cache.is_on());
    assert_eq!(before.0[0], ("127.0.0.1:1143".to_owned(), 3, false));
    assert_eq!(before.1.len(), 1);
    assert!(before.2);

    // Built whole, and then something else fails: a port that is taken.
    let second = home.build(&conf("", 7, "\n\n", "")).unwrap();
    assert_eq!((home.weights(), home.handlers(), home.kept.fleet.cache.is_on()), before);
    drop(second);
    // A fault that shows when all else is built: the last server's certificate.
    let faulty = "proxy_ssl_trusted_certificate /nowhere; proxy_ssl on; proxy_ssl_verify on;";
    let faulty = format!("server {{ listen 127.0.0.1:10144; protocol imap; {faulty} }}");
    home.build(&conf("", 7, "\n\n", &faulty)).unwrap_err();
    assert_eq!((home.weights(), home.handlers(), home.kept.fleet.cache.is_on()), before);

    let mut third = home.build(&conf("", 7, "\n\n", "")).unwrap();
    third.take_effect(&home.kept);
    assert_eq!(home.weights()[0].1, 7);
    assert!(home.handlers()[0].1 != before.1[0].1 && !home.kept.fleet.cache.is_on());
}

#[test]
fn a_test_of_a_configuration_touches_nothing_but_logs() {
    let home = Home::new();
    std::fs::create_dir(home.folder.path().join("state")).unwrap();
    let state = home.folder.path().join("state/state.json");
    std::fs::write(&state, "nonsense").unwrap();
    let options = home.options(&conf(CACHE, 3, "", ""));
    test(&options).unwrap();
    assert_eq!(home.files(), ["error.log", "gatepost.conf", "key", "state.json"]);
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "nonsense");
}
