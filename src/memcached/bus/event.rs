//! One word as it stands in a server, under the seal. Pure.
//!
//! ```text
//! event = version [1] | id [16] | node [8] | time [8] | word
//! ```

/// An order has some hundred bytes.
pub const MAX_WORD: usize = 32 * 1024;

const VERSION: u8 = 1;

pub type Id = [u8; 16];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Random: the same event is in every server, and is heard once.
    pub id: Id,
    /// Who said it.
    pub node: u64,
    /// When, in milliseconds since 1970.
    pub time: u64,
    pub word: Vec<u8>,
}

impl Event {
    pub fn to_bytes(&self) -> Vec<u8> {
        let (node, time) = (self.node.to_be_bytes(), self.time.to_be_bytes());
        [&[VERSION][..], &self.id, &node, &time, &self.word].concat()
    }

    /// None for what another gatepost's version may have written.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (id, rest) = rest.split_first_chunk()?;
        let (node, rest) = rest.split_first_chunk()?;
        let (time, word) = rest.split_first_chunk()?;
        (word.len() <= MAX_WORD).then(|| Self {
            id: *id,
            node: u64::from_be_bytes(*node),
            time: u64::from_be_bytes(*time),
            word: word.to_vec(),
        })
    }
}

/// What must hold for any bytes at all.
pub fn hold_for_any(input: &[u8]) {
    if let Some(event) = Event::read(input) {
        assert_eq!(event.to_bytes(), input);
        assert!(event.word.len() <= MAX_WORD);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_survives_the_way_and_a_cut_one_is_passed_over() {
        let event = Event { id: [7; 16], node: 1, time: 2, word: b"kick".to_vec() };
        let bytes = event.to_bytes();
        assert_eq!(Event::read(&bytes), Some(event));
        for cut in 0..33 {
            assert_eq!(Event::read(&bytes[..cut]), None);
        }
        assert_eq!(Event::read(&[&bytes[..], &[0; MAX_WORD]].concat()), None);
        assert_eq!(Event::read(&[&[2], &bytes[1..]].concat()), None);
    }

    proptest! {
        #[test]
        fn it_holds_for_any(mut input in prop::collection::vec(any::<u8>(), 0..80), is_ours: bool) {
            if let Some(first) = input.first_mut().filter(|_| is_ours) {
                *first = VERSION;
            }
            hold_for_any(&input);
        }
    }
}
