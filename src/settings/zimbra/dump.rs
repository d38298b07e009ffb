//! `zmprov`'s output: `# name NAME`, then `attribute: value`, a line for each value, then an empty
//! line. `gacf` prints no name. A value may go on over lines (certificates do), as it is, or in
//! base64 behind `::` with the following lines indented.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What an entry is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Site,
    Server(String),
    Domain(String),
    /// Something that a proxy has no use for; its name.
    Other(String),
}

/// One entry: its attributes in order, with their values.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub of: Of,
    pub attributes: Vec<(String, Vec<String>)>,
}

/// Values may be secrets.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.attributes.iter().map(|(name, _)| name).collect();
        f.debug_struct("Entry").field("of", &self.of).field("attributes", &names).finish()
    }
}

/// An entry that is being read.
#[derive(Default)]
struct Raw {
    name: Option<String>,
    /// Attribute, value, and whether it is in base64.
    lines: Vec<(String, String, bool)>,
}

/// The entries of some output. What is in no entry is passed over.
pub fn read(text: &str) -> Vec<Entry> {
    let mut raw: Vec<Raw> = Vec::new();
    let mut is_new = true;
    for line in text.lines() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let last = raw.last_mut().and_then(|entry| entry.lines.last_mut()).filter(|_| !is_new);
        // What looks like an attribute inside a certificate's armour is a part of it.
        if let Some((_, value, false)) = last
            && is_open(value)
        {
            value.push('\n');
            value.push_str(line);
            continue;
        }
        if let Some(name) = line.strip_prefix("# name ") {
            raw.push(Raw { name: Some(name.trim().to_owned()), lines: Vec::new() });
            is_new = false;
        } else if line.is_empty() {
            is_new = true;
        } else if let Some((attribute, value, is_coded)) = attribute(line) {
            if is_new {
                raw.push(Raw::default());
                is_new = false;
            }
            if let Some(entry) = raw.last_mut() {
                entry.lines.push((attribute.to_owned(), value.to_owned(), is_coded));
            }
        } else if let Some((_, value, is_coded)) =
            raw.last_mut().and_then(|entry| entry.lines.last_mut())
        {
            if *is_coded {
                value.push_str(line.trim());
            } else {
                value.push('\n');
                value.push_str(line);
            }
        }
    }
    let mut joined: Vec<Raw> = Vec::new();
    for entry in raw {
        // An empty line inside a value begins no entry: only the site's has no name.
        match joined.last_mut() {
            Some(last) if entry.name.is_none() && !is_site(&entry) => {
                last.lines.extend(entry.lines)
            }
            _ => joined.push(entry),
        }
    }
    joined.into_iter().map(finished).collect()
}

/// `name: value`, `name:: coded`.
fn attribute(line: &str) -> Option<(&str, &str, bool)> {
    let (name, rest) = line.split_once(':')?;
    let mut letters = name.bytes();
    let is_name = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_');
    if !is_name {
        return None;
    }
    if let Some(rest) = rest.strip_prefix(':') {
        return Some((name, rest.trim(), true));
    }
    (rest.is_empty() || rest.starts_with(' ')).then(|| (name, rest.trim_start_matches(' '), false))
}

/// Whether a certificate or key has begun and not ended.
fn is_open(value: &str) -> bool {
    let begun = value.rfind("-----BEGIN ");
    begun.is_some_and(|begun| !value[begun..].contains("-----END "))
}

fn has(entry: &Raw, attribute: &str, value: &str) -> bool {
    entry.lines.iter().any(|(name, own, _)| {
        name.eq_ignore_ascii_case(attribute) && own.trim().eq_ignore_ascii_case(value)
    })
}

fn first<'a>(entry: &'a Raw, attribute: &str) -> Option<&'a str> {
    let mut lines = entry.lines.iter();
    let (_, value, _) = lines.find(|(name, ..)| name.eq_ignore_ascii_case(attribute))?;
    Some(value.trim())
}

fn is_site(entry: &Raw) -> bool {
    has(entry, "objectClass", "zimbraGlobalConfig") || has(entry, "cn", "config")
}

fn of(entry: &Raw) -> Of {
    let name = |attribute: &str| {
        let name = entry.name.as_deref().or_else(|| first(entry, attribute));
        name.unwrap_or_default().to_owned()
    };
    let is = |class: &str| has(entry, "objectClass", class);
    if is("zimbraServer") || first(entry, "zimbraServiceHostname").is_some() {
        Of::Server(name("cn"))
    } else if is("zimbraDomain") || first(entry, "zimbraDomainType").is_some() {
        Of::Domain(name("zimbraDomainName"))
    } else if is_site(entry) || entry.name.is_none() {
        Of::Site
    } else {
        Of::Other(name("cn"))
    }
}

fn finished(entry: Raw) -> Entry {
    let of = of(&entry);
    let mut attributes: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value, is_coded) in entry.lines {
        let value = if is_coded { decoded(&value) } else { value };
        match attributes.iter_mut().rfind(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => attributes.push((name, vec![value])),
        }
    }
    Entry { of, attributes }
}

/// What is no base64, or no text, is nothing that a setting could be.
fn decoded(value: &str) -> String {
    let bytes = STANDARD.decode(value).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whatever is read: no value is longer than the text, and every entry is of something.
pub fn hold_for_any(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let entries = read(&text);
    let mut length = 0;
    for entry in &entries {
        for (name, values) in &entry.attributes {
            assert!(!name.is_empty() && !values.is_empty(), "{entry:?}");
            length += values.iter().map(String::len).sum::<usize>();
        }
    }
    assert!(length <= text.len(), "more was read than there was");
    let settings = crate::settings::Settings::default();
    let _ = super::plan(&entries, &settings, "/x");
}
