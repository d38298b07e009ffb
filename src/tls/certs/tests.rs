use std::os::unix::fs::symlink;

use rustls::pki_types::CertificateDer;

use super::*;
use crate::tls::fault::Why;
use crate::tls::pem;
use crate::tls::support::{Desk, leaf};

fn served(identity: &Identity) -> Option<CertificateDer<'static>> {
    let loaded = identity.pairs.first()?.loaded.load_full()?;
    loaded.key.cert.first().cloned()
}

#[test]
fn a_pair_is_loaded_once_for_all_who_name_it() {
    let (desk, store) = (Desk::new(), Store::default());
    let files = [desk.make("a", "a.example")];
    let (one, faults) = store.identity(&files);
    assert_eq!(faults, []);
    let (two, _) = store.identity(&files);
    assert!(Arc::ptr_eq(&one.pairs[0], &two.pairs[0]));
    drop((one, two));
    store.refresh();
    assert!(store.pairs.lock().unwrap().is_empty(), "nobody needs it any more");
}

#[test]
fn a_change_is_served_and_told_once() {
    let (desk, store) = (Desk::new(), Store::default());
    let files = desk.make("a", "a.example");
    let (identity, _) = store.identity(std::slice::from_ref(&files));
    assert_eq!(store.refresh(), []);
    let before = served(&identity);
    desk.make("a", "a.example");
    assert_eq!(store.refresh(), [Event::Renewed(files.certificate.clone())]);
    assert_ne!(served(&identity), before);
    assert_eq!(served(&identity), Some(leaf(&files.certificate)));
    assert_eq!(store.refresh(), []);
}

#[test]
fn a_swapped_link_is_a_change() {
    let (desk, store) = (Desk::new(), Store::default());
    for version in ["one", "two"] {
        std::fs::create_dir(desk.path(version)).unwrap();
        desk.make(&format!("{version}/tls"), "a.example");
    }
    // As Kubernetes does it: the link is to a directory.
    symlink("one", desk.path("live")).unwrap();
    let (identity, faults) = store.identity(&[desk.files("live/tls")]);
    assert_eq!(faults, []);
    symlink("two", desk.path("next")).unwrap();
    std::fs::rename(desk.path("next"), desk.path("live")).unwrap();
    assert_eq!(store.refresh(), [Event::Renewed(desk.path("live/tls.crt"))]);
    assert_eq!(served(&identity), Some(leaf(&desk.path("two/tls.crt"))));
}

#[test]
fn a_bad_change_keeps_what_was_good() {
    let (desk, store) = (Desk::new(), Store::default());
    let files = desk.make("a", "a.example");
    let other = desk.make("b", "a.example");
    let (identity, _) = store.identity(std::slice::from_ref(&files));
    let before = served(&identity);

    // Half of a renewal: the certificate has come, its key has not.
    desk.write("a.crt", std::fs::read(&other.certificate).unwrap());
    let fault = Fault::new(&files.key, Why::Mismatch(files.certificate.clone()));
    assert_eq!(store.refresh(), [Event::Bad(fault.clone())]);
    assert_eq!(store.refresh(), [], "told once");
    assert_eq!(served(&identity), before);
    // A reload of the configuration tells it again, and still serves.
    let (reloaded, faults) = store.identity(std::slice::from_ref(&files));
    assert_eq!(faults, [fault]);
    assert_eq!(served(&reloaded), before);

    desk.write("a.key", std::fs::read(&other.key).unwrap());
    assert_eq!(store.refresh(), [Event::Renewed(files.certificate.clone())]);
    assert_eq!(served(&identity), Some(leaf(&other.certificate)));
    assert_eq!(store.identity(&[files]).1, []);
}

