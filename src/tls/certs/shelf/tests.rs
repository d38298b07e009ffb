use std::fs;
use std::time::Instant;

use rcgen::{
    CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SanType,
    date_time_ymd,
};
use tempfile::TempDir;

use super::*;

const ANY: &[SignatureScheme] =
    &[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];

/// A folder of certificates that share a key each kind.
struct Rack {
    dir: TempDir,
    ecdsa: KeyPair,
}

impl Rack {
    fn new() -> Self {
        let ecdsa = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { dir: tempfile::tempdir().unwrap(), ecdsa }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As certbot does it: another file under the name.
        fs::write(self.path(".new"), text).unwrap();
        fs::rename(self.path(".new"), path).unwrap();
    }

    fn put_as(&self, certificate: &str, key: &str, params: &CertificateParams, pair: &KeyPair) {
        self.write(certificate, &params.self_signed(pair).unwrap().pem());
        self.write(key, &pair.serialize_pem());
    }

    /// `NAME/fullchain.pem` for `names` until the end of `year`.
    fn put(&self, name: &str, names: &[&str], year: i32) {
        let files = (format!("{name}/fullchain.pem"), format!("{name}/privkey.pem"));
        self.put_as(&files.0, &files.1, &until(names, year), &self.ecdsa);
    }

    fn shelf(&self) -> Shelf {
        let shelf = Shelf::new(vec![self.dir.path().to_owned()], None);
        assert_eq!(shelf.refresh(), []);
        shelf
    }

    fn leaf(&self, name: &str) -> CertificateDer<'static> {
        crate::tls::support::leaf(&self.path(name))
    }
}

fn until(names: &[&str], year: i32) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_after = date_time_ymd(year, 12, 31);
    params
}

/// The file that serves `name`.
fn served(rack: &Rack, shelf: &Shelf, name: &str) -> Option<String> {
    served_to(rack, shelf, name, ANY)
}

fn served_to(
    rack: &Rack,
    shelf: &Shelf,
    name: &str,
    schemes: &[SignatureScheme],
) -> Option<String> {
    let key = shelf.by_name(name, schemes)?;
    let index = shelf.index.load();
    let of = |one: &&Arc<Entry>| {
        one.good.as_ref().is_some_and(|good| *good.chain[0] == **key.cert.first().unwrap())
    };
    let file = &index.entries().iter().find(of)?.found.certificate;
    Some(file.strip_prefix(rack.dir.path()).unwrap().display().to_string())
}

#[test]
fn a_name_finds_its_certificate() {
    let rack = Rack::new();
    rack.put("one", &["mail.a.example", "IMAP.a.example"], 2100);
    rack.put("wild", &["*.a.example"], 2200);
    rack.put("deep", &["*.eu.a.example"], 2100);
    rack.put("short", &["twice.example"], 2090);
    rack.put("long", &["twice.example"], 2110);
    rack.put("ended", &["twice.example", "old.example", "old.b.example"], 2020);
    rack.put("ended", &["twice.example", "old.example", "old.b.example"], 2020);
    rack.put("b", &["*.b.example"], 2100);
    rack.put("folder.example", &[], 2100);
    rack.put_as(
        "zimbra.example.crt",
        "zimbra.example.key",
        &until(&["z.example"], 2100),
        &rack.ecdsa,
    );
    let both = until(&["both.example"], 2100).self_signed(&rack.ecdsa).unwrap().pem();
    rack.write("both.pem", &(rack.ecdsa.serialize_pem() + &both));
    let shelf = rack.shelf();
    for (name, want) in [
        ("mail.a.example", Some("one/fullchain.pem")),
        ("mail.a.example.", Some("one/fullchain.pem")),
        ("imap.a.example", Some("one/fullchain.pem")),
        ("pop.a.example", Some("wild/fullchain.pem")),
        ("x.eu.a.example", Some("deep/fullchain.pem")),
        // One label alone, unlike server_name.
        ("x.y.eu.a.example", None),
        ("a.example", None),
        (".a.example", None),
        ("twice.example", Some("long/fullchain.pem")),
        // Better one that has ended than another's; better a valid wildcard than that.
        ("old.example", Some("ended/fullchain.pem")),
        ("old.b.example", Some("b/fullchain.pem")),
        ("folder.example", Some("folder.example/fullchain.pem")),
        ("z.example", Some("zimbra.example.crt")),
        ("zimbra.example", None),
        ("both.example", Some("both.pem")),
        ("nobody.example", None),
        ("", None),
    ] {
        assert_eq!(served(&rack, &shelf, name).as_deref(), want, "{name}");
    }
    assert_eq!(shelf.faults(), []);
}

