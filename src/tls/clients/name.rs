//! The names in certificates, as OpenSSL prints them under `-nameopt RFC2253`.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Class, Oid};
use x509_parser::x509::X509Name;

/// OpenSSL's short names. What is not here it knows by number only, as it does.
pub const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.19", "physicalDeliveryOfficeName"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.26", "registeredAddress"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.51", "houseIdentifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.72", "role"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

/// `name` on one line, in ASCII: `CN=x,O=y,C=DE`.
pub fn of(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().map(|part| part.iter().collect::<Vec<_>>()).collect();
    for part in parts.iter().rev() {
        for (index, attribute) in part.iter().rev().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            let value = attribute.attr_value();
            match short(attribute.attr_type()) {
                Some(short) => {
                    let _ = write!(text, "{short}=");
                    match bytes(value) {
                        Some(bytes) => escape(&bytes, &mut text),
                        None => dump(value, &mut text),
                    }
                }
                None => {
                    let _ = write!(text, "{}=", attribute.attr_type());
                    dump(value, &mut text);
                }
            }
        }
    }
    text
}

fn short(oid: &Oid<'_>) -> Option<&'static str> {
    let number = oid.to_id_string();
    SHORT.iter().find(|(own, _)| *own == number).map(|(_, short)| *short)
}

/// What a string value says; none where it is no string, or not what it claims to be.
pub fn text(value: &Any<'_>) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

/// A string value in UTF-8. One that claims to be that is not looked into.
fn bytes(value: &Any<'_>) -> Option<Vec<u8>> {
    if value.class() != Class::Universal {
        return None;
    }
    let wide = |chars: &mut dyn Iterator<Item = u32>| {
        let text: Option<String> = chars.map(char::from_u32).collect();
        text.map(String::into_bytes)
    };
    match value.tag().0 {
        12 => Some(value.data.to_vec()),
        // Numeric, Printable, Teletex, IA5, the times, Visible: a byte is a character.
        18..=20 | 22..=24 | 26 => wide(&mut value.data.iter().map(|byte| u32::from(*byte))),
        28 => {
            let (chars, rest) = value.data.as_chunks::<4>();
            let mut chars = chars.iter().map(|four| u32::from_be_bytes(*four));
            rest.is_empty().then(|| wide(&mut chars)).flatten()
        }
        30 => {
            let (chars, rest) = value.data.as_chunks::<2>();
            let mut chars = chars.iter().map(|two| u32::from(u16::from_be_bytes(*two)));
            rest.is_empty().then(|| wide(&mut chars)).flatten()
        }
        _ => None,
    }
}

fn escape(bytes: &[u8], text: &mut String) {
    let last = bytes.len().wrapping_sub(1);
    for (index, byte) in bytes.iter().enumerate() {
        let is_marked = match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => true,
            b' ' => index == 0 || index == last,
            // OpenSSL leaves one alone that stands alone.
            b'#' => index == 0 && index != last,
            _ => false,
        };
        if is_marked {
            text.push('\\');
        }
        if byte.is_ascii_control() || !byte.is_ascii() {
            let _ = write!(text, "\\{byte:02X}");
        } else {
            text.push(char::from(*byte));
        }
    }
}

/// The value's DER in hex.
fn dump(value: &Any<'_>, text: &mut String) {
    let class = (value.class() as u8) << 6 | u8::from(value.header.constructed()) << 5;
    // No string has a tag that takes more than one byte.
    let mut der = vec![class | u8::try_from(value.tag().0 & 0x1f).unwrap_or_default()];
    let length = value.data.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    match digits {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        digits => {
            der.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            der.extend(digits);
        }
    }
    der.extend(value.data);
    text.push('#');
    for byte in der {
        let _ = write!(text, "{byte:02X}");
    }
}