#[test]
fn what_was_missing_is_served_when_it_comes() {
    let (desk, store) = (Desk::new(), Store::default());
    let (identity, faults) = store.identity(&[desk.files("a")]);
    assert_eq!(faults, [Fault::new(desk.path("a.crt"), Why::Missing)]);
    assert!(identity.is_empty());
    desk.make("a", "a.example");
    assert_eq!(store.refresh(), [Event::Renewed(desk.path("a.crt"))]);
    assert!(!identity.is_empty());
}

#[test]
fn a_bad_pair_leaves_the_others_alone() {
    let (desk, store) = (Desk::new(), Store::default());
    let good = desk.make("good", "a.example");
    let (identity, faults) = store.identity(&[desk.files("none"), good.clone()]);
    assert_eq!(faults.len(), 1);
    assert!(!identity.is_empty());
    assert_eq!(identity.expiry().len(), 1);
    assert_eq!(identity.expiry()[0].certificate, good.certificate);
}

#[test]
fn each_fault_has_its_reason() {
    let desk = Desk::new();
    let good = desk.make("good", "a.example");
    desk.make("other", "a.example");
    desk.openssl("pkey -in good.key -aes256 -passout pass:secret -out pkcs8.key");
    desk.openssl("ec -in good.key -aes256 -passout pass:secret -out old.key");
    desk.openssl("req -x509 -newkey rsa:1024 -nodes -keyout short.key -out short.crt -subj /CN=a");
    desk.openssl("genpkey -algorithm X448 -out x448.key");
    desk.write("empty.crt", "");
    desk.write("junk.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    desk.write("text.key", "-----BEGIN PRIVATE KEY-----\n?\n-----END PRIVATE KEY-----\n");
    desk.write("large.crt", vec![b'\n'; pem::MAX_FILE + 1]);
    std::fs::create_dir(desk.path("dir")).unwrap();
    for (certificate, key, want) in [
        ("none.crt", "good.key", Why::Missing),
        ("good.crt", "none.key", Why::Missing),
        ("good.crt/x", "good.key", Why::Missing),
        ("empty.crt", "good.key", Why::NoCertificate),
        ("good.key", "good.key", Why::NoCertificate),
        ("junk.crt", "good.key", Why::NotX509(1)),
        ("large.crt", "good.key", Why::TooLarge(pem::MAX_FILE)),
        ("good.crt", "good.crt", Why::NoKey),
        ("good.crt", "pkcs8.key", Why::Encrypted),
        ("good.crt", "old.key", Why::Encrypted),
        ("good.crt", "x448.key", Why::UnusableKey),
        ("short.crt", "short.key", Why::ShortRsa(1024)),
        ("good.crt", "other.key", Why::Mismatch(good.certificate.clone())),
    ] {
        let files =
            Files { certificate: desk.path(certificate), key: desk.path(key), passwords: None };
        let (identity, faults) = Store::default().identity(&[files]);
        assert!(identity.is_empty());
        let why: Vec<_> = faults.iter().map(|fault| fault.why.clone()).collect();
        assert_eq!(why, [want], "{certificate} {key}");
        assert!(!faults[0].to_string().contains('\n'));
    }
    let files =
        Files { certificate: good.certificate, key: desk.path("text.key"), passwords: None };
    let (_, faults) = Store::default().identity(&[files]);
    assert!(matches!(faults[0].why, Why::NotPem(_)), "{faults:?}");
}

#[test]
fn a_mismatch_names_both_files_and_how_to_compare_them() {
    let desk = Desk::new();
    let (one, two) = (desk.make("one", "a.example"), desk.make("two", "a.example"));
    let files =
        Files { certificate: one.certificate.clone(), key: two.key.clone(), passwords: None };
    let (_, faults) = Store::default().identity(&[files]);
    let text = faults[0].to_string();
    assert!(
        text.starts_with(&format!("cannot use {:?}: its private key does not", two.key)),
        "{text}"
    );
    assert!(
        text.contains(&format!("certificate in {:?}; give the key", one.certificate)),
        "{text}"
    );
    assert!(text.contains("openssl pkey -pubout -in "), "{text}");
}

#[test]
fn one_file_may_hold_both() {
    let desk = Desk::new();
    let files = desk.make("a", "a.example");
    let (certificate, key) = (std::fs::read(files.certificate), std::fs::read(files.key));
    desk.write("both.pem", [key.unwrap(), certificate.unwrap()].concat());
    let both =
        Files { certificate: desk.path("both.pem"), key: desk.path("both.pem"), passwords: None };
    assert_eq!(Store::default().identity(&[both]).1, []);
}

#[test]
fn the_time_a_certificate_ends_is_known() {
    let desk = Desk::new();
    desk.make_by_openssl("a", "a.example");
    let (identity, faults) = Store::default().identity(&[desk.files("a")]);
    assert_eq!(faults, []);
    let now = rustls::pki_types::UnixTime::now().as_secs() as i64;
    let days = (identity.expiry()[0].not_after - now) as f64 / 86400.0;
    assert!((9.9..10.1).contains(&days), "{days}");
}

#[test]
fn an_encrypted_key_is_opened_by_a_pass_phrase_in_its_file() {
    let (desk, store) = (Desk::new(), Store::default());
    let plain = desk.make("a", "a.example");
    desk.openssl("pkey -in a.key -aes256 -passout pass:first -out locked.key");
    let files = |passwords: &str| Files {
        certificate: plain.certificate.clone(),
        key: desk.path("locked.key"),
        passwords: Some(desk.path(passwords)),
    };
    desk.write("good", "other\nfirst\n");
    desk.write("bad", "second\n");
    desk.openssl("ec -in a.key -camellia128 -passout pass:first -out odd.key");
    let odd = Files { key: desk.path("odd.key"), ..files("good") };
    let unencrypted = Files { key: plain.key.clone(), ..files("lost") };
    for (files, want) in [
        (files("good"), None),
        (unencrypted, None),
        (files("lost"), Some((desk.path("lost"), Why::Missing))),
        (files("bad"), Some((desk.path("locked.key"), Why::Locked(desk.path("bad"))))),
    ] {
        let (identity, faults) = store.identity(std::slice::from_ref(&files));
        assert_eq!(identity.is_empty(), want.is_some());
        let want: Vec<_> = want.map(|(file, why)| Fault::new(file, why)).into_iter().collect();
        assert_eq!(faults, want);
    }
    let (_, faults) = store.identity(&[odd]);
    let text = faults[0].to_string();
    assert!(text.contains("CAMELLIA-128-CBC") && text.contains("openssl pkey"), "{text}");
    for file in ["good", "bad"] {
        let (_, faults) = store.identity(&[files(file)]);
        let text =
            format!("{faults:?}{}", faults.iter().map(ToString::to_string).collect::<String>());
        assert!(!text.contains("second") && !text.contains("first"), "{text}");
    }
}

#[test]
fn a_lost_pass_phrase_keeps_the_certificate_in_use() {
    let (desk, store) = (Desk::new(), Store::default());
    let plain = desk.make("a", "a.example");
    desk.openssl("pkey -in a.key -aes256 -passout pass:first -out locked.key");
    desk.write("pass", "first\n");
    let files = Files { key: desk.path("locked.key"), passwords: Some(desk.path("pass")), ..plain };
    let (identity, faults) = store.identity(std::slice::from_ref(&files));
    assert_eq!((faults, store.refresh()), (vec![], vec![]));
    let before = served(&identity);
    desk.write("pass", "second\n");
    let fault = Fault::new(desk.path("locked.key"), Why::Locked(desk.path("pass")));
    assert_eq!(store.refresh(), [Event::Bad(fault.clone())]);
    let (again, faults) = store.identity(std::slice::from_ref(&files));
    assert_eq!((served(&again), faults), (before, vec![fault]));
    desk.write("pass", "first\n");
    assert_eq!(store.refresh(), [Event::Renewed(files.certificate)]);
}
