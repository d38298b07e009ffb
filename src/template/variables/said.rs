//! `${KEY.said}`: a line for a value that would not hold without it.
//!
//! The shipped templates write a directive of gatepost's own only where it says something, so that
//! a file for a site which uses nothing but nginx's features is one that nginx takes.

use crate::settings::{Data, Key};

/// What holds without a directive, where that is not the setting's default. As in the file.
const BUILT_IN: &[(&str, &str)] = &[
    ("log.access.file", "\"off\""),
    ("mail.imap.id", "[]"),
    ("mail.connect_timeout", "\"10s\""),
    ("mail.auth_wait", "\"1s\""),
    ("mail.login.suffixes", "[]"),
];

/// Whether `data` is not what holds anyway.
pub fn is_said(key: &Key, data: &Data) -> bool {
    let other = BUILT_IN.iter().find(|(name, _)| *name == key.name);
    let built_in = other.map_or(*key, |(_, default)| Key { default, ..*key });
    *data != built_in.default_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    #[test]
    fn what_is_built_in_is_of_its_settings_kind() {
        for (name, default) in BUILT_IN {
            let key = settings::find(name).unwrap();
            assert_ne!(key.default, *default, "{name}");
            assert!(is_said(key, &key.default_data()), "{name}");
        }
        let key = settings::find("mail.max_errors").unwrap();
        assert!(!is_said(key, &key.default_data()));
        assert!(is_said(key, &Data::Integer(7)));
    }
}
