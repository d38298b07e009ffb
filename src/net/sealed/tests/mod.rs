use std::io::Write;
use std::pin::pin;

use proptest::prelude::{any, prop_oneof, proptest};
use proptest::strategy::Strategy;
use proptest::test_runner::Config;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{
    AlertDescription, CipherSuiteCommon, Error, HandshakeKind, SupportedCipherSuite,
    Tls12CipherSuite, Tls13CipherSuite, version,
};

use super::*;

mod peer;

use peer::*;

/// The whole of a short session, of which the server may read `gate` bytes before it must wait.
/// Tells how many bytes the client sent.
fn short_session(desk: &Desk, gate: usize) -> usize {
    const SAID: &[u8] = b"a LOGIN user secret\r\nb SELECT INBOX\r\n";
    let (mut client, wire) = desk.client();
    wire.line().gate = gate;
    // Sent as soon as its own handshake is done.
    client.tls.writer().write_all(SAID).unwrap();
    let mut accept = pin!(desk.accept(wire.clone()));
    let mut sealed = None;
    let mut heard = Vec::new();
    for round in 0..40 {
        client.pump().unwrap();
        match &mut sealed {
            None => {
                if let Poll::Ready(done) = accept.as_mut().poll(&mut cx()) {
                    sealed = Some(done.unwrap());
                }
            }
            Some(sealed) => {
                if let Poll::Ready(came) = read(sealed, 9) {
                    heard.extend(came.unwrap());
                }
            }
        }
        if round == 10 {
            wire.line().gate = usize::MAX / 2;
        }
    }
    assert_eq!(heard, SAID, "gate {gate}");
    let sealed = sealed.unwrap();
    assert_eq!(held(&sealed), 0);
    usize::MAX / 2 - wire.line().gate + gate
}

#[test]
fn every_split_of_what_a_client_sends_is_understood() {
    let [old, new] = Desk::both();
    for desk in [old, new, Desk::with_a_retry()] {
        let whole = short_session(&desk, 0);
        assert!(whole > 300, "{whole}");
        for gate in 1..=whole {
            short_session(&desk, gate);
        }
    }
}

#[test]
fn every_byte_arrives_once_and_in_order() {
    for (seed, desk) in (1..).zip(Desk::both().into_iter().chain(Desk::both())) {
        let mut dice = Dice(seed * 77);
        let (mut client, mut sealed) = desk.meet();
        let (up, down) = (noise(seed, 2_000_000), noise(seed + 9, 2_000_000));
        let (mut said_up, mut said_down) = (0, 0);
        let (mut heard_up, mut heard_down) = (Vec::new(), Vec::new());
        sealed.io.line().gate = 0;
        sealed.io.line().room = 0;
        while heard_up.len() < up.len() || heard_down.len() < down.len() {
            let mut line = sealed.io.line();
            line.gate = (line.gate + dice.some()).min(400_000);
            line.room = (line.room + dice.some()).min(400_000);
            drop(line);
            if sealed.io.line().to_us.len() < 300_000 {
                let piece = &up[said_up..up.len().min(said_up + dice.some())];
                said_up += client.tls.writer().write(piece).unwrap();
            }
            heard_down.extend(client.hear().0);
            for _ in 0..dice.roll(4) {
                if let Poll::Ready(came) = read(&mut sealed, 1 + dice.some()) {
                    heard_up.extend(came.unwrap());
                }
            }
            for _ in 0..dice.roll(4) {
                let piece = &down[said_down..down.len().min(said_down + dice.some())];
                if let Poll::Ready(count) = write(&mut sealed, piece) {
                    said_down += count.unwrap();
                }
            }
            if dice.roll(3) == 0 {
                let _ = flush(&mut sealed);
            }
        }
        assert!(heard_up == up, "up");
        assert!(heard_down == down, "down");
        assert_eq!(held(&sealed), 0);
    }
}

#[test]
fn a_line_is_one_read_and_one_write_and_leaves_nothing() {
    for desk in Desk::both() {
        let (mut client, mut sealed) = desk.meet();
        client.say(b"a NOOP\r\n");
        let reads = sealed.io.line().reads;
        let writes = sealed.io.line().writes;
        assert_eq!(now(read(&mut sealed, 2048)).unwrap(), b"a NOOP\r\n");
        assert!(read(&mut sealed, 2048).is_pending());
        assert_eq!(now(write(&mut sealed, b"a OK\r\n")).unwrap(), 6);
        assert_eq!(held(&sealed), 0);
        let line = sealed.io.line();
        assert_eq!((line.reads, line.writes), (reads + 1, writes + 1));
        drop(line);
        assert_eq!(client.hear().0, b"a OK\r\n");
    }
}

