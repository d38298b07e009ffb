//! The file that names the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A pid file of ours. Dropped, it is removed.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// Where the file is now: during an upgrade it steps aside for the new process's.
    at: PathBuf,
}

impl PidFile {
    /// Writes our process id to `path`, whole or not at all.
    pub fn write(path: &Path) -> io::Result<Self> {
        put(path)?;
        Ok(Self { path: path.to_owned(), at: path.to_owned() })
    }

    /// Makes room for the process that takes over: the file goes on as `….oldbin`.
    pub fn step_aside(&mut self) -> io::Result<()> {
        let old = beside(&self.path, ".oldbin");
        fs::rename(&self.at, &old)?;
        self.at = old;
        Ok(())
    }

    /// Takes the name back: the new process is gone.
    pub fn step_back(&mut self) -> io::Result<()> {
        if self.at != self.path {
            fs::rename(&self.at, &self.path)?;
            self.at.clone_from(&self.path);
        }
        Ok(())
    }

    /// Moves to the file that a new configuration names.
    pub fn move_to(&mut self, path: &Path) -> io::Result<()> {
        if path != self.path {
            put(path)?;
            let _ = fs::remove_file(&self.at);
            path.clone_into(&mut self.path);
            self.at.clone_from(&self.path);
        }
        Ok(())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A user without rights to the folder can at least not leave a wrong number behind.
        if fs::remove_file(&self.at).is_err() {
            let _ = fs::write(&self.at, "");
        }
    }
}

/// The process that `path` names.
pub fn read(path: &Path) -> io::Result<i32> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("invalid PID number \"{}\"", text.trim()),
        )
    })
}

fn put(path: &Path) -> io::Result<()> {
    let text = format!("{}\n", std::process::id());
    // Renamed into place, so that nobody reads a file without its number. A folder that takes no
    // new file may still hold one that we may write.
    let fresh = beside(path, &format!(".{}", std::process::id()));
    match fs::write(&fresh, &text) {
        Ok(()) => fs::rename(&fresh, path),
        Err(_) => fs::write(path, &text),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_steps_aside_and_back_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gatepost.pid");
        let mut file = PidFile::write(&path).unwrap();
        assert_eq!(read(&path).unwrap(), std::process::id() as i32);
        file.step_aside().unwrap();
        assert!(!path.exists() && folder.path().join("gatepost.pid.oldbin").exists());
        file.step_back().unwrap();
        assert!(path.exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_without_a_number_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gatepost.pid");
        fs::write(&path, "soon\n").unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "invalid PID number \"soon\"");
    }
}
