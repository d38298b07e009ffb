//! Where lines go: a file, standard error, syslog, or memory in tests.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(test)]
use std::sync::{Mutex, PoisonError};

use super::files::{self, Failure, LogFile};
use super::log::Level;
use super::syslog::{Settings, Syslog};

/// Where a log is to go, as `error_log` and `access_log` name it in their first argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    File(PathBuf),
    Stderr,
    Syslog(Settings),
}

/// Why a log cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    File(#[from] Failure),
    #[error("{0}")]
    Syslog(String),
    #[error("no log file is named")]
    Empty,
}

impl Target {
    /// Reads `stderr`, `syslog:…`, or a path, which is relative to `prefix`.
    pub fn parse(text: &str, prefix: &Path) -> Result<Self, Error> {
        match text.strip_prefix("syslog:") {
            Some(parameters) => Settings::parse(parameters).map(Self::Syslog),
            None if text == "stderr" => Ok(Self::Stderr),
            None if text.is_empty() => Err(Error::Empty),
            None => Ok(Self::File(prefix.join(text))),
        }
    }

    pub fn open(&self) -> Result<Sink, Error> {
        Ok(match self {
            Self::File(path) => Sink::File(files::open(path)?),
            Self::Stderr => Sink::Stderr,
            Self::Syslog(settings) => Sink::Syslog(settings.open()?),
        })
    }
}

/// An open target.
#[derive(Clone, Debug)]
pub enum Sink {
    File(Arc<LogFile>),
    Stderr,
    Syslog(Syslog),
    #[cfg(test)]
    Memory(Memory),
}

static WRITE_ERRORS: AtomicU64 = AtomicU64::new(0);

/// How many lines could not be written since the process began.
pub fn write_errors() -> u64 {
    WRITE_ERRORS.load(Ordering::Relaxed)
}

impl Sink {
    /// Writes `line`, which ends with its newline. `level` is for syslog; an access log has none.
    ///
    /// A line that cannot be written is lost and counted: there is nowhere left to say so.
    pub fn write(&self, level: Option<Level>, line: &[u8]) {
        let written = match self {
            Self::File(file) => file.write(line),
            Self::Stderr => files::write_line(io::stderr().lock(), line),
            Self::Syslog(syslog) => syslog.send(level, line),
            #[cfg(test)]
            Self::Memory(memory) => {
                memory.push(line);
                Ok(())
            }
        };
        if written.is_err() {
            WRITE_ERRORS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Lines kept for a test to look at.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Memory {
    fn push(&self, line: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
    }

    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

/// A system's error as nginx shows it: `111: Connection refused`.
pub fn because(cause: &io::Error) -> impl fmt::Display + '_ {
    struct Because<'a>(&'a io::Error);
    impl fmt::Display for Because<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let text = self.0.to_string();
            match self.0.raw_os_error() {
                Some(code) => {
                    let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
                    write!(f, "{code}: {text}")
                }
                None => f.write_str(&text),
            }
        }
    }
    Because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_nginx_reads_it() {
        let parse = |text: &str| Target::parse(text, Path::new("/etc/gatepost"));
        assert_eq!(parse("stderr").unwrap(), Target::Stderr);
        assert_eq!(parse("logs/a.log").unwrap(), Target::File("/etc/gatepost/logs/a.log".into()));
        assert_eq!(parse("/var/a.log").unwrap(), Target::File("/var/a.log".into()));
        assert!(matches!(parse("syslog:server=127.0.0.1").unwrap(), Target::Syslog(_)));
        assert!(parse("syslog:").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named_with_its_cause() {
        let error = Target::File("/nowhere/a.log".into()).open().unwrap_err();
        let want = "open() \"/nowhere/a.log\" failed (2: No such file or directory)";
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted() {
        let full = Target::File("/dev/full".into()).open().unwrap();
        let before = write_errors();
        full.write(None, b"lost\n");
        assert!(write_errors() > before);
    }
}
