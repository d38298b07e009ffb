//! What must hold of any dialogue's parser: where the network cuts the bytes is nobody's choice.

use super::Dialogue;
use crate::wire::Parsed;

/// Tries the next step of `dialogue` on less of `unread`: up to the end of the step nothing changes,
/// and no cut of it is a whole element.
pub fn hold(dialogue: &impl Dialogue, unread: &[u8]) {
    let (used, is_whole) = match dialogue.parse(unread) {
        Parsed::More => (unread.len() + 1, false),
        Parsed::Whole(_, used) => (used, true),
        Parsed::Broken(_, used) => (used, false),
    };
    if used <= unread.len() {
        match dialogue.parse(&unread[..used]) {
            Parsed::Whole(_, again) => assert!(is_whole && again == used, "not whole by itself"),
            Parsed::Broken(_, again) => assert!(!is_whole && again == used, "not broken by itself"),
            Parsed::More => panic!("what follows a step has a say in it"),
        }
    }
    for cut in [1, used / 2, used.saturating_sub(2), used - 1] {
        match dialogue.parse(&unread[..cut.min(used - 1)]) {
            Parsed::More => {}
            Parsed::Whole(..) => panic!("a cut of a step is whole"),
            Parsed::Broken(..) => assert!(used <= unread.len() && !is_whole, "a cut breaks it"),
        }
    }
}
