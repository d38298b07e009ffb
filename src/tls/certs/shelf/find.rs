//! Which files of a folder belong together, and which folders there are.
//!
//! A folder that has not changed is not read again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use glob::{MatchOptions, Pattern};

use super::super::Stamp;
use crate::tls::fault::{Fault, Why};

/// So many certificates are taken from one pattern, lest a wrong folder fill the memory.
pub const MOST: usize = 50_000;

/// A folder that changed so lately may change again without another time on it.
const FRESH: Duration = Duration::from_secs(2);

/// A certificate's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub certificate: PathBuf,
    pub chain: Option<PathBuf>,
    pub key: PathBuf,
    /// Whom it is for, where the certificate itself does not say.
    pub name: String,
    /// Nothing says that a key should be in there: it may be a lone certificate of an authority.
    pub may_be_none: bool,
}

/// What was seen at the last look.
#[derive(Debug, Default)]
pub struct Folders {
    known: HashMap<PathBuf, Listing>,
    matches: HashMap<PathBuf, Vec<PathBuf>>,
}

#[derive(Debug, Default)]
struct Listing {
    stamp: Option<Stamp>,
    files: Vec<Found>,
    folders: Vec<PathBuf>,
}

impl Folders {
    /// Everything that `patterns` lead to. What cannot be read is as it was, and told.
    pub fn look(&mut self, patterns: &[PathBuf]) -> (Vec<Found>, Vec<Fault>) {
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        let (mut used, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let now = SystemTime::now();
        for pattern in patterns {
            for (path, is_below) in self.roots(pattern, &mut faults) {
                let mut at = vec![(path, is_below)];
                while let Some((folder, is_below)) = at.pop() {
                    used.insert(folder.clone());
                    let listing = self.known.entry(folder.clone()).or_default();
                    if let Err(why) = listing.renew(&folder, now) {
                        faults.push(Fault::new(&folder, why));
                    }
                    let fresh = |one: &&Found| seen.insert(one.certificate.clone());
                    found.extend(listing.files.iter().filter(fresh).cloned());
                    if !is_below {
                        at.extend(listing.folders.iter().rev().map(|one| (one.clone(), true)));
                    }
                }
            }
            if found.len() > MOST {
                found.truncate(MOST);
                faults.push(Fault::new(pattern, Why::TooMany(MOST)));
                break;
            }
        }
        self.known.retain(|path, _| used.contains(path));
        (found, faults)
    }

    /// The folders that a pattern means, and whether one is a domain's own.
    fn roots(&mut self, pattern: &Path, faults: &mut Vec<Fault>) -> Vec<(PathBuf, bool)> {
        let text = pattern.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            return vec![(pattern.to_owned(), false)];
        }
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let mut matches = Vec::new();
        let mut lost = None;
        match glob::glob_with(&text, options) {
            Ok(all) => {
                for path in all {
                    match path {
                        Ok(path) => matches.push(path),
                        Err(error) => {
                            let why = Why::from(std::io::Error::from(error.error().kind()));
                            lost = Some(Fault::new(error.path(), why));
                        }
                    }
                }
            }
            Err(error) => lost = Some(Fault::new(pattern, Why::Unreadable(error.msg.to_owned()))),
        }
        let kept = self.matches.entry(pattern.to_owned()).or_default();
        match lost {
            // A folder that we may no longer read is not one that has been emptied.
            Some(fault) => {
                faults.push(fault);
                kept.extend(matches);
                kept.sort();
                kept.dedup();
            }
            None => *kept = matches,
        }
        kept.iter().map(|path| (path.clone(), true)).collect()
    }
}

impl Listing {
    fn renew(&mut self, path: &Path, now: SystemTime) -> Result<(), Why> {
        let meta = fs::metadata(path)?;
        if !meta.is_dir() {
            return self.lone(path);
        }
        let stamp = Stamp::from(&meta);
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        let (mut names, mut folders) = (BTreeSet::new(), Vec::new());
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let kind = entry.file_type()?;
            let is_folder = match kind.is_symlink() {
                true => fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir()),
                false => kind.is_dir(),
            };
            if is_folder {
                folders.push(entry.path());
            } else {
                names.insert(name);
            }
        }
        folders.sort();
        let own = path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.files = pairs(path, &own.unwrap_or_default(), &names);
        self.folders = folders;
        let age = meta.modified().ok().and_then(|at| now.duration_since(at).ok());
        self.stamp = age.is_some_and(|age| age > FRESH).then_some(stamp);
        Ok(())
    }

    /// A file that the pattern itself names.
    fn lone(&mut self, path: &Path) -> Result<(), Why> {
        self.folders.clear();
        self.files.clear();
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return Ok(());
        };
        let Some((stem, ending)) = name.rsplit_once('.') else { return Ok(()) };
        if !matches!(ending, "crt" | "pem") {
            return Ok(());
        }
        let mut names = BTreeSet::from([name.to_owned()]);
        let beside = [format!("{stem}.key"), "privkey.pem".into(), "key.pem".into()];
        let beside = beside.into_iter().chain(["chain.pem".to_owned()]);
        names.extend(beside.filter(|name| folder.join(name).exists()));
        let own = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let found = pairs(folder, &own.unwrap_or_default(), &names);
        self.files = found.into_iter().filter(|one| one.certificate == path).collect();
        Ok(())
    }
}

