use std::time::Duration;

use proptest::prelude::*;
use rcgen::{
    CertificateParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, NameConstraints, SanType,
};

use super::*;
use crate::tls::clients::Reason;
use crate::tls::clients::chain;
use crate::tls::clients::trust::{Sources, Trust};
use crate::tls::fault::{Event, Fault, Why};
use crate::tls::pem;
use rustls::pki_types::UnixTime;

fn now() -> UnixTime {
    // In 2026.
    UnixTime::since_unix_epoch(Duration::from_secs(1_780_000_000))
}

/// Trust in what lies in these files.
struct Court {
    desk: Desk,
    trust: Trust,
}

impl Court {
    fn new(told: &[&Made], untold: &[&Made], crls: Option<&str>) -> Self {
        let desk = Desk::new();
        write_all(&desk, "told.crt", told);
        write_all(&desk, "untold.crt", untold);
        desk.write("all.crl", crls.unwrap_or_default());
        let file = |name: &str, is_there: bool| is_there.then(|| desk.path(name));
        let trust = Trust::new(Sources {
            told: file("told.crt", !told.is_empty()),
            untold: file("untold.crt", !untold.is_empty()),
            crls: file("all.crl", crls.is_some()),
        });
        assert_eq!(trust.fault(), None);
        Self { desk, trust }
    }

    fn finds(&self, sent: &[&Made], depth: usize) -> Option<u8> {
        let sent: Vec<_> = sent.iter().map(|each| each.der.clone()).collect();
        self.finds_in(&sent, depth)
    }

