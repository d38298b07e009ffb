//! OpenSSL's words for versions, ciphers and curves, and what of them there is here.
//!
//! Configurations carry what nginx hands to OpenSSL. What OpenSSL knows and this build has not
//! (old versions, CBC, static RSA) selects nothing, as with an OpenSSL built without it. What
//! nobody knows, and a choice that leaves nothing, are faults.

use std::fmt::Write as _;

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS, DEFAULT_KX_GROUPS};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SupportedCipherSuite, version};

/// The versions of TLS that may be spoken; never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocols {
    Both,
    Tls12,
    Tls13,
}

impl Protocols {
    /// Reads `ssl_protocols`. The second part names what is known and not offered.
    pub fn read(words: &[&str]) -> Result<(Self, Vec<String>), String> {
        let (mut tls12, mut tls13, mut gone) = (false, false, Vec::new());
        for word in words {
            match *word {
                "TLSv1.3" => tls13 = true,
                "TLSv1.2" => tls12 = true,
                "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => gone.push((*word).to_owned()),
                _ => return Err(format!("unknown protocol \"{word}\": give TLSv1.2, TLSv1.3")),
            }
        }
        match (tls12, tls13) {
            (true, true) => Ok((Self::Both, gone)),
            (true, false) => Ok((Self::Tls12, gone)),
            (false, true) => Ok((Self::Tls13, gone)),
            (false, false) => {
                Err("none of these protocols is offered here: give TLSv1.2, TLSv1.3".to_owned())
            }
        }
    }

    pub fn versions(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        static ALL: [&rustls::SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::Both => &ALL,
            Self::Tls12 => &ALL[1..],
            Self::Tls13 => &ALL[..1],
        }
    }
}

/// As nginx's `$ssl_protocol`.
pub fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    }
}

/// As nginx's `$ssl_cipher`: OpenSSL's name.
pub fn cipher_name(suite: Option<CipherSuite>) -> &'static str {
    match suite {
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        Some(other) => OURS.iter().find(|row| row.suite == other).map_or("unknown", |row| row.name),
        None => "unknown",
    }
}

struct Row {
    suite: CipherSuite,
    name: &'static str,
    /// The words that select it in an OpenSSL cipher list, beside [`EACH`] and its name.
    words: &'static [&'static str],
}

/// The ciphers of TLS 1.2 in OpenSSL's order of strength.
const OURS: &[Row] = &[
    Row {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: &["ECDSA", "AECDSA", "AES", "AES256", "AESGCM", "FIPS"],
    },
    Row {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        words: &["ARSA", "AES", "AES256", "AESGCM", "FIPS"],
    },
    Row {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        words: &["ECDSA", "AECDSA", "CHACHA20"],
    },
    Row {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        words: &["ARSA", "CHACHA20"],
    },
    Row {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: &["ECDSA", "AECDSA", "AES", "AES128", "AESGCM", "FIPS"],
    },
    Row {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        words: &["ARSA", "AES", "AES128", "AESGCM", "FIPS"],
    },
];

/// Words that select every one of [`OURS`].
const EACH: &[&str] =
    &["ALL", "DEFAULT", "HIGH", "TLSV1.2", "ECDH", "ECDHE", "EECDH", "KECDHE", "KEECDH", "AEAD"];

/// The parts that names and words for other ciphers are made of.
const KNOWN: &str = "\
    128 256 3DES ADES ADH ADSS AECDH AESCCM AESCCM8 AGOST AGOST01 AGOST12 AKRB5 ANULL APSK ARIA \
    ARIA128 ARIA256 ARIAGCM ASRP CAMELLIA CAMELLIA128 CAMELLIA256 CBC CBC3 CCM CCM8 \
    COMPLEMENTOFALL COMPLEMENTOFDEFAULT DES DH DHE DSA DSS EDH ENULL EXP EXP1024 EXPORT EXPORT40 \
    EXPORT56 GCM GOST GOST12 GOST2001 GOST2012 GOST89 GOST89MAC GOST94 IDEA KDH KDHD KDHE \
    KDHEPSK KDHR KDSS KECDH KECDHE KECDHEPSK KECDHR KEDH KGOST KKRB5 KPSK KRB5 KRSA KRSAPSK KSRP \
    LOW MD5 MEDIUM NULL POLY1305 PSK RC2 RC4 RSA SEED SHA SHA1 SHA256 SHA384 SRP SSLV2 SSLV3 \
    STREEBOG256 STREEBOG512 TLS TLSV1 TLSV1.0 WITH";