#[test]
fn the_clients_schemes_choose_between_kinds_of_keys() {
    let rack = Rack::new();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    rack.put("e", &["a.example"], 2090);
    rack.put_as("r/fullchain.pem", "r/privkey.pem", &until(&["a.example"], 2100), &rsa);
    let shelf = rack.shelf();
    for (scheme, want) in [
        (SignatureScheme::ECDSA_NISTP256_SHA256, "e/fullchain.pem"),
        (SignatureScheme::RSA_PSS_SHA256, "r/fullchain.pem"),
        (SignatureScheme::ED25519, "r/fullchain.pem"),
    ] {
        assert_eq!(served_to(&rack, &shelf, "a.example", &[scheme]).as_deref(), Some(want));
    }
}

#[test]
fn an_address_finds_the_certificate_that_names_it() {
    let rack = Rack::new();
    let mut params = until(&["a.example"], 2100);
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 2].into()));
    rack.put_as("a.crt", "a.key", &params, &rack.ecdsa);
    let shelf = rack.shelf();
    for (ip, want) in [("127.0.0.2", true), ("::ffff:127.0.0.2", true), ("127.0.0.3", false)] {
        assert_eq!(shelf.by_address(ip.parse().unwrap(), ANY).is_some(), want, "{ip}");
    }
}

