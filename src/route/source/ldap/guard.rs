//! What of a directory's bytes may come near the library that reads them. Pure.
//!
//! The library keeps what it is sent without bound, and goes as deep as what lies within one
//! another. So a message reaches it whole, of a bounded size and depth, and with the three or four
//! parts that every LDAP message has (RFC 4511 §4.1.1).

/// How long one message may be. An entry with a few attributes has some hundred bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

/// How deep elements may lie within one another. A search's result has five levels.
const MAX_DEPTH: usize = 12;

/// What stands at the front of what the directory has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    More,
    /// A message, and its bytes.
    Whole {
        op: u8,
        used: usize,
    },
    Broken(Breach),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    #[error("a message of more than {MAX_MESSAGE} bytes")]
    TooLong,
    #[error("a message that is no LDAP")]
    Form,
    #[error("elements that lie too deep within one another")]
    TooDeep,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const CONSTRUCTED: u8 = 0x20;
/// `[APPLICATION n]`, constructed.
const APPLICATION: u8 = 0x60;
/// What a server may say: bindResponse, searchResEntry, searchResDone, searchResRef,
/// extendedResp, intermediateResponse.
const OPS: [u8; 6] = [1, 4, 5, 19, 24, 25];

/// Reads the message at the front of `input`.
pub fn message(input: &[u8]) -> Message {
    let (tag, length, head) = match header(input) {
        Ok(Some(header)) => header,
        // Six bytes hold every header there may be.
        Ok(None) if input.len() < 6 => return Message::More,
        Ok(None) | Err(()) => return Message::Broken(Breach::Form),
    };
    if tag != SEQUENCE {
        return Message::Broken(Breach::Form);
    }
    if length > MAX_MESSAGE - head {
        return Message::Broken(Breach::TooLong);
    }
    let used = head + length;
    match input.get(head..used) {
        None => Message::More,
        Some(body) => match parts(body) {
            Ok(op) => Message::Whole { op, used },
            Err(breach) => Message::Broken(breach),
        },
    }
}

/// A number, an operation, and perhaps controls; gives the operation's number.
fn parts(body: &[u8]) -> Result<u8, Breach> {
    let (tag, number, rest) = element(body)?;
    if tag != INTEGER || number.is_empty() || number.len() > 4 {
        return Err(Breach::Form);
    }
    let (tag, inside, rest) = element(rest)?;
    let op = tag & 0x1f;
    if tag & 0xe0 != APPLICATION || !OPS.contains(&op) {
        return Err(Breach::Form);
    }
    within(inside, MAX_DEPTH)?;
    if !rest.is_empty() {
        // Controls, or the name that Active Directory puts beside its notice of disconnection.
        let (tag, inside, rest) = element(rest)?;
        if !matches!(tag, 0xa0 | 0x8a) || !rest.is_empty() {
            return Err(Breach::Form);
        }
        if tag & CONSTRUCTED != 0 {
            within(inside, MAX_DEPTH)?;
        }
    }
    Ok(op)
}

/// Whether `body` is elements to its end, and none of them too deep.
fn within(mut body: &[u8], depth: usize) -> Result<(), Breach> {
    let depth = depth.checked_sub(1).ok_or(Breach::TooDeep)?;
    while !body.is_empty() {
        let (tag, inside, rest) = element(body)?;
        if tag & CONSTRUCTED != 0 {
            within(inside, depth)?;
        }
        body = rest;
    }
    Ok(())
}

/// The tag and the content of the element at the front of `body`, and what follows it.
fn element(body: &[u8]) -> Result<(u8, &[u8], &[u8]), Breach> {
    let Ok(Some((tag, length, head))) = header(body) else { return Err(Breach::Form) };
    let content = body[head..].get(..length).ok_or(Breach::Form)?;
    Ok((tag, content, &body[head + length..]))
}