    fn finds_in(&self, sent: &[CertificateDer<'_>], depth: usize) -> Option<u8> {
        chain::fault(sent, &self.trust.known(), depth, now()).map(Reason::number)
    }
}

/// What nginx 1.22 with OpenSSL 3.0 says to each of these, as captured.
#[test]
fn chains_are_judged_as_nginx_does() {
    let root = authority("root", None);
    let old_root = make("old root", None, |params| {
        as_authority(params);
        expired(params);
    });
    let (one, other) = (authority("one", Some(&root)), authority("other", None));
    let two = authority("two", Some(&one));
    let own = make("own", None, |_| {});
    let trusted_own = make("trusted own", None, |_| {});
    let no_ca = leaf("no authority", &root);
    let no_sign = make("no sign", Some(&root), |params| {
        as_authority(params);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let no_more = make("no more", Some(&root), |params| {
        as_authority(params);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let one_more = authority("one more", Some(&no_more));
    let court = Court::new(&[&root, &old_root], &[&trusted_own], None);

    let by = |issuer: &Made| leaf("client", issuer);
    let late = |issuer: &Made| make("client", Some(issuer), expired);
    let server = make("client", Some(&root), |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let client = make("client", Some(&root), |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let early = make("client", Some(&root), |params| params.not_before = date_time_ymd(2080, 1, 1));
    let late_own = make("client", None, expired);
    let odd = make("client", Some(&root), |params| {
        let mut odd = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        odd.set_criticality(true);
        params.custom_extensions = vec![odd];
    });
    for (what, sent, depth, want) in [
        ("good", vec![&by(&root)], 1, None),
        ("good, and marked as a client's", vec![&client], 1, None),
        ("good, with the root", vec![&by(&root), &root], 1, None),
        ("one between", vec![&by(&one), &one], 1, None),
        ("two between", vec![&by(&two), &two, &one], 2, None),
        ("two between, in any order", vec![&by(&two), &one, &other, &two], 2, None),
        ("trusted itself", vec![&trusted_own], 0, None),
        (
            "an authority",
            vec![&make("client", Some(&root), |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            })],
            1,
            None,
        ),
        ("too deep", vec![&by(&two), &two, &one], 1, Some(20)),
        ("no depth", vec![&by(&root)], 0, None),
        ("too deep for none", vec![&by(&one), &one], 0, Some(20)),
        ("a gap", vec![&by(&two), &two], 2, Some(20)),
        ("alone", vec![&by(&one)], 1, Some(21)),
        ("unknown", vec![&by(&other)], 1, Some(21)),
        ("unknown root", vec![&by(&other), &other], 1, Some(19)),
        ("unknown and expired", vec![&late(&other)], 1, Some(10)),
        ("self-signed", vec![&own], 1, Some(18)),
        ("self-signed and expired", vec![&late_own], 1, Some(10)),
        ("expired", vec![&late(&root)], 1, Some(10)),
        ("not yet valid", vec![&early], 1, Some(9)),
        ("by a root that has expired", vec![&by(&old_root)], 1, Some(10)),
        ("a server's", vec![&server], 1, Some(26)),
        ("an authority's own", vec![&one], 1, Some(26)),
        ("by no authority", vec![&by(&no_ca), &no_ca], 1, Some(26)),
        ("by one that may not sign", vec![&by(&no_sign), &no_sign], 1, Some(32)),
        ("below the last", vec![&by(&one_more), &one_more, &no_more], 2, Some(25)),
        ("a critical extension", vec![&odd], 1, Some(34)),
    ] {
        assert_eq!(court.finds(&sent, depth), want, "{what}");
    }
    // Trust begins at a root.
    let court = Court::new(&[&one], &[], None);
    assert_eq!(court.finds(&[&by(&one)], 1), Some(2));
    assert_eq!(court.finds(&[&by(&one), &one, &root], 1), Some(2));
    assert_eq!(Court::new(&[&one], &[&root], None).finds(&[&by(&two), &two], 3), None);
}

#[test]
fn nobody_is_believed_for_a_name() {
    let (root, mimic) = (authority("root", None), authority("root", None));
    let court = Court::new(&[&root], &[], None);
    for sent in [vec![&leaf("client", &mimic)], vec![&leaf("client", &mimic), &mimic], vec![&mimic]]
    {
        assert!(court.finds(&sent, 1).is_some());
    }
    // Without key identifiers names are all there is to find an issuer by.
    let bare = make("client", Some(&mimic), |params| {
        params.use_authority_key_identifier_extension = false;
    });
    assert_eq!(court.finds(&[&bare], 1), Some(7));
    assert_eq!(court.finds(&[&bare, &mimic], 1), Some(7));
    // No byte of a good one can be changed.
    let good = leaf("client", &root);
    for at in 0..good.der.len() {
        let mut bent = good.der.to_vec();
        bent[at] ^= 1;
        let bent = CertificateDer::from(bent);
        assert!(court.finds_in(&[bent], 1).is_some(), "byte {at}");
    }
}

#[test]
fn of_two_roots_with_one_name_the_right_one_is_found() {
    let (old, new) = (authority("root", None), authority("root", None));
    let client = leaf("client", &new);
    assert_eq!(Court::new(&[&old, &new], &[], None).finds(&[&client], 1), None);
    assert_eq!(Court::new(&[&new, &old], &[], None).finds(&[&client], 1), None);
    assert_eq!(Court::new(&[&old], &[], None).finds(&[&client], 1), Some(21));
}

#[test]
fn names_may_be_constrained_from_above() {
    let within = |names: &[&str]| GeneralSubtree::DnsName(names[0].to_owned());
    let root = make("root", None, |params| {
        as_authority(params);
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![within(&["example.com"])],
            excluded_subtrees: vec![],
        });
    });
    let court = Court::new(&[&root], &[], None);
    for (name, want) in [("a.example.com", None), ("a.example.net", Some(47))] {
        let client = make("client", Some(&root), |params| {
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        });
        assert_eq!(court.finds(&[&client], 1), want, "{name}");
    }
    // webpki does not look into this one.
    let client = make("client", Some(&root), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    assert_eq!(court.finds(&[&client], 1), Some(51));
}

#[test]
fn revocation_lists_are_asked_about_everyone() {
    let root = authority("root", None);
    let one = make("one", Some(&root), |params| {
        as_authority(params);
        numbered("one")(params);
    });
    let client = |by: &Made, serial: &str| make("client", Some(by), numbered(serial));
    let as_it_is = |_: &mut CertificateRevocationListParams| {};
    let [of_root, of_one] = [root.crl(&["bad"], as_it_is), one.crl(&["bad"], as_it_is)];
    let late = |params: &mut CertificateRevocationListParams| {
        params.next_update = date_time_ymd(2021, 1, 1);
    };
    let newer = |params: &mut CertificateRevocationListParams| {
        params.this_update = date_time_ymd(2022, 1, 1);
    };
    let early = |params: &mut CertificateRevocationListParams| {
        params.this_update = date_time_ymd(2080, 1, 1);
    };
    let scoped = |scope| {
        move |params: &mut CertificateRevocationListParams| {
            let distribution_point =
                CrlDistributionPoint { uris: vec!["http://a.example/crl".to_owned()] };
            params.issuing_distribution_point =
                Some(CrlIssuingDistributionPoint { distribution_point, scope });
        }
    };
    let mimic = authority("root", None);
    let no_key_id = |text: String| text;
    for (what, lists, by, serial, want) in [
        ("good", of_root.clone(), &root, "good", None),
        ("revoked", of_root.clone(), &root, "bad", Some(23)),
        ("good below", [&*of_root, &of_one].concat(), &one, "good", None),
        ("revoked below", [&*of_root, &of_one].concat(), &one, "bad", Some(23)),
        ("the authority is", root.crl(&["one"], as_it_is) + &of_one, &one, "good", Some(23)),
        ("no list of one", of_root.clone(), &one, "good", Some(3)),
        ("no list of root", of_one.clone(), &one, "good", Some(3)),
        ("expired", root.crl(&[], late), &root, "good", Some(12)),
        ("expired, and revoked", root.crl(&["bad"], late), &root, "bad", Some(12)),
        ("not yet valid", root.crl(&[], early), &root, "good", Some(11)),
        (
            "a valid one counts",
            root.crl(&["bad"], late) + &root.crl(&[], as_it_is),
            &root,
            "bad",
            None,
        ),
        (
            "the newer counts",
            root.crl(&["bad"], newer) + &root.crl(&[], as_it_is),
            &root,
            "bad",
            Some(23),
        ),
        ("another's", no_key_id(mimic.crl(&[], as_it_is)), &root, "good", Some(3)),
        (
            "for users alone",
            root.crl(&[], scoped(Some(CrlScope::UserCertsOnly))),
            &root,
            "good",
            Some(3),
        ),
    ] {
        let court = Court::new(&[&root], &[], Some(&lists));
        let client = client(by, serial);
        let sent = if std::ptr::eq(by, &root) { vec![&client] } else { vec![&client, by] };
        for _ in 0..2 {
            assert_eq!(court.finds(&sent, 1), want, "{what}");
        }
    }
    // The last word is the client's own time, as with OpenSSL.
    let gone = make("client", Some(&root), |params| {
        numbered("bad")(params);
        expired(params);
    });
    assert_eq!(Court::new(&[&root], &[], Some(&of_root)).finds(&[&gone], 1), Some(10));
    let own = make("own", None, |_| {});
    assert_eq!(Court::new(&[&root], &[], Some(&of_root)).finds(&[&own], 1), Some(3));
}

#[test]
fn what_openssl_makes_is_judged_as_openssl_does() {
    let desk = Desk::new();
    desk.openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 9 -keyout root.key -out root.crt -subj /CN=root",
    );
    for (name, bits, digest) in
        [("v1", "2048", "sha256"), ("weak", "1024", "sha256"), ("old", "2048", "sha1")]
    {
        desk.openssl(&format!(
            "req -new -newkey rsa:{bits} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        desk.openssl(&format!(
            "x509 -req -{digest} -in {name}.csr -CA root.crt -CAkey root.key -days 9 \
             -set_serial 7 -out {name}.crt"
        ));
    }
    // What nginx's manuals have: a self-signed one that says it is an authority.
    desk.make_by_openssl("own", "client");
    let sources = Sources {
        told: Some(desk.path("root.crt")),
        untold: Some(desk.path("own.crt")),
        crls: None,
    };
    let trust = Trust::new(sources);
    for (name, want) in [("v1", None), ("own", None), ("weak", Some(66)), ("old", Some(68))] {
        let sent = pem::certificates(&std::fs::read(desk.path(&format!("{name}.crt"))).unwrap());
        let found = chain::fault(&sent.unwrap(), &trust.known(), 1, UnixTime::now());
        assert_eq!(found.map(Reason::number), want, "{name}");
    }
}

#[test]
fn changed_files_are_taken_in_and_bad_ones_are_not() {
    let (root, other) = (authority("root", None), authority("other", None));
    let client = make("client", Some(&root), numbered("client"));
    let list = root.crl(&[], |_| {});
    let court = Court::new(&[&root], &[], Some(&list));
    assert_eq!(court.finds(&[&client], 1), None);
    assert_eq!(court.trust.refresh(), None);

    court.desk.write("all.crl", root.crl(&["client"], |_| {}));
    let event = Event::Renewed(court.desk.path("all.crl"));
    assert_eq!(court.trust.refresh(), Some(event));
    assert_eq!(court.finds(&[&client], 1), Some(23));

    court.desk.write("all.crl", "");
    let fault = Fault::new(court.desk.path("all.crl"), Why::NoCrl);
    assert_eq!(court.trust.refresh(), Some(Event::Bad(fault.clone())));
    assert_eq!(court.trust.refresh(), None, "told once");
    assert_eq!(court.trust.fault(), Some(fault), "and again when asked");
    assert_eq!(court.finds(&[&client], 1), Some(23), "the list from before");

    court.desk.write("all.crl", &list);
    write_all(&court.desk, "told.crt", &[&other]);
    assert!(court.trust.refresh().is_some());
    assert_eq!(court.finds(&[&client], 1), Some(21));
}

#[test]
fn without_good_files_nobody_is_trusted() {
    let root = authority("root", None);
    let client = leaf("client", &root);
    let desk = Desk::new();
    write_all(&desk, "root.crt", &[&root]);
    desk.write("junk.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    desk.write("junk.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (told, crls, why) in [
        ("lost.crt", None, Why::Missing),
        ("junk.crl", None, Why::NoAuthority),
        ("junk.crt", None, Why::NotX509(1)),
        ("root.crt", Some("lost.crl"), Why::Missing),
        ("root.crt", Some("root.crt"), Why::NoCrl),
        ("root.crt", Some("junk.crl"), Why::NotCrl(1)),
    ] {
        let trust = Trust::new(Sources {
            told: Some(desk.path(told)),
            untold: None,
            crls: crls.map(|name| desk.path(name)),
        });
        assert_eq!(trust.fault().unwrap().why, why, "{told} {crls:?}");
        let found = chain::fault(std::slice::from_ref(&client.der), &trust.known(), 1, now());
        assert!(found.is_some(), "{told} {crls:?}");
    }
}

#[test]
fn chains_without_end_are_not_followed() {
    let mut all = vec![authority("0", None)];
    for name in 1..40 {
        let next = authority(&name.to_string(), all.last());
        all.push(next);
    }
    let court = Court::new(&[&all[0]], &[], None);
    for (between, want) in [(6, None), (7, Some(22)), (20, Some(20)), (39, Some(20))] {
        let client = leaf("client", &all[between]);
        let mut sent = vec![&client];
        sent.extend(all[1..=between].iter().rev());
        assert_eq!(court.finds(&sent, usize::MAX), want, "{between}");
    }
}

fn bent_params(params: &mut CertificateParams) {
    params.subject_alt_names = vec![SanType::Rfc822Name("a@b.example".try_into().unwrap())];
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(
        at in 0_usize..600, with in any::<[u8; 3]>(), cut in 0_usize..600
    ) {
        thread_local! {
            static MADE: (Court, CertificateDer<'static>) = {
                let root = authority("root", None);
                let court = Court::new(&[&root], &[], None);
                (court, make("client", Some(&root), bent_params).der)
            };
        }
        MADE.with(|(court, good)| {
            let mut bent = good.to_vec();
            let at = at % (bent.len() - 3);
            bent[at..at + 3].copy_from_slice(&with);
            bent.truncate(bent.len().max(cut));
            let is_changed = bent != good.as_ref();
            crate::tls::clients::hold_for_any(&bent);
            let found = court.finds_in(&[CertificateDer::from(bent)], 1);
            assert_eq!(found.is_some(), is_changed);
        });
    }
}