/// Reads `ssl_ciphers` as OpenSSL would and gives the ciphers of TLS 1.2 in order of preference.
///
/// Those of TLS 1.3 are not chosen by this list, with OpenSSL neither.
pub fn ciphers(list: &str) -> Result<Vec<CipherSuite>, String> {
    let (mut active, mut killed): (Vec<&Row>, Vec<&str>) = (Vec::new(), Vec::new());
    for item in list.split([':', ',', ' ', ';']).filter(|item| !item.is_empty()) {
        // `@STRENGTH` orders by key length and `@SECLEVEL=n` bars what is not here at all.
        let word = item.split_once('@').map_or(item, |(word, _)| word);
        if word.is_empty() {
            continue;
        }
        let (sign, word) = match word.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &word[1..]),
            _ => (b' ', word),
        };
        let selects = selector(word)?;
        match sign {
            b'!' => {
                killed.extend(OURS.iter().filter(|row| selects(row)).map(|row| row.name));
                active.retain(|row| !selects(row));
            }
            b'-' => active.retain(|row| !selects(row)),
            b'+' => active.sort_by_key(|row| selects(row)),
            _ => {
                for row in OURS.iter().filter(|row| selects(row)) {
                    if !killed.contains(&row.name) && !active.iter().any(|had| had.name == row.name)
                    {
                        active.push(row);
                    }
                }
            }
        }
    }
    if active.is_empty() {
        let mut text = "no cipher match; there are".to_owned();
        for row in OURS {
            let _ = write!(text, " {}", row.name);
        }
        return Err(text);
    }
    Ok(active.iter().map(|row| row.suite).collect())
}

/// What a word such as `HIGH`, `ECDHE+AESGCM` or a cipher's name selects.
fn selector(word: &str) -> Result<impl Fn(&Row) -> bool, String> {
    let upper = word.to_ascii_uppercase();
    // Fedora's and RHEL's way to say "as the system has it".
    let upper = if upper.starts_with("PROFILE=") { "DEFAULT".to_owned() } else { upper };
    for part in upper.split('+') {
        let is_word = |part: &str| {
            EACH.contains(&part)
                || KNOWN.split(' ').any(|known| known == part)
                || OURS.iter().any(|row| row.words.contains(&part))
        };
        let is_named = OURS.iter().any(|row| part == row.name || part == iana(row.suite));
        if !is_named && !part.split(['-', '_']).all(is_word) {
            return Err(format!("unknown cipher \"{word}\""));
        }
    }
    Ok(move |row: &Row| {
        upper.split('+').all(|part| {
            EACH.contains(&part)
                || row.words.contains(&part)
                || part == row.name
                || part == iana(row.suite)
        })
    })
}

fn iana(suite: CipherSuite) -> &'static str {
    suite.as_str().unwrap_or("")
}