/// The certificates among the files `names` of `folder`, which is called `own`.
fn pairs(folder: &Path, own: &str, names: &BTreeSet<String>) -> Vec<Found> {
    /// What certbot and others call the parts of one certificate.
    const PARTS: [&str; 5] = ["fullchain.pem", "cert.pem", "chain.pem", "privkey.pem", "key.pem"];
    let mut found = Vec::new();
    let has = |name: &str| names.contains(name);
    let key = |first: &'static str, second: &'static str| match has(first) || !has(second) {
        true => folder.join(first),
        false => folder.join(second),
    };
    if has("fullchain.pem") {
        found.push(Found {
            certificate: folder.join("fullchain.pem"),
            chain: None,
            key: key("privkey.pem", "key.pem"),
            name: own.to_owned(),
            may_be_none: false,
        });
    } else if has("cert.pem") {
        found.push(Found {
            certificate: folder.join("cert.pem"),
            chain: has("chain.pem").then(|| folder.join("chain.pem")),
            key: key("key.pem", "privkey.pem"),
            name: own.to_owned(),
            may_be_none: false,
        });
    }
    for name in names {
        let Some((stem, ending)) = name.rsplit_once('.') else { continue };
        let lone = format!("{stem}.key");
        let key = match ending {
            "crt" => lone.clone(),
            "pem" if PARTS.contains(&name.as_str()) => continue,
            "pem" if has(&lone) => lone.clone(),
            "pem" => name.clone(),
            _ => continue,
        };
        found.push(Found {
            certificate: folder.join(name),
            chain: None,
            key: folder.join(key),
            name: if stem == "tls" { own.to_owned() } else { stem.to_owned() },
            may_be_none: !has(&lone),
        });
    }
    found
}

/// Whether `text` can be a pattern at all.
pub fn check(text: &str) -> Result<(), String> {
    match Pattern::new(text) {
        Err(error) => Err(format!("invalid pattern \"{text}\": {}", error.msg)),
        Ok(_) if text.contains("**") => {
            Err(format!("invalid pattern \"{text}\": \"**\" would walk whole trees"))
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_belong_together_are_found() {
        for (names, want) in [
            (
                &["fullchain.pem", "privkey.pem", "cert.pem", "chain.pem", "README"][..],
                &[("fullchain.pem", "-", "privkey.pem", "d")][..],
            ),
            (&["cert.pem", "chain.pem", "key.pem"], &[("cert.pem", "chain.pem", "key.pem", "d")]),
            (&["cert.pem", "privkey.pem"], &[("cert.pem", "-", "privkey.pem", "d")]),
            (&["fullchain.pem"], &[("fullchain.pem", "-", "privkey.pem", "d")]),
            (
                &["a.test.crt", "a.test.key", "b.test.crt", "b.test.key"],
                &[
                    ("a.test.crt", "-", "a.test.key", "a.test"),
                    ("b.test.crt", "-", "b.test.key", "b.test"),
                ],
            ),
            (
                &["a.pem", "a.key", "b.pem"],
                &[("a.pem", "-", "a.key", "a"), ("b.pem", "-", "b.pem", "b")],
            ),
            (
                &["tls.crt", "tls.key", "ca.crt"],
                &[("ca.crt", "-", "ca.key", "ca"), ("tls.crt", "-", "tls.key", "d")],
            ),
            (&["privkey.pem", "a.key", "notes.txt"], &[]),
        ] {
            let names: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let found = pairs(Path::new("/d"), "d", &names);
            let short = |path: &Path| path.strip_prefix("/d").unwrap().display().to_string();
            let found: Vec<_> = found
                .iter()
                .map(|one| {
                    let chain = one.chain.as_deref().map_or("-".to_owned(), short);
                    (short(&one.certificate), chain, short(&one.key), one.name.clone())
                })
                .collect();
            let found: Vec<_> = found.iter().map(|(a, b, c, d)| (&**a, &**b, &**c, &**d)).collect();
            assert_eq!(found, want, "{names:?}");
        }
    }

    #[test]
    fn a_pattern_that_would_walk_trees_is_refused() {
        assert_eq!(check("/etc/tls/*/now"), Ok(()));
        assert!(check("/etc/tls/**/now").is_err());
        assert!(check("/etc/tls/[").is_err());
    }
}
