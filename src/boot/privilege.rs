//! From root to the user that the configuration names.
//!
//! Called once, before the first thread starts. The user changes for all threads; capabilities
//! belong to a thread. The main thread, which no client speaks to, keeps what the process contract
//! takes: binding low ports, reading keys and configuration, writing logs and the pid file. Workers
//! give that up as they start (`docs/decisions/0008`).

use std::ffi::CString;
use std::path::Path;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{Gid, Group, Uid, User, chown, initgroups, setgid, setuid};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("getpwnam(\"{0}\") failed: there is no such user")]
    NoUser(String),
    #[error("getgrnam(\"{0}\") failed: there is no such group")]
    NoGroup(String),
    #[error("{call} failed ({}: {})", *.cause as i32, .cause.desc())]
    Call { call: &'static str, cause: nix::Error },
    #[error("cannot keep the capabilities that a reload needs: {0}")]
    Capability(#[from] caps::errors::CapsError),
}

/// What the main thread keeps.
const KEPT: [Capability; 3] = [
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_DAC_OVERRIDE,
];

/// Who gatepost is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Identity {
    /// Looks `user` and `group` up. The group, where none is named, has the user's name, as in
    /// nginx; where there is no such group it is the user's own.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, Error> {
        let found = User::from_name(user)
            .map_err(|cause| Error::Call { call: "getpwnam", cause })?
            .ok_or_else(|| Error::NoUser(user.to_owned()))?;
        let named = Group::from_name(group.unwrap_or(user))
            .map_err(|cause| Error::Call { call: "getgrnam", cause })?;
        let gid = match (named, group) {
            (Some(group), _) => group.gid,
            (None, None) => found.gid,
            (None, Some(group)) => return Err(Error::NoGroup(group.to_owned())),
        };
        Ok(Self { name: user.to_owned(), uid: found.uid, gid })
    }

    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    pub fn gid(&self) -> u32 {
        self.gid.as_raw()
    }

    /// Gives `path` to this user, so that it can be opened again later. Best effort.
    pub fn own(&self, path: &Path) {
        let _ = chown(path, Some(self.uid), Some(self.gid));
    }

    /// Whether this process is that user already.
    pub fn is_us(&self) -> bool {
        Uid::effective() == self.uid
    }

    /// Becomes this user for good, and keeps [`KEPT`] in this thread.
    pub fn assume(&self) -> Result<(), Error> {
        let call = |call| move |cause| Error::Call { call, cause };
        let name =
            CString::new(self.name.as_str()).map_err(|_| Error::NoUser(self.name.clone()))?;
        setgid(self.gid).map_err(call("setgid"))?;
        initgroups(&name, self.gid).map_err(call("initgroups"))?;
        nix::sys::prctl::set_keepcaps(true).map_err(call("prctl(PR_SET_KEEPCAPS)"))?;
        setuid(self.uid).map_err(call("setuid"))?;
        if self.uid.is_root() {
            return Ok(());
        }
        let mut kept = CapsHashSet::new();
        for capability in KEPT {
            if caps::has_cap(None, CapSet::Permitted, capability)? {
                kept.insert(capability);
            }
        }
        caps::set(None, CapSet::Permitted, &kept)?;
        caps::set(None, CapSet::Effective, &kept)?;
        // Inheritable and ambient: the new binary of an upgrade has it, too. A kernel without
        // ambient capabilities only loses that.
        caps::set(None, CapSet::Inheritable, &kept)?;
        let _ = caps::set(None, CapSet::Ambient, &kept);
        Ok(())
    }
}

/// Gives up what the main thread keeps, in a worker's thread. Root that was asked to stay root
/// stays it.
pub fn give_up_in_this_thread() {
    if is_root() {
        return;
    }
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        // A thread that has none cannot lose any.
        let _ = caps::clear(None, set);
    }
}

/// Whether this process may change its user.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}