/// OpenSSL's names for the suites of TLS 1.3, in the order they are preferred in.
const TLS13: &[CipherSuite] = &[
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// And of those that OpenSSL has besides.
const OTHER_TLS13: &[&str] = &["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

pub fn all_ciphersuites() -> Vec<CipherSuite> {
    TLS13.to_vec()
}

/// Reads `ssl_conf_command Ciphersuites`. The second part names what is known and not offered.
pub fn ciphersuites(list: &str) -> Result<(Vec<CipherSuite>, Vec<String>), String> {
    let (mut found, mut gone) = (Vec::new(), Vec::new());
    for word in list.split(':').filter(|word| !word.is_empty()) {
        match TLS13.iter().find(|suite| cipher_name(Some(**suite)) == word) {
            Some(suite) if found.contains(suite) => {}
            Some(suite) => found.push(*suite),
            None if OTHER_TLS13.contains(&word) => gone.push(word.to_owned()),
            None => return Err(format!("unknown cipher suite \"{word}\"")),
        }
    }
    if found.is_empty() {
        let names: Vec<_> = TLS13.iter().map(|suite| cipher_name(Some(*suite))).collect();
        return Err(format!("no cipher suite match; there are {}", names.join(" ")));
    }
    Ok((found, gone))
}

/// OpenSSL's names of the groups there are.
const GROUPS: &[(&str, NamedGroup)] = &[
    ("X25519MLKEM768", NamedGroup::X25519MLKEM768),
    ("SecP256r1MLKEM768", NamedGroup::secp256r1MLKEM768),
    ("X25519", NamedGroup::X25519),
    ("prime256v1", NamedGroup::secp256r1),
    ("secp256r1", NamedGroup::secp256r1),
    ("P-256", NamedGroup::secp256r1),
    ("secp384r1", NamedGroup::secp384r1),
    ("P-384", NamedGroup::secp384r1),
];

/// And of those that OpenSSL has besides.
const OTHER_GROUPS: &str = "\
    secp521r1 P-521 X448 ffdhe2048 ffdhe3072 ffdhe4096 ffdhe6144 ffdhe8192 brainpoolP256r1 \
    brainpoolP384r1 brainpoolP512r1 brainpoolP256r1tls13 brainpoolP384r1tls13 \
    brainpoolP512r1tls13 secp224r1 P-224 secp256k1 secp192r1 prime192v1 P-192 MLKEM512 MLKEM768 \
    MLKEM1024 SecP384r1MLKEM1024";

/// Reads `ssl_ecdh_curve`. The second part names what is known and not offered.
pub fn curves(list: &str) -> Result<(Vec<NamedGroup>, Vec<String>), String> {
    if list == "auto" {
        return Ok((DEFAULT_KX_GROUPS.iter().map(|group| group.name()).collect(), Vec::new()));
    }
    let (mut found, mut gone) = (Vec::new(), Vec::new());
    for item in list.split([':', '/']).filter(|item| !item.is_empty()) {
        // OpenSSL 3.5: `*` marks a key share, `?` and `-` what may be unknown or is left out.
        let word = item.trim_start_matches(['*', '?']);
        let is_word = |name: &str| name.eq_ignore_ascii_case(word);
        if let Some((_, group)) = GROUPS.iter().find(|(name, _)| is_word(name)) {
            if !found.contains(group) {
                found.push(*group);
            }
        } else if OTHER_GROUPS.split(' ').any(is_word) || item.contains('?') {
            gone.push(word.to_owned());
        } else {
            return Err(format!("unknown curve \"{item}\""));
        }
    }
    if found.is_empty() {
        return Err("none of these curves is offered here: there are X25519MLKEM768, X25519, \
                    prime256v1, secp384r1, SecP256r1MLKEM768"
            .to_owned());
    }
    Ok((found, gone))
}

/// What has been chosen for TLS 1.3, and after it for TLS 1.2.
pub fn suites(tls13: &[CipherSuite], tls12: &[CipherSuite]) -> Vec<SupportedCipherSuite> {
    let of = |name: &CipherSuite| ALL_CIPHER_SUITES.iter().find(|suite| suite.suite() == *name);
    tls13.iter().chain(tls12).filter_map(of).copied().collect()
}

pub fn groups(chosen: &[NamedGroup]) -> Vec<&'static dyn SupportedKxGroup> {
    let of = |name: &NamedGroup| ALL_KX_GROUPS.iter().find(|group| group.name() == *name);
    chosen.iter().filter_map(of).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        ciphers(list).unwrap().into_iter().map(|suite| cipher_name(Some(suite))).collect()
    }

    fn all() -> Vec<&'static str> {
        OURS.iter().map(|row| row.name).collect()
    }

    #[test]
    fn the_usual_expressions_give_all_there_is() {
        for list in [
            "HIGH:!aNULL:!MD5",
            "DEFAULT",
            "ALL:!aNULL:!eNULL:!EXPORT:!DES:!RC4:!PSK:@STRENGTH",
            "HIGH:!SSLv2:!ADH:!kEDH:!kRSA:!3DES@SECLEVEL=2",
            "PROFILE=SYSTEM",
            "EECDH+AESGCM:EECDH+CHACHA20:EDH+AESGCM:EDH+CHACHA20:AES256+EECDH",
            "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
             DHE-RSA-AES256-SHA256:kEDH+AESGCM:\
             ECDHE-RSA-AES128-SHA256:AES128-GCM-SHA256:DES-CBC3-SHA:\
             TLS_AES_256_GCM_SHA384:AES128:AES256:HIGH:\
             !aNULL:!eNULL:!EXPORT:!DES:!MD5:!PSK:!RC4",
        ] {
            let mut found = names(list);
            found.sort_by_key(|name| all().iter().position(|each| each == name));
            assert_eq!(found, all(), "{list}");
        }
    }

    #[test]
    fn a_list_selects_and_orders_as_openssl_does() {
        let (e256, r256) = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384");
        let (e128, r128) = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256");
        for (list, want) in [
            ("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384", vec![r128, e256]),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", vec![r128]),
            ("AES128,AES256", vec![e128, r128, e256, r256]),
            ("AESGCM+aRSA", vec![r256, r128]),
            ("AESGCM:!aRSA:aRSA+AES", vec![e256, e128]),
            ("AESGCM:-aRSA:aRSA+AES128", vec![e256, e128, r128]),
            ("AESGCM:+AES256", vec![e128, r128, e256, r256]),
        ] {
            assert_eq!(names(list), want, "{list}");
        }
    }

    #[test]
    fn the_unknown_and_the_impossible_are_faults() {
        assert_eq!(ciphers("HIGH:SHINY").unwrap_err(), "unknown cipher \"SHINY\"");
        assert_eq!(ciphers("ECDHE-SHINY-SHA").unwrap_err(), "unknown cipher \"ECDHE-SHINY-SHA\"");
        for list in ["AES128-SHA:DES-CBC3-SHA", "HIGH:!ALL", "", "TLS_AES_128_GCM_SHA256"] {
            assert!(ciphers(list).unwrap_err().starts_with("no cipher match"), "{list}");
        }
        assert!(curves("X25519:curve7").unwrap_err().contains("curve7"));
        assert!(curves("X448:secp521r1").unwrap_err().starts_with("none of these"));
        assert!(Protocols::read(&["TLSv1", "TLSv1.1"]).unwrap_err().starts_with("none of these"));
        assert!(Protocols::read(&["TLSv1.4"]).unwrap_err().contains("TLSv1.4"));
    }

    #[test]
    fn curves_and_protocols_are_read() {
        use NamedGroup as G;
        assert_eq!(curves("prime256v1"), Ok((vec![G::secp256r1], vec![])));
        assert_eq!(
            curves("X25519:P-256:secp521r1:P-384"),
            Ok((vec![G::X25519, G::secp256r1, G::secp384r1], vec!["secp521r1".to_owned()]))
        );
        let (auto, gone) = curves("auto").unwrap();
        assert_eq!((auto[0], gone), (G::X25519MLKEM768, vec![]));
        assert_eq!(groups(&auto).len(), auto.len());
        assert_eq!(
            Protocols::read(&["TLSv1.1", "TLSv1.2"]),
            Ok((Protocols::Tls12, vec!["TLSv1.1".to_owned()]))
        );
        assert_eq!(Protocols::read(&["TLSv1.2", "TLSv1.3"]), Ok((Protocols::Both, vec![])));
    }

    #[test]
    fn the_suites_of_tls_1_3_are_read_by_name() {
        use CipherSuite as S;
        let chosen = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256";
        let found = vec![S::TLS13_CHACHA20_POLY1305_SHA256, S::TLS13_AES_128_GCM_SHA256];
        let gone = vec!["TLS_AES_128_CCM_SHA256".to_owned()];
        assert_eq!(ciphersuites(chosen), Ok((found, gone)));
        for (list, want) in [
            ("TLS_SHINY", "unknown cipher suite \"TLS_SHINY\""),
            ("HIGH", "unknown cipher suite \"HIGH\""),
            ("TLS_AES_128_CCM_SHA256", "no cipher suite match"),
            ("", "no cipher suite match"),
        ] {
            assert!(ciphersuites(list).unwrap_err().starts_with(want), "{list}");
        }
    }

    #[test]
    fn every_suite_has_its_openssl_name() {
        for suite in ALL_CIPHER_SUITES {
            assert_ne!(cipher_name(Some(suite.suite())), "unknown", "{suite:?}");
        }
        let chosen: Vec<_> = OURS.iter().map(|row| row.suite).collect();
        let all: Vec<_> = suites(TLS13, &chosen).iter().map(|suite| suite.suite()).collect();
        assert_eq!(all.len(), ALL_CIPHER_SUITES.len());
        let default: Vec<_> = ALL_CIPHER_SUITES.iter().map(|suite| suite.suite()).collect();
        assert_eq!(all[..3], default[..3], "rustls' own order");
    }
}
