//! Which of the servers on one address does a client mean? By the name it asked for (SNI).

use std::collections::HashMap;

/// RFC 1035 §2.3.4: 255 octets in a name.
const MAX_NAME: usize = 255;

/// The servers that share an address, told apart by `server_name`.
///
/// As nginx does it: an exact name wins over a wildcard, a longer wildcard over a shorter one, and
/// what no name fits goes to the `default_server`, or else to the first server.
#[derive(Clone, Debug)]
pub struct Names<T> {
    servers: Vec<T>,
    exact: HashMap<Box<str>, usize>,
    /// By what stands behind the `*.`.
    wildcard: HashMap<Box<str>, usize>,
    default: Option<usize>,
}

/// What is wrong with a `server_name`, or with `default_server`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// nginx warns and goes on, with the first server having the name.
    #[error("conflicting server name \"{0}\", ignored: an earlier server on this address has it")]
    Taken(String),
    #[error("server name \"{0}\" is invalid: give a name, *.example.com or .example.com")]
    Invalid(String),
    #[error("a duplicate default server on this address")]
    SecondDefault,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { servers: Vec::new(), exact: HashMap::new(), wildcard: HashMap::new(), default: None }
    }
}

impl<T> Names<T> {
    /// Adds a server under its names. What cannot be kept is told; the rest is kept.
    pub fn add<S: AsRef<str>>(&mut self, server: T, names: &[S], is_default: bool) -> Vec<Problem> {
        let (index, mut problems) = (self.servers.len(), Vec::new());
        self.servers.push(server);
        if is_default {
            match self.default {
                Some(_) => problems.push(Problem::SecondDefault),
                None => self.default = Some(index),
            }
        }
        for name in names.iter().map(AsRef::as_ref) {
            let Some(pattern) = Pattern::of(name) else {
                problems.push(Problem::Invalid(name.to_owned()));
                continue;
            };
            let mut put = |map: &mut HashMap<Box<str>, usize>, key: Box<str>| {
                if *map.entry(key).or_insert(index) != index {
                    problems.push(Problem::Taken(name.to_owned()));
                }
            };
            match pattern {
                Pattern::Exact(key) => put(&mut self.exact, key),
                Pattern::Below(key) => put(&mut self.wildcard, key),
                Pattern::Both(key) => {
                    put(&mut self.exact, key.clone());
                    put(&mut self.wildcard, key);
                }
            }
        }
        problems
    }

    /// The server for `asked`; `None` only where there is no server at all.
    pub fn find(&self, asked: Option<&str>) -> Option<&T> {
        let index = self.by_name(asked.unwrap_or("")).or(self.default).unwrap_or(0);
        self.servers.get(index)
    }

    /// Every server, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.servers.iter()
    }

    fn by_name(&self, asked: &str) -> Option<usize> {
        if asked.len() > MAX_NAME {
            return None;
        }
        let asked = asked.strip_suffix('.').unwrap_or(asked).to_ascii_lowercase();
        if let Some(index) = self.exact.get(asked.as_str()) {
            return Some(*index);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        // From the left: the first hit is the longest.
        let mut rest = asked.as_str();
        while let Some((label, behind)) = rest.split_once('.') {
            if !label.is_empty()
                && let Some(index) = self.wildcard.get(behind)
            {
                return Some(*index);
            }
            rest = behind;
        }
        None
    }
}

enum Pattern {
    Exact(Box<str>),
    Below(Box<str>),
    Both(Box<str>),
}

impl Pattern {
    fn of(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let (make, rest): (fn(Box<str>) -> Self, _) = if let Some(rest) = name.strip_prefix("*.") {
            (Self::Below, rest)
        } else if let Some(rest) = name.strip_prefix('.') {
            (Self::Both, rest)
        } else {
            // `server_name "";` stands for clients that ask for no name.
            (Self::Exact, name.as_str())
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_graphic() && !b"*~/:".contains(&b))
        };
        let is_name = name.is_empty() || rest.split('.').all(is_label);
        (is_name && name.len() <= MAX_NAME).then(|| make(rest.into()))
    }
}

/// What must hold for any name at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let input = &*String::from_utf8_lossy(input);
    let mut names = Names::default();
    let problems = names.add(0, &["never.example"], true);
    assert_eq!(problems, []);
    let problems = names.add(1, &[input], false);
    let found = *names.find(Some(input)).expect("there are servers");
    if problems.is_empty() && !input.starts_with(['.', '*']) {
        assert_eq!(found, 1, "a name finds its own server");
    }
    if !problems.is_empty() {
        assert_eq!(found, 0, "a name that is not kept finds the default");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers() -> Names<&'static str> {
        let mut names = Names::default();
        for (server, own) in [
            ("first", &["mail.example.com", "IMAP.example.com."] as &[_]),
            ("wild", &["*.example.com"]),
            ("deep", &["*.eu.example.com"]),
            ("both", &[".example.net"]),
            ("default", &["_"]),
        ] {
            assert_eq!(names.add(server, own, server == "default"), []);
        }
        names
    }

    #[test]
    fn exact_then_longest_wildcard_then_default() {
        let names = servers();
        for (asked, want) in [
            (Some("mail.example.com"), "first"),
            (Some("MAIL.Example.COM"), "first"),
            (Some("mail.example.com."), "first"),
            (Some("imap.example.com"), "first"),
            (Some("pop.example.com"), "wild"),
            (Some("a.b.example.com"), "wild"),
            (Some("a.eu.example.com"), "deep"),
            (Some("a.b.eu.example.com"), "deep"),
            (Some("eu.example.com"), "wild"),
            (Some("example.com"), "default"),
            (Some("notexample.com"), "default"),
            (Some(".example.com"), "default"),
            (Some("example.net"), "both"),
            (Some("x.example.net"), "both"),
            (Some("example.org"), "default"),
            (Some(""), "default"),
            (None, "default"),
        ] {
            assert_eq!(names.find(asked), Some(&want), "{asked:?}");
        }
    }

    #[test]
    fn without_a_default_the_first_server_is_it() {
        let mut names = Names::default();
        assert_eq!(names.find(Some("a.example")), None);
        assert_eq!(names.add(1, &["a.example"], false), []);
        assert_eq!(names.add(2, &["", "b.example"], false), []);
        assert_eq!(names.find(Some("c.example")), Some(&1));
        assert_eq!(names.find(None), Some(&2), "the empty name is for those who ask for none");
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        let mut names = servers();
        for (name, want) in [
            ("mail.EXAMPLE.com", Problem::Taken("mail.EXAMPLE.com".to_owned())),
            ("*.example.com", Problem::Taken("*.example.com".to_owned())),
            ("mail.*", Problem::Invalid("mail.*".to_owned())),
            ("a..example", Problem::Invalid("a..example".to_owned())),
            ("~^mail", Problem::Invalid("~^mail".to_owned())),
            ("*", Problem::Invalid("*".to_owned())),
            ("*.", Problem::Invalid("*.".to_owned())),
        ] {
            assert_eq!(names.add("later", &[name], false), [want], "{name}");
        }
        assert_eq!(names.add("later", &[] as &[&str], true), [Problem::SecondDefault]);
        assert_eq!(names.find(Some("mail.example.com")), Some(&"first"));
    }

    #[test]
    fn the_same_name_twice_in_one_server_is_no_conflict() {
        assert_eq!(Names::default().add(1, &["a.example", "A.example", ".a.example"], false), []);
    }

    proptest! {
        #[test]
        fn any_name_is_kept_or_told(input in "[a-zA-Z.*~_ -]{0,20}") {
            hold_for_any(input.as_bytes());
        }
    }
}
