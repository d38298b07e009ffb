//! The hashes of nginx's methods: the same keys meet the same servers as there. Pure.

use std::net::IpAddr;

/// How often a key is hashed again before the turns decide: nginx's number.
pub const MOST_TRIES: u32 = 20;

/// CRC-32 as zlib and Ethernet have it, reflected, byte by byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// A CRC-32 on its way: what two keys have in common need not be read twice.
#[derive(Clone, Copy, Debug)]
pub struct Crc(u32);

impl Crc {
    pub fn new() -> Self {
        Self(u32::MAX)
    }

    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            let index = (self.0 ^ u32::from(*byte)) & 0xff;
            self.0 = TABLE[index as usize] ^ (self.0 >> 8);
        }
        self
    }

    pub fn end(self) -> u32 {
        !self.0
    }
}

pub fn crc32(bytes: &[u8]) -> u32 {
    Crc::new().with(bytes).end()
}

/// `hash KEY` without `consistent`: the servers that a key asks for, try by try, each a place in
/// `weights` (whole weights of all servers, those that cannot be chosen too). Of Cache::Memcached.
pub fn plain<'a>(key: &'a [u8], weights: &'a [u64]) -> impl Iterator<Item = usize> + 'a {
    let mut sum = 0_u64;
    (0..=MOST_TRIES).map_while(move |rehash| {
        let crc = match rehash {
            0 => Crc::new(),
            more => Crc::new().with(more.to_string().as_bytes()),
        };
        let hash = (crc.with(key).end() >> 16) & 0x7fff;
        sum = sum.wrapping_add(u64::from(hash));
        place(sum, weights)
    })
}

/// `ip_hash`: likewise, for a client. Of IPv4 the network of 24 bits counts, of IPv6 all of it.
pub fn of_ip(ip: IpAddr, weights: &[u64]) -> impl Iterator<Item = usize> + '_ {
    let (bytes, count) = match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let mut bytes = [0; 16];
            bytes[..3].copy_from_slice(&[a, b, c]);
            (bytes, 3)
        }
        IpAddr::V6(v6) => (v6.octets(), 16),
    };
    let mut hash = 89_u64;
    (0..=MOST_TRIES).map_while(move |_| {
        hash =
            bytes[..count].iter().fold(hash, |hash, byte| (hash * 113 + u64::from(*byte)) % 6271);
        place(hash, weights)
    })
}

/// Whose part of the weights `number` falls into.
fn place(number: u64, weights: &[u64]) -> Option<usize> {
    let total: u64 = weights.iter().sum();
    let mut rest = number.checked_rem(total)?;
    for (at, weight) in weights.iter().enumerate() {
        match rest.checked_sub(*weight) {
            Some(less) => rest = less,
            None => return Some(at),
        }
    }
    None
}

/// What `key` thinks of `candidate`: among several, the one it thinks most of is its own, and stays
/// so whichever others come or go. FNV-1a, with the bits mixed at the end.
pub fn liking(key: &[u8], candidate: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.iter().chain(b"\0").chain(candidate) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
        hash = (hash ^ (hash >> shift)).wrapping_mul(factor);
    }
    hash ^ (hash >> 31)
}