#[test]
fn a_bad_one_is_told_and_the_others_serve() {
    let rack = Rack::new();
    let other = KeyPair::generate().unwrap();
    rack.put("good", &["good.example"], 2100);
    for name in ["mismatch", "keyless", "junk", "stapled", "empty"] {
        rack.put(name, &[&format!("{name}.example")], 2100);
    }
    rack.put("backed", &["mismatch.example"], 2050);
    rack.write("mismatch/privkey.pem", &other.serialize_pem());
    fs::remove_file(rack.path("keyless/privkey.pem")).unwrap();
    rack.write(
        "junk/fullchain.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    rack.write("empty/fullchain.pem", "");
    let mut params = until(&["stapled.example"], 2100);
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 5, 5, 7, 1, 24],
        vec![0x30, 3, 2, 1, 5],
    )];
    rack.put_as("stapled/fullchain.pem", "stapled/privkey.pem", &params, &rack.ecdsa);
    // None of these is anybody's certificate.
    rack.write("notes.txt", "hello");
    rack.write("dh.pem", "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n");
    let shelf = rack.shelf();
    let why = |shelf: &Shelf| {
        let mut all: Vec<_> = shelf.faults().into_iter().map(|one| (one.file, one.why)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let mut want = vec![
        (rack.path("empty/fullchain.pem"), Why::NoCertificate),
        (rack.path("junk/fullchain.pem"), Why::NotX509(1)),
        (rack.path("keyless/privkey.pem"), Why::Missing),
        (rack.path("stapled/fullchain.pem"), Why::MustStaple),
    ];
    assert_eq!(why(&shelf), want);
    assert_eq!(served(&rack, &shelf, "mismatch.example").as_deref(), Some("backed/fullchain.pem"));
    let fault = Fault::new(
        rack.path("mismatch/privkey.pem"),
        Why::Mismatch(rack.path("mismatch/fullchain.pem")),
    );
    assert_eq!(shelf.refresh(), [Event::Bad(fault.clone())], "somebody asked for it");
    assert_eq!(shelf.refresh(), [], "told once");
    want.insert(3, (fault.file, fault.why));
    assert_eq!(why(&shelf), want);
    assert_eq!(served(&rack, &shelf, "good.example").as_deref(), Some("good/fullchain.pem"));
    assert_eq!(shelf.expiry().len(), 2);
}

#[test]
fn what_nobody_asks_for_is_tried_bit_by_bit() {
    let rack = Rack::new();
    for name in ["a", "b", "c"] {
        rack.put(name, &[&format!("{name}.example")], 2100);
    }
    rack.write("c/privkey.pem", &KeyPair::generate().unwrap().serialize_pem());
    let shelf = rack.shelf();
    assert!(shelf.prove(2), "one is left");
    assert_eq!(shelf.refresh(), []);
    assert!(!shelf.prove(2));
    assert_eq!(shelf.refresh().len(), 1);
}

#[test]
fn what_is_added_replaced_and_removed_is_seen() {
    let rack = Rack::new();
    rack.put("a", &["a.example"], 2100);
    let shelf = rack.shelf();
    assert_eq!(shelf.refresh(), []);
    rack.put("b", &["b.example"], 2100);
    assert_eq!(shelf.refresh(), [Event::Added(rack.path("b/fullchain.pem"))]);
    let before = shelf.by_name("b.example", ANY).unwrap();
    rack.put("b", &["b.example", "c.example"], 2101);
    assert_eq!(shelf.refresh(), [Event::Renewed(rack.path("b/fullchain.pem"))]);
    let after = shelf.by_name("b.example", ANY).unwrap();
    assert_ne!(before.cert, after.cert);
    assert_eq!(after.cert[0], rack.leaf("b/fullchain.pem"));
    assert!(shelf.by_name("c.example", ANY).is_some());
    fs::remove_dir_all(rack.path("b")).unwrap();
    assert_eq!(shelf.refresh(), [Event::Removed(rack.path("b/fullchain.pem"))]);
    assert!(shelf.by_name("b.example", ANY).is_none());
    assert!(shelf.by_name("a.example", ANY).is_some());
    assert_eq!(shelf.refresh(), []);
}

#[test]
fn files_that_turn_bad_leave_what_was_good() {
    let rack = Rack::new();
    let other = KeyPair::generate().unwrap();
    rack.put("a", &["a.example"], 2100);
    let shelf = rack.shelf();
    let before = shelf.by_name("a.example", ANY).unwrap();
    // Half of a renewal: the certificate has come, its key has not.
    let fresh = until(&["a.example"], 2101).self_signed(&other).unwrap().pem();
    rack.write("a/fullchain.pem", &fresh);
    let fault = Fault::new(rack.path("a/privkey.pem"), Why::Mismatch(rack.path("a/fullchain.pem")));
    assert_eq!(shelf.refresh(), [Event::Bad(fault.clone())]);
    assert_eq!(shelf.refresh(), []);
    assert_eq!(shelf.faults(), [fault]);
    assert_eq!(shelf.by_name("a.example", ANY).unwrap().cert, before.cert);
    rack.write("a/privkey.pem", &other.serialize_pem());
    assert_eq!(shelf.refresh(), [Event::Renewed(rack.path("a/fullchain.pem"))]);
    assert_ne!(shelf.by_name("a.example", ANY).unwrap().cert, before.cert);
    assert_eq!(shelf.faults(), []);

    // A folder that is lost altogether ends nobody's service.
    fs::rename(rack.dir.path(), rack.dir.path().with_extension("away")).unwrap();
    let lost = Fault::new(rack.dir.path(), Why::Missing);
    assert!(shelf.refresh().contains(&Event::Bad(lost)));
    assert!(shelf.by_name("a.example", ANY).is_some());
    fs::rename(rack.dir.path().with_extension("away"), rack.dir.path()).unwrap();
    shelf.refresh();
    assert_eq!(shelf.faults(), []);
}

#[test]
fn what_serves_in_place_of_bad_files_ends_with_its_time() {
    let rack = Rack::new();
    rack.put("a", &["a.example"], 2020);
    let shelf = rack.shelf();
    assert!(shelf.by_name("a.example", ANY).is_some(), "better than another's");
    rack.write("a/fullchain.pem", "");
    assert_eq!(shelf.refresh().len(), 1);
    assert!(shelf.by_name("a.example", ANY).is_none());
}

#[test]
fn a_pattern_names_folders_and_files() {
    let rack = Rack::new();
    rack.put("x/one/now", &["one.example"], 2100);
    rack.put("x/two/now", &["two.example"], 2100);
    rack.put("x/two/old", &["three.example"], 2100);
    rack.put_as("y.crt", "y.key", &until(&["y.example"], 2100), &rack.ecdsa);
    let patterns = ["x/*/now", "*.crt"].map(|pattern| rack.path(pattern)).to_vec();
    let shelf = Shelf::new(patterns, None);
    assert_eq!(shelf.refresh(), []);
    assert_eq!(shelf.faults(), []);
    for (name, want) in [
        ("one.example", true),
        ("two.example", true),
        ("three.example", false),
        ("y.example", true),
    ] {
        assert_eq!(shelf.by_name(name, ANY).is_some(), want, "{name}");
    }
    rack.put("x/four/now", &["four.example"], 2100);
    assert_eq!(shelf.refresh(), [Event::Added(rack.path("x/four/now/fullchain.pem"))]);
}

fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Loads `count` certificates of two names each, and looks again when nothing has changed.
fn load_many(count: usize) -> (std::time::Duration, std::time::Duration, usize) {
    let rack = Rack::new();
    let mut key = rack.ecdsa.serialize_pem();
    let authority = until(&["authority"], 2100).self_signed(&rack.ecdsa).unwrap().pem();
    key.insert(0, '\n');
    for at in 0..count {
        let names = [format!("mail.d{at}.example"), format!("d{at}.example")];
        let params = until(&[&names[0], &names[1]], 2100);
        let pem = params.self_signed(&rack.ecdsa).unwrap().pem() + &authority;
        let folder = rack.path(&format!("d{at}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("fullchain.pem"), pem).unwrap();
        fs::write(folder.join("privkey.pem"), &key).unwrap();
    }
    let (before, start) = (resident(), Instant::now());
    let shelf = rack.shelf();
    let loading = start.elapsed();
    let start = Instant::now();
    assert_eq!(shelf.refresh(), []);
    let looking = start.elapsed();
    while shelf.prove(500) {}
    for at in 0..count {
        assert!(shelf.by_name(&format!("d{at}.example"), ANY).is_some());
    }
    assert_eq!(shelf.expiry().len(), count);
    let size = resident().saturating_sub(before);
    (loading, looking, size)
}

#[test]
fn hundreds_load_in_a_moment() {
    let (loading, looking, size) = load_many(300);
    assert!(loading.as_secs() < 3 && looking.as_secs() < 1, "{loading:?} {looking:?}");
    assert!(size < 40 << 20, "{size}");
}

/// `cargo nextest run --lib five_thousand --run-ignored all`
#[test]
#[ignore = "measures; takes seconds"]
fn five_thousand_load_within_five_seconds_and_200_mb() {
    let (loading, looking, size) = load_many(5000);
    assert!(loading.as_secs_f64() < 5.0, "{loading:?}");
    assert!(looking.as_secs_f64() < 0.5, "{looking:?}");
    assert!(size < 200 << 20, "{size}");
}
