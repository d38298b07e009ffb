//! The system's table of names, `/etc/hosts`: read again whenever it has changed.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

#[derive(Debug)]
pub struct Hosts {
    path: PathBuf,
    modified: Option<SystemTime>,
    by_name: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), modified: None, by_name: HashMap::new() }
    }

    /// The addresses of `name`, which is in lower case; none if it is not in the table.
    pub fn find(&mut self, name: &str) -> Option<&[IpAddr]> {
        let modified = fs::metadata(&self.path).and_then(|meta| meta.modified()).ok();
        if modified != self.modified {
            self.modified = modified;
            // A table that cannot be read is an empty one: DNS is asked instead.
            self.by_name = parse(&fs::read_to_string(&self.path).unwrap_or_default());
        }
        self.by_name.get(name).map(Vec::as_slice)
    }
}

/// Lines of `address name…`, with comments from `#` on; what is neither is skipped, as the system
/// does.
fn parse(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut by_name: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse) else { continue };
        for name in words {
            let ips = by_name.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
    }
    by_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_all_their_addresses() {
        let table = parse(
            "127.0.0.1 localhost Me.Example. # me\n::1 localhost\n\n#192.0.2.1 no\nfe80::1%lo0 no\n",
        );
        let of = |name: &str| table.get(name).map(|ips| ips.iter().map(IpAddr::to_string));
        assert_eq!(of("localhost").unwrap().collect::<Vec<_>>(), ["127.0.0.1", "::1"]);
        assert_eq!(of("me.example").unwrap().collect::<Vec<_>>(), ["127.0.0.1"]);
        assert!(of("no").is_none());
    }

    #[test]
    fn a_changed_table_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let mut hosts = Hosts::new(&path);
        assert!(hosts.find("a").is_none());
        fs::write(&path, "192.0.2.1 a").unwrap();
        assert_eq!(hosts.find("a").map(<[_]>::len), Some(1));
        fs::remove_file(&path).unwrap();
        assert!(hosts.find("a").is_none());
    }
}
