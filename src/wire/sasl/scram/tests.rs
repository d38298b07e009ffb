use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use proptest::prelude::*;

use super::*;

/// RFC 7677 §3: user "user", password "pencil".
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const OURS: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// RFC 5802 §3: what a server keeps of `password`.
fn verifier(password: &str, salt: &str) -> Verifier {
    let salt = plain(salt.as_bytes()).unwrap();
    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(4096).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = keyed(&salted, &[b"Client Key"]);
    let stored_key = digest::digest(&digest::SHA256, &client_key).as_ref().try_into().unwrap();
    let server_key = keyed(&salted, &[b"Server Key"]);
    Verifier { iterations: 4096, salt, stored_key, server_key }
}

fn pencil() -> Verifier {
    verifier("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==")
}

fn check(verifier: Verifier) -> Check {
    let (challenge, check) = first(FIRST.as_bytes()).unwrap().challenge(OURS, verifier);
    assert!(challenge.starts_with(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s="));
    check
}

fn written(verifier: &Verifier) -> String {
    let Verifier { iterations, salt, stored_key, server_key } = verifier;
    let [salt, stored, server] = [&salt[..], stored_key, server_key].map(encode);
    format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
}

#[test]
fn speaks_as_rfc_7677_shows() {
    let first = first(FIRST.as_bytes()).unwrap();
    assert_eq!((&*first.user, &first.authzid), (&b"user"[..], &None));
    let (challenge, check) = first.challenge(OURS, pencil());
    assert_eq!(challenge, CHALLENGE.as_bytes());
    assert_eq!(check.answer(FINAL.as_bytes()), Ok(Some(SIGNATURE.into())));
}

#[test]
fn another_password_is_disproved() {
    let wrong = verifier("pencil2", "W22ZaJ0SNY7soEsUEjb6gQ==");
    assert_eq!(check(wrong).answer(FINAL.as_bytes()), Ok(None));
    assert_eq!(check(Verifier::fake(b"user", b"key")).answer(FINAL.as_bytes()), Ok(None));
    // Each bit of the proof counts, and all that is signed.
    let message = FINAL.replace("p=dHzb", "p=dHzc");
    assert_eq!(check(pencil()).answer(message.as_bytes()), Ok(None));
    let message = FINAL.replace(",p=", ",x=y,p=");
    assert_eq!(check(pencil()).answer(message.as_bytes()), Ok(None));
}

#[test]
fn reads_each_first_message() {
    for (message, user, authzid) in [
        ("n,,n=user,r=x", "user", None),
        ("y,,n=user,r=x", "user", None),
        ("n,a=boss,n=user,r=x", "user", Some("boss")),
        ("n,a=b=2Co=3Dss,n=u=3Ds=2Cer,r=x", "u=s,er", Some("b,o=ss")),
        ("n,,n=m\u{fc},r=!~,x=later", "m\u{fc}", None),
    ] {
        let first = first(message.as_bytes()).unwrap();
        assert_eq!(&*first.user, user.as_bytes(), "{message}");
        assert_eq!(first.authzid.as_deref(), authzid.map(str::as_bytes), "{message}");
    }
}

#[test]
fn names_each_breach_of_a_first_message() {
    let long = format!("n,,n=u,r={}", "x".repeat(MAX_NONCE + 1));
    for (message, want) in [
        ("", Error::Shape),
        ("n,,", Error::Shape),
        ("n=user,r=x", Error::Shape),
        ("n,,r=x,n=user", Error::Shape),
        ("n,,n=user", Error::Shape),
        ("n,,n=user,r=", Error::Shape),
        ("n,,n=user,r=a b", Error::Shape),
        ("n,,n=user,r=\u{fc}", Error::Shape),
        ("n,,n=user,r=x,later", Error::Shape),
        ("n,,n=user,r=x,m=later", Error::Shape),
        ("n,,n=us=er,r=x", Error::Shape),
        ("n,,m=x,n=user,r=x", Error::Extension),
        ("p=tls-server-end-point,,n=user,r=x", Error::Binding),
        ("n,,n=,r=x", Error::NoUser),
        ("n,a=,n=user,r=x", Error::NoUser),
        ("n,,n=u\r\nDELE 1,r=x", Error::Control),
        ("n,,n=u\0,r=x", Error::Control),
        ("n,a=b\n,n=user,r=x", Error::Control),
        ("n,,n=user,r=a\r\nb", Error::Shape),
        (&*long, Error::TooLong),
    ] {
        assert_eq!(first(message.as_bytes()), Err(want), "{message:?}");
    }
}

#[test]
fn names_each_breach_of_a_last_message() {
    let check = check(pencil());
    for (message, want) in [
        ("", Error::Shape),
        ("c=biws", Error::Shape),
        (&FINAL.replace(",p=", ",q="), Error::Shape),
        (&FINAL.replace("p=dHzb", "p=dHz"), Error::Shape),
        (&FINAL.replace("p=dHzb", "p="), Error::Shape), // 29 bytes
        (&FINAL.replace("c=", "d="), Error::Shape),
        (&FINAL.replace("c=biws", "c=biw"), Error::Shape),
        (&FINAL.replace("c=biws", "c=eSws"), Error::Binding), // y,,
        (&FINAL.replace("k0,", "k1,"), Error::Shape),
        (&FINAL.replace("k0,", ","), Error::Shape),
        (&format!("{FINAL},x=y"), Error::Shape),
        (&FINAL.replace(",p=", ",m=x,p="), Error::Shape),
    ] {
        assert_eq!(check.answer(message.as_bytes()), Err(want), "{message:?}");
    }
}

#[test]
fn a_verifier_is_read_as_postgresql_writes_it() {
    let text = written(&pencil());
    assert!(text.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"));
    assert_eq!(Verifier::parse(text.as_bytes()), Ok(pencil()));
    assert_eq!(Verifier::parse(format!(" {text}\r\n").as_bytes()), Ok(pencil()));
    let long = format!(":{}$", encode(&[0; MAX_SALT + 1]));
    for (text, want) in [
        (String::new(), BadVerifier::Shape),
        (text.replace("SHA-256", "SHA-1"), BadVerifier::Shape),
        (text.replace("$4096", ""), BadVerifier::Shape),
        (format!("{text}$"), BadVerifier::Shape),
        (text.replace("4096:", "4096,"), BadVerifier::Shape),
        (text.replace("4096", "4095"), BadVerifier::Iterations),
        (text.replace("4096", "10000001"), BadVerifier::Iterations),
        (text.replace("4096", "+4096"), BadVerifier::Iterations),
        (text.replace("4096", "99999999999"), BadVerifier::Iterations),
        (text.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""), BadVerifier::Salt),
        (text.replace("gQ==", "gQ"), BadVerifier::Salt),
        (text.replace(":W22ZaJ0SNY7soEsUEjb6gQ==$", &long), BadVerifier::Salt),
        (format!("{text}AAAA"), BadVerifier::Key),
        (text[..text.len() - 4].to_owned(), BadVerifier::Key),
    ] {
        assert_eq!(Verifier::parse(text.as_bytes()), Err(want), "{text}");
    }
}

#[test]
fn a_made_up_verifier_looks_like_a_real_one_and_stays_the_same() {
    let fake = |user: &[u8], key: &[u8]| Verifier::fake(user, key);
    assert_eq!(fake(b"u", b"k"), fake(b"u", b"k"));
    assert_ne!(fake(b"u", b"k").salt, fake(b"v", b"k").salt);
    assert_ne!(fake(b"u", b"k").salt, fake(b"u", b"l").salt);
    assert_eq!(fake(b"u", b"k").salt.len(), pencil().salt.len());
    assert_eq!(fake(b"u", b"k").iterations, pencil().iterations);
    assert_ne!(fake(b"u", b"k").stored_key, fake(b"u", b"k").server_key);
}

#[test]
fn each_first_message_gets_its_own_nonce() {
    let nonce = |message: &str, key: &[u8], salt: &[u8]| {
        first(message.as_bytes()).unwrap().nonce(key, salt)
    };
    let one = nonce(FIRST, b"key", b"1.2");
    assert!(one.len() == 24 && is_nonce(one.as_bytes()));
    assert_eq!(one, nonce(FIRST, b"key", b"1.2"));
    assert_ne!(one, nonce(FIRST, b"other", b"1.2"));
    assert_ne!(one, nonce(FIRST, b"key", b"1.3"));
    assert_ne!(one, nonce("n,,n=user,r=x", b"key", b"1.2"));
}

#[test]
fn nothing_of_a_password_is_printed() {
    let printed = format!("{:?} {:?}", pencil(), check(pencil()));
    assert_eq!(printed, "Verifier(..) Check(..)");
}

proptest! {
    #[test]
    fn holds_for_any_bytes(input in prop::collection::vec(
        prop::sample::select(b"n,,=nrcpm2CD\r\n\0\xff".to_vec()), 0..24)) {
        hold_for_any(&input);
    }

    #[test]
    fn holds_for_what_looks_like_messages(
        first in "[nyp],(a=[a=\r]{0,3})?,(m=x,)?n=[a\u{fc}\0]{0,3}(=2C|=3D|=)?,r=[!-~ ]{0,4}(,x=y)?",
        last in "c=(biws|eSws|=),r=[!-~]{0,4}(ours)?(,x=y)?,p=[A-Za-z+/]{0,3}=?",
        verifier in "SCRAM-SHA-256\\$[0-9]{0,5}:[A-Za-z]{0,4}\\$[A-Za-z]{0,44}:[A-Za-z]{43}=",
    ) {
        hold_for_any(format!("{first}\n{last}").as_bytes());
        hold_for_any(verifier.as_bytes());
    }
}
