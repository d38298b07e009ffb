//! `error_log`, `log_format` and `access_log`, read and opened.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Block;
use crate::observe::access::Access;
use crate::observe::format::Format;
use crate::observe::{Level, Log, Target};

/// Where errors go when nobody says.
pub const ERROR_LOG: &str = "/var/log/gatepost/error.log";

/// The targets of the block's `error_log`s; `None` if it has none.
pub fn error_targets(block: &Block, prefix: &Path) -> Option<Vec<(Target, Level)>> {
    let statements = block.all("error_log");
    if statements.is_empty() {
        return None;
    }
    let mut targets = Vec::new();
    for statement in statements {
        let target = Target::parse(&statement.args()[0], prefix);
        let level = statement.arg(1).map_or(Ok(Level::Error), str::parse);
        match (target, level) {
            (Ok(target), Ok(level)) => targets.push((target, level)),
            (target, level) => {
                if let Err(error) = target {
                    block.fault(statement, format!("{error} in \"error_log\" directive"));
                }
                if let Err(error) = level {
                    block.fault(statement, error.to_string());
                }
            }
        }
    }
    Some(targets)
}

/// The formats that access lines may have, by name.
#[derive(Debug)]
pub struct Formats(HashMap<String, Arc<Format>>);

impl Formats {
    pub fn read(mail: &Block) -> Self {
        let mut formats = HashMap::new();
        for statement in mail.all("log_format") {
            let [name, words @ ..] = statement.args() else { continue };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let is_known = formats.contains_key(name) || Format::built_in(name).is_some();
            if is_known {
                mail.fault(statement, format!("duplicate \"log_format\" name \"{name}\""));
            }
            match Format::read(&words) {
                Ok(format) => drop(formats.insert(name.clone(), Arc::new(format))),
                Err(error) => mail.fault(statement, error.to_string()),
            }
        }
        Self(formats)
    }

    fn find(&self, name: &str) -> Option<Arc<Format>> {
        self.0.get(name).cloned().or_else(|| Format::built_in(name).map(Arc::new))
    }
}

/// The targets of the block's `access_log`s; `None` if it has none, empty for `off`.
pub fn access_targets(
    block: &Block,
    prefix: &Path,
    formats: &Formats,
) -> Option<Vec<(Target, Arc<Format>)>> {
    let statements = block.all("access_log");
    if statements.is_empty() {
        return None;
    }
    let mut targets = Vec::new();
    for statement in statements {
        let (path, name) = (&statement.args()[0], statement.arg(1).unwrap_or("main"));
        if path == "off" {
            continue;
        }
        match (Target::parse(path, prefix), formats.find(name)) {
            (Ok(target), Some(format)) => targets.push((target, format)),
            (target, format) => {
                if let Err(error) = target {
                    block.fault(statement, format!("{error} in \"access_log\" directive"));
                }
                if format.is_none() {
                    block.fault(statement, format!("unknown log format \"{name}\""));
                }
            }
        }
    }
    Some(targets)
}

/// The files among targets.
pub fn files<'a, T: 'a>(
    targets: impl IntoIterator<Item = &'a (Target, T)>,
) -> impl Iterator<Item = PathBuf> {
    targets.into_iter().filter_map(|(target, _)| match target {
        Target::File(path) => Some(path.clone()),
        Target::Stderr | Target::Syslog(_) => None,
    })
}

/// Opens a log; what cannot be opened is said as nginx says it.
pub fn open(targets: &[(Target, Level)]) -> Result<Log, String> {
    Log::open(targets).map_err(|error| error.to_string())
}

/// Opens an access log.
pub fn open_access(targets: &[(Target, Arc<Format>)]) -> Result<Access, String> {
    Access::open(targets).map_err(|error| error.to_string())
}
