#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| gatepost::testing::hold::sasl_plain(input));
