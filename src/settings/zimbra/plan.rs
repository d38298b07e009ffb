//! What becomes of Zimbra's attributes: a setting, a file, or nothing, and why.

use super::{Entry, Of};
use crate::settings::data::Data;
use crate::settings::edit::Scope;
use crate::settings::key::Key;
use crate::settings::keys;
use crate::settings::kind::{Kind, is_host};
use crate::settings::read::Settings;

/// An attribute that is set, or taken back where the level above says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub scope: Scope,
    pub attribute: String,
    pub key: &'static str,
    pub data: Option<Data>,
}

/// An attribute that is not taken. Its value is not told: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub of: String,
    pub attribute: String,
    pub why: String,
}

/// A file to write, readable by its owner alone.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub content: String,
}

/// It may be a private key.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What an import does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub taken: Vec<Taken>,
    /// Attributes whose value holds already: set so, inherited, or the default.
    pub same: usize,
    pub left: Vec<Left>,
    /// Attributes that concern no proxy.
    pub others: usize,
    pub files: Vec<File>,
}

/// Beginnings of the attributes that concern a proxy: those that are left are told by name.
const OURS: &[&str] = &[
    "zimbraReverseProxy",
    "zimbraMailProxy",
    "zimbraVirtual",
    "zimbraSSL",
    "zimbraMemcached",
    "zimbraImapProxy",
    "zimbraPop3Proxy",
    "ldap_nginx",
];

/// What becomes files: the attribute, the setting, and the file's ending.
const PEMS: &[(&str, &str, &str)] = &[
    ("zimbraSSLCertificate", "tls.certificate", "crt"),
    ("zimbraSSLPrivateKey", "tls.key", "key"),
    ("zimbraReverseProxyClientCertCA", "client_certificate_ca", "client-ca.crt"),
];

/// Says what `entries` make of `settings`. Certificates and keys go to `folder`.
pub fn plan(entries: &[Entry], settings: &Settings, folder: &str) -> Plan {
    let mut order: Vec<_> = entries.iter().collect();
    // What a server has is compared with the site's, so that comes first.
    order.sort_by(|one, other| one.of.cmp(&other.of));
    let mut work = Work { settings: settings.clone(), plan: Plan::default(), folder };
    for entry in order {
        let (scope, name) = match &entry.of {
            Of::Site => (Scope::Global, "site".to_owned()),
            Of::Server(name) if is_host(name) => (Scope::Server(lower(name)), lower(name)),
            Of::Domain(name) if is_host(name) => (Scope::Domain(lower(name)), lower(name)),
            Of::Server(name) | Of::Domain(name) | Of::Other(name) => {
                let name: String = name.chars().take(80).collect();
                let why = "it is neither a server nor a domain with a proper name";
                work.leave(&name, "entry", why);
                continue;
            }
        };
        for (attribute, values) in &entry.attributes {
            work.attribute(&scope, &name, attribute, values);
        }
    }
    work.plan
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

struct Work<'a> {
    /// As they will be.
    settings: Settings,
    plan: Plan,
    folder: &'a str,
}

impl Work<'_> {
    fn leave(&mut self, of: &str, attribute: &str, why: impl Into<String>) {
        let (of, attribute) = (of.to_owned(), attribute.to_owned());
        self.plan.left.push(Left { of, attribute, why: why.into() });
    }

    fn attribute(&mut self, scope: &Scope, of: &str, attribute: &str, values: &[String]) {
        if let Some((_, key, ending)) =
            PEMS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(attribute))
        {
            return self.pem(scope, of, attribute, key, ending, values);
        }
        if attribute == "zimbraServiceEnabled" && scope.name().is_some() {
            if values.iter().any(|value| value.trim() == "memcached") {
                self.take(scope, attribute, own("memcache.here"), Data::Flag(true));
            }
            return;
        }
        let is_name = |alias: &&'static str| alias.eq_ignore_ascii_case(attribute);
        let Some(key) = keys::all().find(|key| key.aliases.iter().any(is_name)) else {
            let is_ours = OURS.iter().any(|start| {
                attribute.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start))
            });
            if is_ours {
                self.leave(of, attribute, "gatepost has nothing like it");
            } else {
                self.plan.others += 1;
            }
            return;
        };
        if key.is_secret() {
            let why =
                format!("it is a secret: write it into a file (mode 0600) and set {}", key.name);
            return self.leave(of, attribute, why);
        }
        if !key.levels.has(scope.level()) {
            let why = format!("{} is set at other levels: {}", key.name, key.levels.words());
            return self.leave(of, attribute, why);
        }
        if let Some(data) = self.data(key, of, attribute, values) {
            self.take(scope, attribute, key, data);
        }
    }

    /// The values as the key has them. Elements of a list that are wrong are left by themselves.
    fn data(&mut self, key: &Key, of: &str, attribute: &str, values: &[String]) -> Option<Data> {
        let words: Vec<String> = values.iter().map(|value| ours(key, value.trim())).collect();
        let Kind::List(_) = key.kind else {
            return match key.kind.words(&words) {
                Ok(data) => Some(data),
                Err(wrong) => {
                    self.leave(of, attribute, format!("{} {}", key.name, wrong.what));
                    None
                }
            };
        };
        let mut list = Vec::new();
        for word in &words {
            match key.kind.words(std::slice::from_ref(word)) {
                Ok(Data::List(one)) => list.extend(one),
                Ok(_) => {}
                Err(wrong) => self.leave(of, attribute, format!("{} {}", key.name, wrong.what)),
            }
        }
        (!list.is_empty()).then_some(Data::List(list))
    }

    fn pem(
        &mut self,
        scope: &Scope,
        of: &str,
        attribute: &str,
        key: &str,
        ending: &str,
        values: &[String],
    ) {
        let mut content = values.join("\n").trim().to_owned();
        if !content.contains("-----BEGIN ") || !content.contains("-----END ") {
            return self.leave(of, attribute, "it is not in PEM");
        }
        content.push('\n');
        let path = format!("{}/{of}.{ending}", self.folder);
        self.plan.files.push(File { path: path.clone(), content });
        self.take(scope, attribute, own(key), Data::Text(path));
    }

    fn take(&mut self, scope: &Scope, attribute: &str, key: &'static Key, data: Data) {
        let own = self.settings.own(key, &scope.at()).cloned();
        let inherited = match scope.outer() {
            Some(outer) => self.settings.value(key, &outer).data.into_owned(),
            None => key.default_data(),
        };
        let is_inherited = inherited == data;
        if own.as_ref() == Some(&data) || own.is_none() && is_inherited {
            self.plan.same += 1;
            return;
        }
        // What the level above says need not be said again.
        let data = (!is_inherited).then_some(data);
        self.settings.assume(key, scope, data.clone());
        let attribute = attribute.to_owned();
        self.plan.taken.push(Taken { scope: scope.clone(), attribute, key: key.name, data });
    }
}

fn own(name: &str) -> &'static Key {
    keys::find(name).expect("the importer's own names are settings: a test asks for each")
}

/// Zimbra's word for something, as ours.
fn ours(key: &Key, word: &str) -> String {
    let is_part = key.name == "log.level" && word.starts_with("debug_");
    if is_part {
        return "debug".to_owned();
    }
    // Zimbra's times are seconds unless they say more.
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && matches!(key.kind, Kind::Time { .. }) {
        format!("{word}s")
    } else {
        word.to_owned()
    }
}
