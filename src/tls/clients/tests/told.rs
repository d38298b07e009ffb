use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{DnValue, SanType};
use rustls::pki_types::UnixTime;
use x509_parser::asn1_rs::Oid;

use super::*;
use crate::tls::clients::trust::{Sources, Trust};
use crate::tls::clients::{Client, Clients, Verify, name, serial};

/// What becomes of a client that shows `made`, of itself as good as can be.
fn shown(made: &Made) -> Client {
    let desk = Desk::new();
    write_all(&desk, "own.crt", &[made]);
    let sources = Sources { told: Some(desk.path("own.crt")), ..Sources::default() };
    let clients = Clients::new(Verify::On, 1, Arc::new(Trust::new(sources)));
    let client = clients.judge(Some(std::slice::from_ref(&made.der)), UnixTime::now());
    assert_eq!(client.bar(), None);
    client
}

/// What `openssl x509` with `args` says of the certificate in `pem`.
fn openssl(desk: &Desk, pem: &str, args: &[&str]) -> String {
    desk.write("one.crt", pem);
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-in"]).arg(desk.path("one.crt")).args(args);
    let output = command.output().expect("the openssl tool is installed");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let text = text.strip_suffix('\n').unwrap_or(&text);
    text.split_once('=').map_or(text, |(_, value)| value).to_owned()
}

#[test]
fn names_read_as_openssl_prints_them() {
    use DnType as T;
    let desk = Desk::new();
    let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
    let oid = |parts: &[u64]| T::CustomDnType(parts.to_vec());
    let email = || oid(&[1, 2, 840, 113_549, 1, 9, 1]);
    let table = [
        vec![
            (T::CountryName, DnValue::PrintableString(PrintableString::try_from("DE").unwrap())),
            (T::OrganizationName, utf8("Example & Co")),
            (T::CommonName, utf8("x")),
        ],
        vec![(T::CommonName, utf8(" #lead, +and \"quo\\ted\" <a>;b=c "))],
        vec![(T::CommonName, utf8("#")), (T::LocalityName, utf8(" "))],
        vec![(T::CommonName, utf8("")), (T::StateOrProvinceName, utf8("a b"))],
        vec![
            (T::CommonName, utf8("J\u{fc}rgen \u{1f600} \u{4e2d}")),
            (T::LocalityName, utf8("a\r\nb\0\x7f")),
        ],
        vec![(
            T::CommonName,
            DnValue::BmpString(BmpString::try_from("J\u{fc}r,\u{4e2d}").unwrap()),
        )],
        vec![(T::CommonName, DnValue::TeletexString(TeletexString::try_from("abc").unwrap()))],
        vec![(
            T::CommonName,
            DnValue::UniversalString(UniversalString::try_from("\u{1f600}x").unwrap()),
        )],
        vec![(email(), DnValue::Ia5String(Ia5String::try_from("a@b.example").unwrap()))],
        vec![(oid(&[1, 2, 3, 4, 5]), utf8("unknown")), (T::CommonName, utf8("known"))],
        vec![(oid(&[1, 2, 3, 4]), utf8(&"long".repeat(100)))],
    ];
    for parts in table {
        let made = make("", None, |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, value) in &parts {
                params.distinguished_name.push(kind.clone(), value.clone());
            }
        });
        let want = openssl(&desk, &made.pem, &["-subject", "-nameopt", "RFC2253"]);
        let (_, x509) = x509_parser::parse_x509_certificate(&made.der).unwrap();
        assert_eq!(name::of(x509.subject()), want, "{parts:?}");
    }
}

#[test]
fn every_short_name_is_openssls() {
    let desk = Desk::new();
    for (number, _) in name::SHORT {
        let number: Oid<'_> = number.parse().unwrap();
        let number = number.iter().unwrap().collect();
        let made = make("", None, |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CustomDnType(number), "x");
        });
        let want = openssl(&desk, &made.pem, &["-subject", "-nameopt", "RFC2253"]);
        let (_, x509) = x509_parser::parse_x509_certificate(&made.der).unwrap();
        assert_eq!(name::of(x509.subject()), want);
    }
}

