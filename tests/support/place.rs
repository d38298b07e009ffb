//! Where a party lives: a folder and an address of its own.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use super::loopback::fresh_ip;

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
