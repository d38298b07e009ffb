//! Settings to whole configurations, as they were. `BLESS=1` renews them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::conf::{Templates, Wish, expand};
use crate::settings::Settings;
use crate::template::Unknown;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/conf");

#[test]
fn each_site_becomes_the_configuration_that_it_was() {
    let templates = Templates::load(Path::new("/nowhere"), None).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let settings = Settings::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let server = settings.servers().next();
        let prefix = Path::new("/etc/gatepost");
        let unknown = Unknown::Refuse;
        let wish = Wish { settings: &settings, server, overrides: &[], prefix, unknown };
        let files = expand(&wish, &templates).unwrap();
        assert_eq!(files.notes, Vec::<String>::new());
        let mut text = String::new();
        for (name, content) in &files.all {
            let _ = write!(text, "==== {name}\n{content}");
        }
        let golden = path.with_extension("golden");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let want = fs::read_to_string(&golden).unwrap();
        assert!(text == want, "{}: BLESS=1 renews it", path.display());
        count += 1;
    }
    assert!(count >= 4, "where are they?");
}