#[test]
fn tickets_go_with_the_greeting_or_while_we_wait_and_are_good() {
    for desk in Desk::both() {
        for (kind, greets) in [(HandshakeKind::Full, true), (HandshakeKind::Resumed, false)] {
            let (mut client, wire) = desk.client();
            let mut accept = pin!(desk.accept(wire.clone()));
            let mut sealed = loop {
                client.pump().unwrap();
                if let Poll::Ready(sealed) = accept.as_mut().poll(&mut cx()) {
                    break sealed.unwrap();
                }
            };
            let waiting = !sealed.records.outgoing.is_empty();
            let writes = wire.line().writes;
            if greets {
                now(write(&mut sealed, b"* OK\r\n")).unwrap();
                assert_eq!(wire.line().writes, writes + 1);
                assert_eq!(client.hear().0, b"* OK\r\n");
            } else {
                assert!(read(&mut sealed, 10).is_pending());
                assert_eq!(wire.line().writes, writes + usize::from(waiting));
                client.pump().unwrap();
            }
            assert_eq!(held(&sealed), 0);
            assert_eq!(client.tls.handshake_kind(), Some(kind));
            assert_eq!(sealed.session().handshake_kind(), Some(kind));
        }
    }
}

#[test]
fn a_half_close_leaves_the_other_direction_open() {
    for desk in Desk::both() {
        // The client first: what is behind its close_notify is nobody's.
        let (mut client, mut sealed) = desk.meet();
        client.tls.writer().write_all(b"goodbye").unwrap();
        client.tls.send_close_notify();
        client.pump().unwrap();
        sealed.io.line().to_us.extend(b"nonsense");
        assert_eq!(now(read(&mut sealed, 100)).unwrap(), b"goodbye");
        for _ in 0..2 {
            assert_eq!(now(read(&mut sealed, 100)).unwrap(), b"");
        }
        assert_eq!(now(write(&mut sealed, b"and to you")).unwrap(), 10);
        assert_eq!(client.hear(), (b"and to you".to_vec(), false));
        now(shut(&mut sealed)).unwrap();
        assert_eq!(client.hear(), (Vec::new(), true));
        assert!(sealed.io.line().shut);
        let error = now(write(&mut sealed, b"more")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        now(shut(&mut sealed)).unwrap();
        assert_eq!(held(&sealed), 0);

        // The server first.
        let (mut client, mut sealed) = desk.meet();
        sealed.io.line().room = 5;
        assert_eq!(now(write(&mut sealed, b"goodbye")).unwrap(), 7);
        assert!(shut(&mut sealed).is_pending());
        sealed.io.line().room = 5_000;
        now(shut(&mut sealed)).unwrap();
        assert_eq!(client.hear(), (b"goodbye".to_vec(), true));
        client.say(b"and to you");
        assert_eq!(now(read(&mut sealed, 100)).unwrap(), b"and to you");
        client.tls.send_close_notify();
        client.pump().unwrap();
        assert_eq!(now(read(&mut sealed, 100)).unwrap(), b"");
        assert_eq!(held(&sealed), 0);
    }
}

#[test]
fn an_end_without_close_notify_is_told_apart() {
    for desk in Desk::both() {
        for cut in [0, 7] {
            let (mut client, mut sealed) = desk.meet();
            client.say(b"half a ");
            client.say(b"word");
            let mut line = sealed.io.line();
            let left = line.to_us.len() - cut;
            line.to_us.truncate(left);
            line.hung_up = true;
            drop(line);
            let want: &[u8] = if cut == 0 { b"half a word" } else { b"half a " };
            assert_eq!(now(read(&mut sealed, 100)).unwrap(), want);
            for _ in 0..2 {
                let error = now(read(&mut sealed, 100)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
            // It may have closed one direction alone.
            assert_eq!(now(write(&mut sealed, b"hello?")).unwrap(), 6);
            assert_eq!(client.hear().0, b"hello?");
            now(shut(&mut sealed)).unwrap();
        }
        let (mut client, wire) = desk.client();
        client.pump().unwrap();
        wire.line().hung_up = true;
        let mut accept = pin!(desk.accept(wire));
        let error = now(accept.as_mut().poll(&mut cx())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "in the handshake");
    }
}

#[test]
fn what_was_said_before_an_error_is_heard_and_the_alert_is_sent() {
    for desk in Desk::both() {
        let (mut client, mut sealed) = desk.meet();
        client.say(b"good");
        client.say(b"bad");
        *sealed.io.line().to_us.back_mut().unwrap() ^= 1;
        assert_eq!(now(read(&mut sealed, 100)).unwrap(), b"good");
        let error = now(read(&mut sealed, 100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let inner = error.get_ref().unwrap().downcast_ref::<Error>();
        assert_eq!(inner, Some(&Error::DecryptError));
        let told = client.pump().unwrap_err();
        assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));
        // And again: the end does not change.
        client.wire.line().to_us.extend(b"\x17\x03\x03\x00\x05hello");
        for _ in 0..2 {
            assert!(now(read(&mut sealed, 100)).is_err());
            assert!(now(write(&mut sealed, b"more")).is_err());
        }
        assert!(now(shut(&mut sealed)).is_ok());
        assert!(sealed.io.line().to_them.is_empty(), "no close_notify behind an alert");
        assert_eq!(held(&sealed), 0);
    }
}

#[test]
fn a_client_may_renew_its_keys_whenever_it_likes() {
    let desk = Desk::new(&version::TLS13);
    let (mut client, mut sealed) = desk.meet();
    for round in 0..100 {
        client.tls.refresh_traffic_keys().unwrap();
        client.say(b"new keys");
        // In two pieces, at every place.
        sealed.io.line().gate = round;
        let first = read(&mut sealed, 100);
        sealed.io.line().gate = usize::MAX;
        let heard = if first.is_ready() { first } else { read(&mut sealed, 100) };
        assert_eq!(now(heard).unwrap(), b"new keys");
        // The answer to it goes first.
        now(write(&mut sealed, b"here too")).unwrap();
        assert_eq!(client.hear().0, b"here too");
        assert_eq!(held(&sealed), 0);
    }
}

/// `old` and `new` for a few records only.
fn short_lived(records: u64) -> (SupportedCipherSuite, SupportedCipherSuite) {
    let (SupportedCipherSuite::Tls12(old), SupportedCipherSuite::Tls13(new)) =
        (TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256)
    else {
        panic!("named otherwise");
    };
    let shorten = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: records,
    };
    let old = Tls12CipherSuite {
        common: shorten(&old.common),
        prf_provider: old.prf_provider,
        kx: old.kx,
        sign: old.sign,
        aead_alg: old.aead_alg,
    };
    let new = Tls13CipherSuite {
        common: shorten(&new.common),
        hkdf_provider: new.hkdf_provider,
        aead_alg: new.aead_alg,
        quic: new.quic,
    };
    let (old, new): (&'static _, &'static _) = (Box::leak(Box::new(old)), Box::leak(Box::new(new)));
    (SupportedCipherSuite::Tls12(old), SupportedCipherSuite::Tls13(new))
}

#[test]
fn keys_that_wear_out_are_renewed_or_end_the_session() {
    let (old, new) = short_lived(20);
    let provider = |suite| CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
    let desk = Desk::with(&version::TLS13, provider(new), default_provider());
    let (mut client, mut sealed) = desk.meet();
    let said = noise(5, 300_000);
    for round in 0..20 {
        let mut rest = &said[..said.len() - 10_000 * round];
        let mut heard = Vec::new();
        while !rest.is_empty() {
            let count = now(write(&mut sealed, rest)).unwrap();
            rest = &rest[count..];
            heard.extend(client.hear().0);
            // It renews its own as well.
            assert!(read(&mut sealed, 100).is_pending());
        }
        assert!(heard == said[..heard.len()]);
        assert_eq!(heard.len(), said.len() - 10_000 * round);
    }

    let desk = Desk::with(&version::TLS12, provider(old), default_provider());
    let (mut client, mut sealed) = desk.meet();
    let written = (0..30).take_while(|_| now(write(&mut sealed, b"word")).is_ok()).count();
    assert!((10..20).contains(&written), "{written}");
    now(shut(&mut sealed)).unwrap();
    assert_eq!(client.hear(), (b"word".repeat(written), true));
}

#[test]
fn a_slow_reader_holds_the_writer_back() {
    for desk in Desk::both() {
        let (mut client, mut sealed) = desk.meet();
        let said = noise(3, 3_000_000);
        let (mut written, mut most) = (0, 0);
        let mut heard = Vec::new();
        sealed.io.line().room = 0;
        while heard.len() < said.len() {
            while let Poll::Ready(count) = write(&mut sealed, &said[written..]) {
                match count.unwrap() {
                    0 => break,
                    count => written += count,
                }
                assert!(written - heard.len() <= 2 * PIECE, "it takes without end");
            }
            most = most.max(held(&sealed));
            sealed.io.line().room = 50_000;
            let _ = flush(&mut sealed);
            heard.extend(client.hear().0);
        }
        assert!(heard == said);
        assert!((PIECE..=scratch::SIZE).contains(&most), "{most}");
        assert_eq!(held(&sealed), 0);
    }
}

#[test]
fn a_slow_listener_holds_the_reader_back() {
    for desk in Desk::both() {
        let (mut client, mut sealed) = desk.meet();
        let said = noise(4, 200_000);
        client.tls.set_buffer_limit(None);
        client.say(&said);
        let (mut heard, mut most) = (Vec::new(), 0);
        while heard.len() < said.len() {
            heard.extend(now(read(&mut sealed, 700)).unwrap());
            most = most.max(held(&sealed));
        }
        assert!(heard == said);
        assert!((16_384..50_000).contains(&most), "{most}");
        assert_eq!(held(&sealed), 0);
    }
}

#[test]
fn a_handshake_message_without_end_is_bounded() {
    let desk = Desk::new(&version::TLS12);
    let (mut client, wire) = desk.client();
    client.pump().unwrap();
    let mut accept = pin!(desk.accept(wire.clone()));
    assert!(accept.as_mut().poll(&mut cx()).is_pending());
    // A ClientKeyExchange of 64 KiB, told a byte at a time.
    wire.line().to_us.extend(b"\x16\x03\x03\x00\x04\x10\x00\xff\xff");
    for _ in 0..60_000 {
        wire.line().to_us.extend(b"\x16\x03\x03\x00\x01\x00");
    }
    let error = now(accept.as_mut().poll(&mut cx())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(wire.line().to_us.len() > 60_000 * 6 - MOST - 2 * LEAST);
}

/// What a hostile peer puts on the line.
#[derive(Clone, Debug)]
enum Evil {
    Noise(Vec<u8>),
    Record(u8, Vec<u8>),
    /// What the client says, with a bit turned over.
    Bent(Vec<u8>, usize),
}

fn evil() -> impl Strategy<Value = Evil> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..300);
    prop_oneof![
        bytes().prop_map(Evil::Noise),
        (20..24_u8, bytes()).prop_map(|(kind, bytes)| Evil::Record(kind, bytes)),
        (bytes(), any::<usize>()).prop_map(|(bytes, place)| Evil::Bent(bytes, place)),
    ]
}

fn hold_for_any(desk: &Desk, all: &[Evil], most: usize) {
    let (mut client, mut sealed) = desk.meet();
    client.say(b"good");
    for evil in all {
        match evil {
            Evil::Noise(bytes) => client.wire.line().to_us.extend(bytes),
            Evil::Record(kind, bytes) => {
                let mut line = client.wire.line();
                line.to_us.extend([*kind, 3, 3, 0, 0]);
                let length = line.to_us.len() - 2;
                let count = u16::try_from(bytes.len()).unwrap().to_be_bytes();
                line.to_us.range_mut(length..).zip(count).for_each(|(to, from)| *to = from);
                line.to_us.extend(bytes);
            }
            Evil::Bent(bytes, place) => {
                let start = client.wire.line().to_us.len();
                client.say(bytes);
                let mut line = client.wire.line();
                // Not the version's second half: nobody looks at it (RFC 8446 §5.1).
                let place = match place % (line.to_us.len() - start) {
                    2 => start,
                    place => start + place,
                };
                line.to_us[place] ^= 4;
            }
        }
    }
    client.wire.line().hung_up = true;
    let mut heard = Vec::new();
    loop {
        assert!(held(&sealed) < MOST);
        match now(read(&mut sealed, most)) {
            Ok(came) if came.is_empty() => panic!("nobody said close_notify"),
            Ok(came) => heard.extend(came),
            Err(_) => break,
        }
    }
    assert_eq!(heard, b"good");
    for _ in 0..2 {
        assert!(now(read(&mut sealed, most)).is_err());
        let _ = write(&mut sealed, b"more");
        let _ = shut(&mut sealed);
    }
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]
    #[test]
    fn whatever_comes_is_an_error_and_no_more(
        all in proptest::collection::vec(evil(), 1..4),
        most in 1..5_000_usize,
        new in any::<bool>(),
    ) {
        use std::sync::LazyLock;
        static DESKS: LazyLock<[Desk; 2]> = LazyLock::new(Desk::both);
        hold_for_any(&DESKS[usize::from(new)], &all, most);
    }
}
