#![no_main]
use gatepost::testing::hold;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    // What nothing of ours has read is not worth a place in the corpus.
    if hold::play(hold::LOGIN, input) { Corpus::Keep } else { Corpus::Reject }
});