/// The tag, the length and how many bytes they took; none if there is more to come. RFC 4511 §5.1
/// forbids lengths that are not told.
fn header(input: &[u8]) -> Result<Option<(u8, usize, usize)>, ()> {
    let (Some(&tag), Some(&first)) = (input.first(), input.get(1)) else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(());
    }
    let count = match first {
        0..=0x7f => return Ok(Some((tag, usize::from(first), 2))),
        0x81..=0x84 => usize::from(first & 0x7f),
        _ => return Err(()),
    };
    let Some(bytes) = input.get(2..2 + count) else { return Ok(None) };
    let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Ok(Some((tag, length, 2 + count)))
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    match message(input) {
        Message::More => assert!(input.len() < MAX_MESSAGE),
        Message::Broken(_) => {}
        Message::Whole { used, .. } => {
            assert!(used <= input.len() && used <= MAX_MESSAGE);
            // Bytes behind it have no say in it, and it is whole at its end alone.
            assert_eq!(message(&input[..used]), message(input));
            assert_eq!(message(&input[..used - 1]), Message::More);
            // What passes here is read by the library, to the last byte and without a word.
            let read = ldap3::asn1::parse_tag(&input[..used]);
            let (rest, tag) = read.expect("elements to the end");
            assert!(rest.is_empty());
            super::entry::hold_for(tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An element with this content.
    pub fn el(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84][..], &length, content].concat()
    }

    fn result(op: u8) -> Vec<u8> {
        let inside = [el(0x0a, &[0]), el(0x04, b""), el(0x04, b"")].concat();
        el(SEQUENCE, &[el(INTEGER, &[1]), el(APPLICATION | op, &inside)].concat())
    }

    #[test]
    fn a_message_is_whole_at_its_end_and_not_before() {
        let bytes = result(5);
        for cut in 0..bytes.len() {
            assert_eq!(message(&bytes[..cut]), Message::More, "{cut}");
        }
        assert_eq!(message(&bytes), Message::Whole { op: 5, used: bytes.len() });
        let two = [bytes.clone(), bytes.clone()].concat();
        assert_eq!(message(&two), Message::Whole { op: 5, used: bytes.len() });
        // Active Directory's notice of disconnection.
        let notice = el(SEQUENCE, &[&result(24)[6..], &el(0x8a, b"1.3.6")].concat());
        assert_eq!(message(&notice), Message::Whole { op: 24, used: notice.len() });
    }

    #[test]
    fn what_is_no_message_is_refused_before_it_is_whole() {
        let deep = (0..200).fold(Vec::new(), |inside, _| el(0x30, &inside));
        let deep = [el(INTEGER, &[1]), el(APPLICATION | 4, &deep)].concat();
        let odd = |parts: &[Vec<u8>]| el(SEQUENCE, &parts.concat());
        for (bytes, want) in [
            (el(SEQUENCE, &deep), Breach::TooDeep),
            (vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], Breach::TooLong),
            (vec![0x30, 0x80], Breach::Form),
            (vec![0x30, 0x85], Breach::Form),
            (vec![0x1f, 0x01], Breach::Form),
            (b"HTTP/1.1".to_vec(), Breach::Form),
            (odd(&[]), Breach::Form),
            (odd(&[el(INTEGER, &[1])]), Breach::Form),
            (odd(&[el(INTEGER, b""), el(0x65, b"")]), Breach::Form),
            (odd(&[el(INTEGER, &[1; 5]), el(0x65, b"")]), Breach::Form),
            (odd(&[el(INTEGER, &[1]), el(0x60, b"")]), Breach::Form),
            (odd(&[el(INTEGER, &[1]), el(0x65, &[4, 9, 1])]), Breach::Form),
            (odd(&[el(INTEGER, &[1]), el(0x65, b""), el(0xa1, b"")]), Breach::Form),
        ] {
            assert_eq!(message(&bytes), Message::Broken(want), "{bytes:x?}");
        }
    }

    fn nest() -> impl Strategy<Value = Vec<u8>> {
        let leaf = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..6))
            .prop_map(|(tag, content)| el(tag & 0xdf, &content));
        leaf.prop_recursive(6, 40, 4, |inner| {
            (any::<u8>(), prop::collection::vec(inner, 0..4))
                .prop_map(|(tag, inside)| el(tag | CONSTRUCTED, &inside.concat()))
        })
    }

    proptest! {
        #[test]
        fn any_bytes_pass_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            hold_for_any(&bytes);
        }

        #[test]
        fn any_message_that_passes_is_read(
            op in prop::sample::select(&OPS[..]),
            inside in prop::collection::vec(nest(), 0..4),
        ) {
            let op = el(APPLICATION | op, &inside.concat());
            hold_for_any(&el(SEQUENCE, &[el(INTEGER, &[1]), op].concat()));
        }
    }
}
