//! Where a party lives: a folder and an address of its own.

use std::fs;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;

/// Above the privileged ports, below those that the kernel gives to connections.
pub const IMAP: u16 = 10143;
pub const IMAPS: u16 = 10993;
pub const POP3: u16 = 10110;
pub const POP3S: u16 = 10995;
pub const SMTP: u16 = 10025;
pub const SUBMISSION: u16 = 10587;
pub const SMTPS: u16 = 10465;
pub const SIEVE: u16 = 14190;
pub const SIEVES: u16 = 14191;
pub const LMTP: u16 = 10024;

/// A loopback address that no other party of any test run on this machine has.
///
/// Each process holds /24 networks of 127/8, locked by an abstract socket that the kernel lets go of
/// when the process ends however it ends, so ports never clash and never are free "just now".
pub fn fresh_ip() -> Ipv4Addr {
    static HELD: Mutex<Option<Network>> = Mutex::new(None);
    struct Network {
        /// Held, not used: the lock.
        _locks: Vec<UnixListener>,
        number: u16,
        next: u8,
    }

    let mut held = HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let is_spent = held.as_ref().is_none_or(|network| network.next == u8::MAX);
    if is_spent {
        let from = std::process::id() as u16;
        let (number, lock) = (0..u16::MAX)
            .map(|step| from.wrapping_mul(251).wrapping_add(step))
            .filter(|number| (1..=254).contains(&(number >> 8)))
            .find_map(|number| {
                let name = format!("gatepost-test-network-{number}");
                let name = SocketAddr::from_abstract_name(name).unwrap();
                Some((number, UnixListener::bind_addr(&name).ok()?))
            })
            .expect("no loopback network left");
        let mut locks = held.take().map(|network| network._locks).unwrap_or_default();
        locks.push(lock);
        *held = Some(Network { _locks: locks, number, next: 1 });
    }
    let network = held.as_mut().unwrap();
    let ip = Ipv4Addr::new(127, (network.number >> 8) as u8, network.number as u8, network.next);
    network.next += 1;
    ip
}

/// A folder and an address, gone with the test.
pub struct Site {
    dir: TempDir,
    pub ip: Ipv4Addr,
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        // Servers that drop their privileges must still find their way in.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["conf", "logs", "run"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, ip: fresh_ip() }
    }

    /// A port for `[::1]`, which has no siblings: as good as unique to this process.
    pub fn port_of_v6(&self) -> u16 {
        let [_, high, low, _] = self.ip.octets();
        12_000 + u16::from_be_bytes([high, low]) % 18_000
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The text of a file; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }
}
