use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use clap::Parser;
use jiff::Zoned;

use super::*;
use crate::cli::args::Args;
use crate::cli::command::Command;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/zimbra");

struct Ran {
    exit: u8,
    out: String,
    err: String,
}

/// Runs `gatepost conf …` on the file below `prefix`; words are parted by `|`.
fn ran(prefix: &Path, words: &str) -> Ran {
    let words = ["gatepost", "conf"].into_iter().chain(words.split('|'));
    let args = Args::try_parse_from(words).unwrap();
    let Some(Command::Conf(conf)) = args.command else { panic!("not conf") };
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), &b""[..]);
    let mut screen = Screen {
        out: &mut out,
        err: &mut err,
        input: &mut input,
        colour: false,
        json: args.json,
        now: Zoned::default(),
    };
    let exit =
        run(conf, prefix, &prefix.join("gatepost.conf"), &mut screen).unwrap_or_else(|failure| {
            screen.complain(&failure.words());
            failure.exit()
        });
    let text =
        |bytes| String::from_utf8(bytes).unwrap().replace(prefix.to_str().unwrap(), "PREFIX");
    Ran { exit, out: text(out), err: text(err) }
}

fn site(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("conf")).unwrap();
    fs::write(folder.path().join(settings::FILE), text).unwrap();
    folder
}

fn file(folder: &tempfile::TempDir) -> String {
    fs::read_to_string(folder.path().join(settings::FILE)).unwrap()
}

#[test]
fn a_value_is_set_shown_and_taken_back() {
    let folder = site("# ours\n[global]\nmail.imap.port = 1143 # behind the balancer\n");
    let prefix = folder.path();
    for (words, exit, out) in [
        ("get|mail.imap.port", 0, "1143\n"),
        ("get|zimbraImapProxyBindPort", 0, "1143\n"),
        ("set|zimbraImapProxyBindPort|2143|--server|MX1.example.com", 0, ""),
        ("get|mail.imap.port|--server|mx1.example.com", 0, "2143\n"),
        ("get|mail.imap.port|--server|mx2.example.com", 0, "1143\n"),
        ("set|virtual_hosts|a.example.com|b.example.com|--domain|example.com", 0, ""),
        ("get|virtual_hosts|--domain|example.com", 0, "a.example.com\nb.example.com\n"),
        (
            "get|virtual_hosts|--domain|example.com|--json",
            0,
            "{\"key\":\"virtual_hosts\",\"value\":[\"a.example.com\",\"b.example.com\"],\"level\":\"domain\",\"line\":9}\n",
        ),
        (
            "list",
            0,
            "LEVEL                   SETTING         VALUE\n\
                     global                  mail.imap.port  1143\n\
                     server mx1.example.com  mail.imap.port  2143\n\
                     domain example.com      virtual_hosts   [\"a.example.com\", \"b.example.com\"]\n",
        ),
        ("unset|mail.imap.port|--server|mx1.example.com", 0, ""),
        ("get|mail.imap.port|--server|mx1.example.com", 0, "1143\n"),
        ("unset|mail.imap.port|--server|mx1.example.com", 1, ""),
        ("set|virtual_hosts|[]|--domain|example.com", 0, ""),
        ("get|virtual_hosts|--domain|example.com", 0, ""),
        ("set|mail.imap.enabled|FALSE", 0, ""),
        ("get|mail.imap.enabled", 0, "off\n"),
    ] {
        let ran = ran(prefix, words);
        assert_eq!((ran.exit, ran.out.as_str()), (exit, out), "{words}: {}", ran.err);
    }
    assert!(
        file(&folder)
            .starts_with("# ours\n[global]\nmail.imap.port = 1143 # behind the balancer\n")
    );
}

#[test]
fn a_setting_is_explained() {
    let folder = site("[global]\nzimbraReverseProxyImapStartTlsMode = \"on\"\n");
    let told = ran(folder.path(), "explain|mail.imap.starttls");
    let want = "mail.imap.starttls\n  Whether IMAP offers STARTTLS: on, off, or only, where nobody logs in without.\n\n  \
                value       \"on\"\n  from        global, PREFIX/conf/settings.toml:2\n  takes       one of on, off, only\n  \
                default     \"only\"\n  levels      global, server\n  zimbra      zimbraReverseProxyImapStartTlsMode\n  \
                variables   mail.imap.tls\n  directives  starttls\n";
    assert_eq!((told.out.as_str(), told.exit), (want, 0));
    let told = ran(folder.path(), "explain|mail.imap.port|--json").out;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["value"], &told["level"]), (&143.into(), &"default".into()));
}

