//! A new certificate, put where `certificates` looks.
//!
//! Certificate and key change as one: their folder is made beside the old one and the two are
//! exchanged by one rename(2). Whoever looks in between sees the old pair or the new.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;

use super::super::Options;
use super::super::model::{Kept, Plan};
use crate::tls::certs::Files;
use crate::tls::certs::audit::{self, Pairing, Report, Roots};
use crate::tls::certs::facts::normal;
use crate::tls::pem;

/// What is to be put in place.
#[derive(Debug)]
pub struct Fresh<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
    pub chain: Option<&'a Path>,
    pub domain: Option<&'a str>,
}

/// Where it is now.
#[derive(Debug, Serialize)]
pub struct Deployed {
    pub folder: PathBuf,
    pub names: Vec<String>,
    pub not_after: Option<i64>,
    pub replaced: bool,
    pub notes: Vec<String>,
}

/// Checks `fresh` and stores it; nothing is touched where anything is wrong with it.
pub fn deploy(options: &Options, fresh: &Fresh<'_>, now: i64) -> Result<Deployed, Vec<String>> {
    let one = |text: String| vec![text];
    let plan = Plan::read(options, &Kept::new())?;
    let (shelf, passwords) = plan
        .shown()
        .find_map(|(settings, _)| {
            let plain = settings
                .folders
                .iter()
                .find(|path| !path.to_string_lossy().contains(['*', '?', '[']) && !path.is_file());
            Some((plain?.clone(), settings.passwords.clone()))
        })
        .ok_or_else(|| {
            one("the configuration has no \"certificates DIR\" to put it into: add \"certificates \
                 /etc/gatepost/certs;\" to \"mail\""
                .to_owned())
        })?;
    let files =
        Files { certificate: fresh.certificate.to_owned(), key: fresh.key.to_owned(), passwords };
    let pairing = Pairing {
        files,
        chain: fresh.chain.map(Path::to_owned),
        name: fresh.domain.unwrap_or_default().to_owned(),
    };
    let report = audit::examine(&pairing, &Roots::of_system(), now);
    if !report.faults.is_empty() {
        return Err(report.faults);
    }
    let wanted = fresh.domain.or(report.names.first().map(String::as_str)).unwrap_or_default();
    let name = wanted.strip_prefix("*.").unwrap_or(wanted).replace(':', "-");
    let name = normal(&name).filter(|name| !name.starts_with("*.")).ok_or_else(|| {
        one(format!("\"{wanted}\" is no name for a folder: give one with --domain"))
    })?;

    let read =
        |path: &Path| pem::read(path).map_err(|why| one(format!("{}: {why}", path.display())));
    let mut chain = read(fresh.certificate)?.to_vec();
    if let Some(more) = fresh.chain {
        if !chain.ends_with(b"\n") {
            chain.push(b'\n');
        }
        chain.extend_from_slice(&read(more)?);
    }
    let key = read(fresh.key)?;
    let folder = shelf.join(&*name);
    let replaced = put(&shelf, &folder, &name, &chain, &key)
        .map_err(|error| one(format!("storing it in {}: {error}", folder.display())))?;
    let Report { names, not_after, notes, .. } = report;
    Ok(Deployed { folder, names, not_after, replaced, notes })
}

fn put(shelf: &Path, folder: &Path, name: &str, chain: &[u8], key: &[u8]) -> io::Result<bool> {
    let private = || {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        builder
    };
    if !shelf.exists() {
        private().recursive(true).create(shelf)?;
    }
    let owner = fs::metadata(shelf).map(|meta| (meta.uid(), meta.gid())).ok();
    // Who looks passes over what begins with a dot.
    let beside = shelf.join(format!(".{name}.{}", std::process::id()));
    remove(&beside)?;
    private().create(&beside)?;
    let stored = (|| {
        for (file, bytes) in [("fullchain.pem", chain), ("privkey.pem", key)] {
            let path = beside.join(file);
            let mut open =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            open.write_all(bytes)?;
            open.sync_all()?;
            give(&path, owner);
        }
        give(&beside, owner);
        File::open(&beside)?.sync_all()?;
        let replaced = match fs::symlink_metadata(folder) {
            Ok(meta) if meta.is_dir() => is_ours_alone(folder)?,
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        match replaced {
            true => renameat_with(CWD, &beside, CWD, folder, RenameFlags::EXCHANGE)?,
            false => fs::rename(&beside, folder)?,
        }
        File::open(shelf)?.sync_all()?;
        Ok(replaced)
    })();
    // The old one by now, or what was not finished.
    let cleared = remove(&beside);
    let replaced = stored?;
    cleared.map(|()| replaced)
}

/// Whether nothing would be lost with the folder but a certificate's parts.
fn is_ours_alone(folder: &Path) -> io::Result<bool> {
    const PARTS: [&str; 6] =
        ["fullchain.pem", "cert.pem", "chain.pem", "privkey.pem", "key.pem", "README"];
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !PARTS.iter().any(|part| name == *part) {
            let words = format!("there is {name:?}, too: move it away, or name another --domain");
            return Err(io::Error::other(words));
        }
    }
    Ok(true)
}

fn remove(path: &Path) -> io::Result<()> {
    let done = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// As the folder around it; only root can, and nobody else need.
fn give(path: &Path, owner: Option<(u32, u32)>) {
    if let Some((uid, gid)) = owner {
        let _ = chown(path, Some(uid), Some(gid));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pair_is_put_and_replaced_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = dir.path().join("certs");
        let folder = shelf.join("a.example");
        let put = |chain: &str, key: &str| {
            put(&shelf, &folder, "a.example", chain.as_bytes(), key.as_bytes())
        };
        assert!(!put("chain 1", "key 1").unwrap());
        assert!(put("chain 2", "key 2").unwrap());
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!((&*read("fullchain.pem"), &*read("privkey.pem")), ("chain 2", "key 2"));
        for name in ["fullchain.pem", "privkey.pem"] {
            assert_eq!(
                fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        fs::write(folder.join("other.crt"), "").unwrap();
        assert!(put("chain 3", "key 3").is_err());
        assert_eq!(read("privkey.pem"), "key 2");
        let left: Vec<_> =
            fs::read_dir(&shelf).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(left, ["a.example"], "nothing is left behind");
    }
}
