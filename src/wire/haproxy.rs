//! # haproxy: the PROXY protocol header, versions 1 and 2, both ways
//!
//! What a load balancer in front says of the client, and what we say to an upstream. The grammar
//! is the `proxy-header` crate's; around it are our bounds, and refusals at the first byte that
//! cannot be a header, so that a client that sends none is not waited for.
//!
//! **In and out.** [`parse`] reads either version; [`write_v1`] and [`write_v2`] write one.
//! References are to haproxy's `doc/proxy-protocol.txt`.
//!
//! **Promises.** A header is read whole or refused. What it does not say (LOCAL, UNKNOWN, UNIX
//! sockets, datagrams) is `None`, never a made-up address.
//!
//! **Limits.** Version 1 takes 107 bytes, as the standard says. Version 2 could take 65,551; ours
//! stops at [`MAX_V2`], which is many times what any balancer sends. CRC32c is not checked.

use std::net::{IpAddr, SocketAddr};

use proxy_header::{ParseConfig, Protocol, ProxiedAddress, ProxyHeader, Tlv};

use super::Parsed;

/// The longest version 1 line, CRLF included (§2.1).
pub const MAX_V1: usize = 107;

/// The longest version 2 header that we take. The standard allows 16 + 65,535 bytes, mostly TLVs.
pub const MAX_V2: usize = 4096;

/// What begins each version. No first byte is common, so one byte tells them apart.
const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What one header said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Who connected, and to which address. `None`: the sender speaks for itself (LOCAL), or does
    /// not know; then the connection's own addresses hold.
    pub source: Option<(SocketAddr, SocketAddr)>,
    /// The name the client asked for (SNI), if it was one: printable and at most 255 bytes.
    pub authority: Option<String>,
    /// How the client's TLS ended before us, if it did.
    pub tls: Option<Tls>,
}

/// TLS that ended at the sender of the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// As the sender names them, `TLSv1.3`: printable and at most 255 bytes.
    pub version: Option<String>,
    pub cipher: Option<String>,
    /// The client showed a certificate, and the sender found it good.
    pub verified: bool,
}

/// Why there is no header. Each ends the connection: what follows cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no PROXY header")]
    Missing,
    #[error("broken PROXY header")]
    Broken,
    #[error("PROXY header too long")]
    TooLong,
}

/// Reads the header at the front of `input`.
pub fn parse(input: &[u8]) -> Parsed<Header, Error> {
    match input.first() {
        None => Parsed::More,
        Some(b'P') => v1(input),
        Some(b'\r') => v2(input),
        Some(_) => Parsed::Broken(Error::Missing, 1),
    }
}

/// §2.1: one line of text.
fn v1(input: &[u8]) -> Parsed<Header, Error> {
    if let Err(strange) = opens_with(input, V1) {
        return Parsed::Broken(Error::Missing, strange);
    }
    let window = &input[..input.len().min(MAX_V1)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return match input.len() {
            MAX_V1.. => Parsed::Broken(Error::TooLong, MAX_V1),
            _ => Parsed::More,
        };
    };
    let (line, used) = (&input[..=end], end + 1);
    // The crate reads numbers as Rust does, and Rust takes "+25".
    let known = !line.starts_with(b"PROXY UNKNOWN");
    match ProxyHeader::parse(line, config()) {
        Ok((header, whole)) if whole == used && !(known && line.contains(&b'+')) => {
            Parsed::Whole(Header { source: source(&header), ..Header::default() }, used)
        }
        _ => Parsed::Broken(Error::Broken, used),
    }
}

/// §2.2: sixteen bytes, addresses, TLVs.
fn v2(input: &[u8]) -> Parsed<Header, Error> {
    if let Err(strange) = opens_with(input, V2) {
        return Parsed::Broken(Error::Missing, strange);
    }
    let Some(&[command, _, high, low]) = input.get(V2.len()..V2.len() + 4) else {
        return Parsed::More;
    };
    let used = V2.len() + 4 + usize::from(u16::from_be_bytes([high, low]));
    if used > MAX_V2 {
        return Parsed::Broken(Error::TooLong, V2.len() + 4);
    }
    let Some(whole) = input.get(..used) else {
        return Parsed::More;
    };
    // LOCAL: "the receiver must accept this connection as valid and must use the real connection
    // endpoints and discard the protocol block including the family which is ignored".
    if command == 0x20 {
        return Parsed::Whole(Header::default(), used);
    }
    match ProxyHeader::parse(whole, config()).ok().and_then(|(header, _)| extras(&header)) {
        Some(header) => Parsed::Whole(header, used),
        None => Parsed::Broken(Error::Broken, used),
    }
}

/// Whether `input` begins as `sign` does, as far as it goes; `Err` counts the bytes up to the first
/// strange one.
fn opens_with(input: &[u8], sign: &[u8]) -> Result<(), usize> {
    match input.iter().zip(sign).position(|(byte, want)| byte != want) {
        Some(strange) => Err(strange + 1),
        None => Ok(()),
    }
}

fn config() -> ParseConfig {
    ParseConfig { include_tlvs: true, allow_v1: true, allow_v2: true }
}

