//! The directive `control`.

use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use super::gate::Callers;
use crate::config::{Block, Directive, MAIN, Secret, Statement, Takes};

pub const DIRECTIVES: &[Directive] = &[Directive {
    name: "control",
    within: &[MAIN],
    takes: Takes::Args(1, 4),
    repeats: false,
    default: "unix:/run/gatepost.sock",
    secret: Secret::None,
    doc: "The socket at which a running gatepost is asked and told: `unix:PATH [mode=OCTAL] \
          [owner=USER] [group=GROUP]`, or `off`. The commands (`gatepost status`, `who`, `upstream \
          drain` …) speak JSON over HTTP there; see [control.md](control.md). The default is beside \
          the pid file: its path with `.sock` in place of `.pid`. `mode` is `0600` unless set. \
          Whatever the mode, only root, the user that gatepost runs as, `owner` and members of \
          `group` are answered. A socket that a crash has left is replaced, anything else at that \
          path is left alone. If a socket that is configured cannot be opened gatepost does not \
          start; for the default's sake it warns and starts.",
}];

/// Where and for whom the socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// None: there is no socket.
    pub path: Option<PathBuf>,
    /// Whether it was asked for: then it must be there.
    pub is_configured: bool,
    pub mode: u32,
    pub owner: Option<u32>,
    pub group: Option<u32>,
}

impl Settings {
    /// The default of a gatepost with this pid file.
    pub fn beside(pid: &Path) -> Self {
        let path = match pid.extension() {
            Some(ending) if ending == "pid" => pid.with_extension("sock"),
            _ => {
                let mut name = pid.as_os_str().to_owned();
                name.push(".sock");
                name.into()
            }
        };
        Self { path: Some(path), is_configured: false, mode: 0o600, owner: None, group: None }
    }

    /// Reads the main block of a gatepost with this pid file.
    pub fn read(main: &Block, pid: &Path) -> Self {
        let default = Self::beside(pid);
        let Some(at) = main.statement("control") else { return default };
        match parse(main, at) {
            Ok(settings) => settings,
            Err(fault) => {
                main.fault(at, format!("{fault} in \"control\" directive"));
                default
            }
        }
    }

    pub fn callers(&self) -> Callers {
        Callers { user: self.owner, group: self.group }
    }
}

fn parse(main: &Block, at: &Statement) -> Result<Settings, String> {
    let [place, options @ ..] = at.args() else {
        return Err("no place".to_owned());
    };
    let nowhere = Settings { path: None, is_configured: true, ..Settings::beside(Path::new("")) };
    if place == "off" {
        return match options {
            [] => Ok(nowhere),
            [option, ..] => Err(format!("invalid parameter \"{option}\"")),
        };
    }
    let path = place.strip_prefix("unix:").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| {
        format!("invalid place \"{place}\", it must be \"unix:PATH\" or \"off\",")
    })?;
    let mut settings = Settings { path: Some(main.shared().prefix.join(path)), ..nowhere };
    for option in options {
        let wrong = || format!("invalid parameter \"{option}\"");
        match option.split_once('=').ok_or_else(wrong)? {
            ("mode", digits) => {
                // Without the owner's own bits nobody could ask.
                let mode = u32::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with('+'));
                let mode = mode.filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
                settings.mode = mode.ok_or_else(wrong)?;
            }
            ("owner", name) => {
                let user = User::from_name(name).ok().flatten();
                let user = user.ok_or_else(|| format!("there is no user \"{name}\","))?;
                settings.owner = Some(user.uid.as_raw());
            }
            ("group", name) => {
                let group = Group::from_name(name).ok().flatten();
                let group = group.ok_or_else(|| format!("there is no group \"{name}\","))?;
                settings.group = Some(group.gid.as_raw());
            }
            _ => return Err(wrong()),
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &str) -> (Settings, Vec<String>) {
        let pairs: &[(&str, &str)] = if args.is_empty() { &[] } else { &[("control", args)] };
        let block = Block::of(pairs);
        let settings = Settings::read(&block, Path::new("/run/gatepost.pid"));
        (settings, block.faults())
    }

    #[test]
    fn the_socket_is_beside_the_pid_file_unless_it_is_elsewhere() {
        let default = Settings::beside(Path::new("/run/gatepost.pid"));
        assert_eq!(default.path.as_deref(), Some(Path::new("/run/gatepost.sock")));
        assert_eq!((default.mode, default.is_configured), (0o600, false));
        assert_eq!(
            Settings::beside(Path::new("/run/x")).path.as_deref(),
            Some(Path::new("/run/x.sock"))
        );
        assert_eq!(read(""), (default, vec![]));
        let (off, faults) = read("off");
        assert_eq!((off.path, faults), (None, vec![]));
        let (set, faults) = read("unix:/x/y mode=0660 owner=root group=root");
        assert_eq!(faults, [""; 0]);
        assert_eq!(set.path.as_deref(), Some(Path::new("/x/y")));
        assert_eq!((set.mode, set.owner, set.group), (0o660, Some(0), Some(0)));
        assert!(set.is_configured);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, want) in [
            ("/x", "invalid place \"/x\", it must be \"unix:PATH\" or \"off\", in \"control\""),
            ("unix:", "invalid place \"unix:\""),
            ("127.0.0.1:1", "invalid place \"127.0.0.1:1\""),
            ("off mode=0600", "invalid parameter \"mode=0600\" in \"control\" directive"),
            ("unix:/x mode=999", "invalid parameter \"mode=999\""),
            ("unix:/x mode=01777", "invalid parameter \"mode=01777\""),
            ("unix:/x mode=0060", "invalid parameter \"mode=0060\""),
            ("unix:/x mode=+600", "invalid parameter \"mode=+600\""),
            ("unix:/x backlog=1", "invalid parameter \"backlog=1\""),
            ("unix:/x owner=nobody-has-this-name", "there is no user \"nobody-has-this-name\","),
            ("unix:/x group=nobody-has-this-name", "there is no group \"nobody-has-this-name\","),
        ] {
            let (_, faults) = read(args);
            assert!(faults.len() == 1 && faults[0].starts_with(want), "{args}: {faults:?}");
        }
    }
}