#[test]
fn parts_of_several_values_read_as_openssl_prints_them() {
    let desk = Desk::new();
    desk.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -keyout a.key \
         -out a.crt -multivalue-rdn -subj /DC=example/OU=Sales+CN=J.+UID=j/CN=second",
    );
    let pem = std::fs::read_to_string(desk.path("a.crt")).unwrap();
    let want = openssl(&desk, &pem, &["-subject", "-nameopt", "RFC2253"]);
    let der = crate::tls::pem::certificates(pem.as_bytes()).unwrap().remove(0);
    let (_, x509) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(name::of(x509.subject()), want);
    assert!(want.contains('+'), "{want}");
    // The last common name is the one that is most its own.
    let made = Made { der: der.clone(), pem, ..make("", None, |_| {}) };
    assert_eq!(shown(&made).name().as_deref(), Some(&b"second"[..]));
}

#[test]
fn what_is_told_is_what_openssl_says() {
    let desk = Desk::new();
    for number in
        [&b"\x01"[..], b"\x7f", b"\x80\x00", b"\x0a\xbc", b"\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        let made = make("client", None, |params| {
            params.serial_number = Some(SerialNumber::from_slice(number));
        });
        let told = shown(&made).told().unwrap();
        let ask = |args: &[&str]| openssl(&desk, &made.pem, args);
        assert_eq!(told.verify, "SUCCESS");
        assert_eq!(told.subject, ask(&["-subject", "-nameopt", "RFC2253"]));
        assert_eq!(told.issuer, ask(&["-issuer", "-nameopt", "RFC2253"]));
        assert_eq!(told.serial, ask(&["-serial"]));
        let fingerprint = ask(&["-fingerprint", "-sha1"]).replace(':', "").to_lowercase();
        assert_eq!(told.fingerprint, fingerprint);
        assert_eq!(told.pem, made.pem.replace("\r\n", "\n"));
    }
}

#[test]
fn serials_read_as_integers() {
    for (der, want) in [
        (&[0x00][..], "00"),
        (&[0x01], "01"),
        (&[0x00, 0x80], "80"),
        (&[0x0a, 0xbc], "0ABC"),
        (&[0xff], "-01"),
        (&[0x80], "-80"),
        (&[0xff, 0x00], "-0100"),
        (&[], ""),
    ] {
        assert_eq!(serial(der), want, "{der:?}");
    }
}

#[test]
fn an_external_login_is_by_mail_address_or_common_name() {
    let ia5 = |text: &str| Ia5String::try_from(text).unwrap();
    let mail = |text: &str| SanType::Rfc822Name(ia5(text));
    let long = "x".repeat(321);
    for (alternatives, emails, names, want) in [
        (
            vec![mail("a@b.example"), mail("c@b.example")],
            vec!["e@b.example"],
            vec!["n"],
            Some("a@b.example"),
        ),
        (
            vec![SanType::DnsName(ia5("b.example"))],
            vec!["e@b.example"],
            vec!["n"],
            Some("e@b.example"),
        ),
        (vec![], vec![], vec!["J\u{fc}rgen"], Some("J\u{fc}rgen")),
        (vec![], vec![], vec![], None),
        (vec![], vec![], vec![""], None),
        (vec![], vec![], vec![&long], None),
        (vec![], vec![], vec!["a\r\nb"], None),
        (vec![], vec![], vec!["a\0b"], None),
        (vec![], vec![], vec!["a\u{85}b"], None),
        // The first that there is counts, good or not.
        (vec![mail("a\nb")], vec![], vec!["n"], None),
        (vec![], vec!["a\tb"], vec!["n"], None),
    ] {
        let made = make("", None, |params| {
            params.subject_alt_names = alternatives.clone();
            params.distinguished_name = rcgen::DistinguishedName::new();
            let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
            for text in &names {
                params.distinguished_name.push(DnType::CommonName, *text);
            }
            for text in &emails {
                params.distinguished_name.push(email.clone(), DnValue::Ia5String(ia5(text)));
            }
        });
        let found = shown(&made).name();
        assert_eq!(found.as_deref(), want.map(str::as_bytes), "{names:?}");
    }
}

proptest! {
    #[test]
    fn any_name_is_one_line_of_ascii(text in ".{0,40}", other in any::<String>()) {
        let made = make(&text, None, |params| {
            params.distinguished_name.push(DnType::OrganizationName, other);
        });
        let told = shown(&made).told().unwrap();
        let is_plain = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(is_plain(&told.subject) && is_plain(&told.issuer), "{told:?}");
    }
}