fn source(header: &ProxyHeader<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let address = header.proxied_address()?;
    // We listen for streams: whoever speaks of datagrams does not speak of this connection.
    (address.protocol == Protocol::Stream).then_some((address.source, address.destination))
}

/// The header with what its TLVs say; `None` if one of them is malformed.
fn extras(header: &ProxyHeader<'_>) -> Option<Header> {
    let mut read = Header { source: source(header), ..Header::default() };
    for tlv in header.tlvs() {
        match tlv.ok()? {
            Tlv::Authority(name) => read.authority = printable(&name),
            Tlv::Ssl(ssl) if ssl.client_ssl() => {
                // Its inner TLVs may be malformed on their own account.
                if ssl.tlvs().any(|inner| inner.is_err()) {
                    return None;
                }
                read.tls = Some(Tls {
                    version: ssl.version().and_then(printable),
                    cipher: ssl.cipher().and_then(printable),
                    verified: ssl.verify() == 0
                        && (ssl.client_cert_conn() || ssl.client_cert_sess()),
                });
            }
            _ => {}
        }
    }
    Some(read)
}

/// Names from outside reach logs and the lookup: only what one word of ASCII can hold.
fn printable(text: &str) -> Option<String> {
    let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// Writes a version 1 line: who (`source`) connected to which address (`destination`).
pub fn write_v1(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    ProxyHeader::with_address(pair(source, destination))
        .encode_v1(out)
        .expect("one family, a stream, no TLVs");
}

/// Writes a version 2 header.
pub fn write_v2(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    ProxyHeader::with_address(pair(source, destination))
        .encode_v2(out)
        .expect("one family, no TLVs");
}

/// `PROXY UNKNOWN`: for a client on a UNIX socket, which has no address to tell.
pub fn write_unknown_v1(out: &mut Vec<u8>) {
    ProxyHeader::with_local().encode_v1(out).expect("no TLVs");
}

/// LOCAL: for a client on a UNIX socket, and for connections of our own such as health checks.
pub fn write_local_v2(out: &mut Vec<u8>) {
    ProxyHeader::with_local().encode_v2(out).expect("no TLVs");
}

/// Both addresses in one family, as either version demands: IPv4 where both are, else IPv6 with
/// the other one mapped (RFC 4291 §2.5.5.2). A dual-stack socket's `::ffff:192.0.2.1` is IPv4.
fn pair(source: SocketAddr, destination: SocketAddr) -> ProxiedAddress {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let (from, to) = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (from, to),
        (from, to) => (IpAddr::V6(mapped(from)), IpAddr::V6(mapped(to))),
    };
    ProxiedAddress::stream(
        SocketAddr::new(from, source.port()),
        SocketAddr::new(to, destination.port()),
    )
}