#[test]
fn what_is_wrong_is_refused_and_the_file_stays() {
    let text = "[global]\nmail.imap.port = 70000\nmail.imap.prot = 1\n";
    let folder = site(text);
    let faults = "gatepost: PREFIX/conf/settings.toml:2: mail.imap.port is a port, from 1 to 65535, not \\x2270000\\x22\n";
    for (words, err) in [
        ("get|mail.imap.port", ""),
        ("set|mail.imap.prot|1", "gatepost: there is no setting"),
        ("set|mail.imap.port|0", "gatepost: mail.imap.port is a port, from 1 to 65535, not"),
        (
            "set|main.workers|2|3",
            "gatepost: main.workers is a number from 1 to 1024, and there are 2 values",
        ),
        (
            "set|virtual_hosts|a.example",
            "gatepost: virtual_hosts is set at these levels: domain; name one with --domain",
        ),
        (
            "set|main.workers|2|--domain|a.example",
            "gatepost: main.workers is set at these levels: global, server; name one with --server",
        ),
        (
            "set|mail.default_domain|a|--domain|a.example|--server|b",
            "gatepost: a value is set for a server or for a domain",
        ),
        ("set|main.workers|2", "gatepost: PREFIX/conf/settings.toml:2: "),
        ("set|main.workers|2|--server|a b", "gatepost: PREFIX/conf/settings.toml:"),
        (
            "set|lookup.master.password_file|hunter2",
            "gatepost: lookup.master.password_file is a path",
        ),
        ("unset|main.workers", "gatepost: main.workers is not set in global"),
    ] {
        let ran = ran(folder.path(), words);
        assert_eq!((ran.exit, ran.out.as_str()), (1, ""), "{words}");
        assert!(ran.err.starts_with(err) && !ran.err.contains("hunter2"), "{words}: {}", ran.err);
        assert_eq!(file(&folder), text, "{words}");
    }
    let told = ran(folder.path(), "list").err.replace('"', "\\x22");
    assert!(told.starts_with(faults), "{told}");
    // A change that mends is made, and says what is left.
    let mended = ran(folder.path(), "set|mail.imap.port|143");
    assert!(
        mended.exit == 1 && mended.err.contains(":3: mail.imap.prot is no setting"),
        "{}",
        mended.err
    );
    assert_eq!(file(&folder), text.replace("70000", "143"));
}

#[test]
fn a_file_that_is_not_there_is_begun_as_shipped() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ran(folder.path(), "get|mail.imap.port").out, "143\n");
    assert_eq!(ran(folder.path(), "list").exit, 0);
    assert!(!folder.path().join("conf").exists());
    assert_eq!(ran(folder.path(), "set|mail.imap.port|1143").exit, 0);
    let shipped = settings::shipped();
    assert_eq!(file(&folder), shipped.replace("#mail.imap.port = 143", "mail.imap.port = 1143"));
    assert_eq!(fs::read_dir(folder.path().join("conf")).unwrap().count(), 1);
}

#[test]
fn the_file_keeps_its_mode_and_a_link_its_place() {
    let folder = site("[global]\n");
    let (path, real) = (folder.path().join(settings::FILE), folder.path().join("real.toml"));
    fs::rename(&path, &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();
    assert_eq!(ran(folder.path(), "set|main.workers|2").exit, 0);
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), "[global]\nmain.workers = 2\n");
}

#[test]
fn a_zimbra_site_is_imported() {
    let folder = site("# kept\n[global]\nmain.workers = 2 # kept, too\n");
    let words = format!(
        "import-zimbra|{FIXTURES}/gd.txt|{FIXTURES}/gs-stores.txt|{FIXTURES}/gacf.txt|{FIXTURES}/gs-proxy1.txt"
    );
    let dry = ran(folder.path(), &format!("{words}|--dry-run"));
    assert_eq!((dry.exit, dry.err.as_str()), (0, ""));
    assert!(dry.out.contains("Nothing was written; it would be: "), "{}", dry.out);
    assert_eq!(file(&folder), "# kept\n[global]\nmain.workers = 2 # kept, too\n");
    assert!(!folder.path().join("tls").exists());

    let done = ran(folder.path(), &words);
    assert_eq!((done.exit, done.err.as_str()), (0, ""));
    let text = file(&folder);
    assert!(text.starts_with("# kept\n[global]\nmain.workers = 8 # kept, too\n"), "{text}");
    for shown in [&done.out, &dry.out, &text] {
        assert!(!shown.contains("planted-secret") && !shown.contains("BEGIN "), "{shown}");
    }
    let settings = Settings::parse(&text).unwrap();
    assert_eq!((settings.servers().count(), settings.domains().count()), (3, 12));
    for domain in settings.domains() {
        let at = At::Domain { domain: domain.to_owned(), server: None };
        for name in ["tls.certificate", "tls.key"] {
            let Some(path) = settings.own(settings::find(name).unwrap(), &at) else { continue };
            let about = fs::metadata(path.to_string()).unwrap();
            assert_eq!(about.mode() & 0o777, 0o600, "{path}");
        }
    }
    assert_eq!(fs::metadata(folder.path().join("tls/zimbra")).unwrap().mode() & 0o777, 0o700);
    // A second time there is nothing to do.
    let again = ran(folder.path(), &format!("{words}|--json"));
    let told: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((&told["taken"], &told["written"]), (&serde_json::json!([]), &true.into()));
    assert_eq!(file(&folder), text);
}

#[test]
fn what_zmprov_did_not_print_is_refused() {
    let folder = site("[global]\n");
    let path = folder.path().join("x");
    fs::write(&path, "hello, world\n").unwrap();
    for words in
        [format!("import-zimbra|{}", path.display()), "import-zimbra|/no/such/file".to_owned()]
    {
        let ran = ran(folder.path(), &words);
        assert_eq!((ran.exit, ran.out.as_str()), (1, ""), "{}", ran.err);
    }
}

#[test]
fn every_setting_ends_in_directives_that_there_are() {
    let known = crate::boot::registry::markdown();
    for key in settings::all() {
        for directive in key.directives {
            assert!(known.contains(&format!("#### `{directive}`")), "{}: {directive}", key.name);
        }
    }
}
