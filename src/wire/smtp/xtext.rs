//! xtext: any bytes within a parameter of one line (RFC 3461 §4).

/// Bytes as xtext: whatever is not graphic ASCII, and `+` and `=`, becomes `+` and two digits.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=') {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("+{byte:02X}").as_bytes());
        }
    }
}

/// The bytes that `text` stands for, if it is xtext. Digits are taken in either case, and `=` as it
/// is: not everybody encodes what the standard asks for.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => digit(*rest.next()?)? << 4 | digit(*rest.next()?)?,
            byte if byte.is_ascii_graphic() => *byte,
            _ => return None,
        });
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| digit.try_into().ok())
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let mut text = Vec::new();
    encode(input, &mut text);
    assert!(text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'='));
    assert_eq!(decode(&text).as_deref(), Some(input));
    if let Some(bytes) = decode(input) {
        let mut text = Vec::new();
        encode(&bytes, &mut text);
        assert_eq!(decode(&text), Some(bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_end_a_word_or_a_line_is_encoded() {
        for (bytes, text) in [
            ("mrose", "mrose"),
            ("u=x+y", "u+3Dx+2By"), // as captured from nginx
            ("two words", "two+20words"),
            ("a\r\nRSET", "a+0D+0ARSET"),
            ("\u{fc}", "+C3+BC"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
            assert_eq!(decode(text.as_bytes()).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn only_xtext_is_read() {
        assert_eq!(decode(b"+3d=").as_deref(), Some(&b"=="[..]));
        for text in ["+", "+4", "+4g", "++4", "a b", "\u{fc}"] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..32)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_any_text(input in "[+=0-9a-gA-G ]{0,16}") {
            hold_for_any(input.as_bytes());
        }
    }
}