fn mapped(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    match parse(input) {
        Parsed::More => assert!(input.len() < MAX_V2, "more bytes cannot help"),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(parse(&input[..used]), Parsed::Broken(error, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(header, used) => {
            // Bytes after the header have no say in it, and no cut of it is one.
            assert_eq!(parse(&input[..used]), Parsed::Whole(header.clone(), used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
            if let Some((source, destination)) = header.source {
                for write in [write_v1, write_v2] {
                    let mut out = Vec::new();
                    write(source, destination, &mut out);
                    let Parsed::Whole(again, whole) = parse(&out) else {
                        panic!("{source} {destination}: what we write is not read back");
                    };
                    assert_eq!(whole, out.len());
                    let (from, to) = again.source.expect("it was written");
                    assert_eq!(from.ip().to_canonical(), source.ip().to_canonical());
                    assert_eq!(to.ip().to_canonical(), destination.ip().to_canonical());
                    assert_eq!((from.port(), to.port()), (source.port(), destination.port()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(source: &str, destination: &str) -> Header {
        let source = Some((source.parse().unwrap(), destination.parse().unwrap()));
        Header { source, ..Header::default() }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, rest].concat()
    }

    const FOUR: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xc0, 0x01, 0, 143];

    fn good() -> Vec<(Vec<u8>, Header)> {
        let ssl = [&[1 | 2, 0, 0, 0, 0][..], b"\x21\0\x07TLSv1.3", b"\x23\0\x02Ab"].concat();
        let ssl = [&[0x20, 0, u8::try_from(ssl.len()).unwrap()][..], &ssl].concat();
        let name = b"\x02\0\x08mail.org";
        let four = said("192.0.2.1:49153", "198.51.100.2:143");
        let tls = Tls {
            version: Some("TLSv1.3".to_owned()),
            cipher: Some("Ab".to_owned()),
            verified: true,
        };
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 49153 143\r\n".to_vec(), four.clone()),
            (
                b"PROXY TCP6 2001:db8::1 ::1 5 65535\r\n".to_vec(),
                said("[2001:db8::1]:5", "[::1]:65535"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Header::default()),
            (b"PROXY UNKNOWN ffff::1 + 1 2\r\n".to_vec(), Header::default()),
            (v2(0x21, 0x11, FOUR), four.clone()),
            (
                v2(0x21, 0x11, &[FOUR, name, &ssl].concat()),
                Header { authority: Some("mail.org".to_owned()), tls: Some(tls), ..four.clone() },
            ),
            // A name that could break a log line is not a name.
            (v2(0x21, 0x11, &[FOUR, b"\x02\0\x03a\nb"].concat()), four),
            // LOCAL: the rest is discarded unread.
            (v2(0x20, 0x00, b""), Header::default()),
            (v2(0x20, 0x11, b"xyz"), Header::default()),
            (v2(0x20, 0x77, FOUR), Header::default()),
            // AF_UNSPEC, a UNIX socket, a datagram: nothing said of this connection.
            (v2(0x21, 0x00, b""), Header::default()),
            (v2(0x21, 0x31, &[0; 216]), Header::default()),
            (v2(0x21, 0x12, FOUR), Header::default()),
        ]
    }

    #[test]
    fn reads_each_version() {
        for (bytes, want) in good() {
            let more = [&bytes[..], b"* OK"].concat();
            let shown = bytes.escape_ascii();
            assert_eq!(parse(&more), Parsed::Whole(want, bytes.len()), "{shown}");
            hold_for_any(&more);
        }
    }

    #[test]
    fn asks_for_more_at_every_split() {
        for (bytes, _) in good() {
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Parsed::More, "{}", bytes[..cut].escape_ascii());
            }
        }
    }

    #[test]
    fn names_each_breach() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; MAX_V1]].concat();
        for (bytes, error, used) in [
            (b"EHLO there\r\n".to_vec(), Error::Missing, 1),
            (b"PASS word\r\n".to_vec(), Error::Missing, 2),
            (b"PROXYxTCP4 1.2.3.4 1.2.3.4 1 2\r\n".to_vec(), Error::Missing, 6),
            (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), Error::Missing, 12),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n".to_vec(), Error::Broken, 31),
            (b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n".to_vec(), Error::Broken, 33),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n".to_vec(), Error::Broken, 33),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(), Error::Broken, 24),
            (b"PROXY TCP4\r\n".to_vec(), Error::Broken, 12),
            (b"PROXY UNIX 1 2\r\n".to_vec(), Error::Broken, 16),
            (long, Error::TooLong, MAX_V1),
            (v2(0x11, 0x11, FOUR), Error::Broken, 28),
            (v2(0x22, 0x11, FOUR), Error::Broken, 28),
            (v2(0x21, 0x41, FOUR), Error::Broken, 28),
            (v2(0x21, 0x11, &FOUR[1..]), Error::Broken, 27),
            (v2(0x21, 0x11, &[FOUR, b"\x02\0\x09short"].concat()), Error::Broken, 36),
            (v2(0x21, 0x11, &[FOUR, b"\x20\0\x03abc"].concat()), Error::Broken, 34),
            (v2(0x21, 0x11, &vec![0; MAX_V2]), Error::TooLong, 16),
        ] {
            assert_eq!(parse(&bytes), Parsed::Broken(error, used), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn addresses_of_two_families_are_written_as_one() {
        for (source, destination, v1) in [
            ("192.0.2.1:5", "198.51.100.2:143", "TCP4 192.0.2.1 198.51.100.2 5 143"),
            ("[2001:db8::1]:5", "[::1]:143", "TCP6 2001:db8::1 ::1 5 143"),
            ("[::ffff:192.0.2.1]:5", "198.51.100.2:143", "TCP4 192.0.2.1 198.51.100.2 5 143"),
            ("192.0.2.1:5", "[::1]:143", "TCP6 ::ffff:192.0.2.1 ::1 5 143"),
            ("[2001:db8::1]:5", "198.51.100.2:1", "TCP6 2001:db8::1 ::ffff:198.51.100.2 5 1"),
        ] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let (mut line, mut block) = (Vec::new(), Vec::new());
            write_v1(source, destination, &mut line);
            write_v2(source, destination, &mut block);
            assert_eq!(String::from_utf8(line.clone()).unwrap(), format!("PROXY {v1}\r\n"));
            hold_for_any(&line);
            hold_for_any(&block);
        }
    }

    #[test]
    fn a_client_without_an_address_is_not_given_one() {
        let (mut line, mut block) = (Vec::new(), Vec::new());
        write_unknown_v1(&mut line);
        write_local_v2(&mut block);
        assert_eq!(line, b"PROXY UNKNOWN\r\n");
        assert_eq!(block, v2(0x20, 0x00, b""));
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(sign in 0..4usize, input in prop::collection::vec(any::<u8>(), 0..64)) {
            let sign: &[u8] = [b"".as_slice(), V1, b"PROXY TCP4 1.2.3.4 ", V2][sign];
            hold_for_any(&[sign, &input].concat());
        }

        #[test]
        fn holds_for_any_near_header(at in 0..64usize, byte in any::<u8>(), which in 0..13usize) {
            let mut bytes = good().swap_remove(which).0;
            let at = at % bytes.len();
            bytes[at] = byte;
            hold_for_any(&bytes);
        }
    }
}
