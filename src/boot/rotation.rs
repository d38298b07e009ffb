//! `log_rotate`, read and carried out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Zoned;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::MissedTickBehavior;

use super::privilege::{self, Identity};
use crate::config::{Block, Statement, value};
use crate::net::errno;
use crate::observe::rotate::{Every, Policy, Rotation, Rules, Turned};
use crate::observe::{Level, Log};

/// How often logs are looked at, and how often what was turned.
const LOOK: Duration = Duration::from_secs(1);
const TIDY: Duration = Duration::from_secs(2);

/// How long a `command=` may take.
const COMMAND: Duration = Duration::from_secs(60);

const KEEP: usize = 14;

/// Reads every `log_rotate`; `logs` are the files that something is logged to.
pub fn read(main: &Block, prefix: &Path, logs: &BTreeSet<PathBuf>) -> Rules {
    let mut rules = Rules::default();
    for at in main.all("log_rotate") {
        let words = at.args();
        let (file, words) = match words.split_first() {
            Some((first, rest)) if !first.contains('=') && first != "off" => {
                (Some(prefix.join(first)), rest)
            }
            _ => (None, words),
        };
        let policy = match words {
            [off] if off == "off" => None,
            words => match policy(words, prefix) {
                Ok(policy) => Some(policy),
                Err(fault) => {
                    main.fault(at, format!("{fault} in \"log_rotate\" directive"));
                    continue;
                }
            },
        };
        put(&mut rules, file, policy, main, at, logs);
    }
    rules
}

fn put(
    rules: &mut Rules,
    file: Option<PathBuf>,
    policy: Option<Policy>,
    main: &Block,
    at: &Statement,
    logs: &BTreeSet<PathBuf>,
) {
    let Some(file) = file else {
        if rules.usual.is_some() {
            main.fault(at, "\"log_rotate\" without a file is there twice");
        }
        rules.usual = policy;
        return;
    };
    if !logs.contains(&file) {
        main.fault(at, format!("\"log_rotate\": nothing is logged to \"{}\"", file.display()));
    }
    if rules.own.insert(file.clone(), policy).is_some() {
        main.fault(at, format!("\"log_rotate {}\" is there twice", file.display()));
    }
}

fn policy(words: &[String], prefix: &Path) -> Result<Policy, String> {
    let mut policy = Policy {
        every: None,
        size: None,
        keep: KEEP,
        compress: false,
        delay_compress: false,
        mode: None,
        owner: None,
        command: None,
    };
    for word in words {
        let invalid = |want: &str| format!("invalid parameter \"{word}\", it must be {want}");
        let Some((name, text)) = word.split_once('=') else {
            return Err(format!("invalid parameter \"{word}\""));
        };
        let flag = || value::flag(text).ok_or_else(|| invalid("\"on\" or \"off\""));
        match name {
            "every" => {
                let every = Every::ALL.iter().find(|every| every.name() == text);
                let want = "hourly, daily, weekly or monthly";
                policy.every = Some(*every.ok_or_else(|| invalid(want))?);
            }
            "size" => {
                let size = value::size(text).filter(|size| *size > 0);
                policy.size = Some(size.ok_or_else(|| invalid("a size"))?);
            }
            "keep" => {
                let keep = text.parse().ok().filter(|keep| (1..=10_000).contains(keep));
                policy.keep = keep.ok_or_else(|| invalid("a number from 1 to 10000"))?;
            }
            "compress" => policy.compress = flag()?,
            "delay_compress" => policy.delay_compress = flag()?,
            "mode" => {
                let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
                let mode = mode.filter(|mode| mode & 0o200 != 0);
                policy.mode = Some(mode.ok_or_else(|| invalid("an octal mode, as 0640"))?);
            }
            "owner" => {
                let (user, group) = match text.split_once(':') {
                    Some((user, group)) => (user, Some(group)),
                    None => (text, None),
                };
                let found = Identity::find(user, group).map_err(|error| error.to_string())?;
                policy.owner = Some((found.uid(), found.gid()));
            }
            "command" if !text.is_empty() => policy.command = Some(prefix.join(text)),
            _ => return Err(format!("invalid parameter \"{word}\"")),
        }
    }
    if policy.every.is_none() && policy.size.is_none() {
        policy.every = Some(Every::Daily);
    }
    Ok(policy)
}

/// The logs of the process, as they are turned; it outlives a reload.
#[derive(Debug, Default)]
pub struct Logs {
    rotation: Rotation,
    log: ArcSwapOption<Log>,
}

impl Logs {
    /// From now on by `rules`, and told in `log`.
    pub fn follow(&self, rules: Rules, log: &Log) {
        self.log.store(Some(Arc::new(log.clone())));
        self.rotation.follow(rules);
    }

    /// Looks at the logs for as long as the process lives: one task of the main thread, which alone
    /// may write where logs lie.
    pub async fn attend(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        let mut tidy = tokio::time::interval(TIDY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A log that takes long to compress keeps no other from being turned.
        let turning = async {
            loop {
                look.tick().await;
                // A thread beside the main one has its capabilities: there is none without need.
                if self.rotation.is_idle() {
                    continue;
                }
                let turned = self.blocking(|own, log| own.rotation.look(&Zoned::now(), log)).await;
                self.run_commands(turned.unwrap_or_default());
            }
        };
        let tidying = async {
            loop {
                tidy.tick().await;
                if self.rotation.is_idle() {
                    continue;
                }
                let _ = self.blocking(|own, log| own.rotation.tidy(log)).await;
            }
        };
        tokio::join!(turning, tidying);
    }

    /// Turns all logs, or the one at `only`, now. Gives what did not work, too.
    pub async fn turn(self: &Arc<Self>, only: Option<PathBuf>) -> (Vec<Turned>, Vec<String>) {
        let done = self
            .blocking(move |own, log| own.rotation.turn_all(only.as_deref(), &Zoned::now(), log));
        let (turned, problems) = done.await.unwrap_or_default();
        self.run_commands(turned.clone());
        (turned, problems)
    }

    /// Where it is told; none before the first configuration is in force.
    pub fn log(&self) -> Option<Log> {
        self.log.load().as_deref().cloned()
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &Log) -> T + Send + 'static,
    ) -> Option<T> {
        let (own, log) = (Arc::clone(self), self.log.load_full()?);
        // A panic in there has been told.
        tokio::task::spawn_blocking(move || work(&own, &log)).await.ok()
    }

    fn run_commands(&self, all: Vec<Turned>) {
        let Some(log) = self.log.load_full() else { return };
        for turned in all {
            let Some(command) = turned.command else { continue };
            let (told, log) = (command.clone(), Arc::clone(&log));
            let own = Arc::clone(&log);
            let work = move || {
                // What this thread starts gets what it has: none of what the main thread keeps.
                privilege::give_up_in_this_thread();
                if let Err(why) = run(&command, &turned.to) {
                    let words = format_args!("\"{}\" after turning: {why}", command.display());
                    own.line(Level::Error, None, words);
                }
            };
            let thread = std::thread::Builder::new().name("log command".to_owned());
            if let Err(error) = thread.spawn(work) {
                let words = format_args!("\"{}\" was not run ({})", told.display(), errno(&error));
                log.line(Level::Error, None, words);
            }
        }
    }
}

/// Runs `command` with `log` as its one argument, by no shell, and ends it if it takes too long.
fn run(command: &Path, log: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| errno(&error))?;
    runtime.block_on(async {
        let mut child = tokio::process::Command::new(command)
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("it cannot be run ({})", errno(&error)))?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok());
        match tokio::time::timeout(COMMAND, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it failed: {status}")),
            Ok(Err(error)) => Err(errno(&error)),
            Err(_) => {
                if let Some(group) = group {
                    // With whatever it has started itself.
                    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
                }
                let _ = child.wait().await;
                Err(format!("it was ended after {} s", COMMAND.as_secs()))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Rules, Vec<String>) {
        let main = Block::parse(text);
        let logs = [PathBuf::from("/p/logs/a.log")].into();
        let rules = read(&main, Path::new("/p"), &logs);
        (rules, main.faults())
    }

    #[test]
    fn every_parameter_is_read_and_the_defaults_are_true() {
        let (rules, faults) =
            of("log_rotate keep=3; log_rotate logs/a.log every=weekly size=100m \
             compress=on delay_compress=on mode=0640 owner=root:root command=/bin/true;");
        assert_eq!(faults, [""; 0]);
        let usual = rules.usual.unwrap();
        assert_eq!((usual.every, usual.size, usual.keep), (Some(Every::Daily), None, 3));
        assert!(!usual.compress && !usual.delay_compress && usual.mode.is_none());
        let own = rules.own[Path::new("/p/logs/a.log")].clone().unwrap();
        assert_eq!((own.every, own.size), (Some(Every::Weekly), Some(100 << 20)));
        assert_eq!((own.keep, own.mode, own.owner), (KEEP, Some(0o640), Some((0, 0))));
        assert!(own.compress && own.delay_compress);
        assert_eq!(own.command, Some("/bin/true".into()));
        let (rules, faults) = of("log_rotate size=1m; log_rotate logs/a.log off;");
        assert_eq!(faults, [""; 0]);
        assert_eq!(rules.usual.unwrap().every, None);
        assert_eq!(rules.own[Path::new("/p/logs/a.log")], None);
        assert_eq!(of("log_rotate off;").0, Rules::default());
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, want) in [
            ("every=yearly", "it must be hourly, daily, weekly or monthly"),
            ("size=0", "it must be a size"),
            ("keep=0", "a number from 1 to 10000"),
            ("compress=yes", "\"on\" or \"off\""),
            ("mode=0444", "an octal mode"),
            ("mode=7777", "an octal mode"),
            ("owner=nobody-of-this-name", "there is no such user"),
            ("mail_to=root", "invalid parameter"),
            ("command=", "invalid parameter"),
            ("keep=1 off", "invalid parameter"),
            ("logs/b.log keep=1", "nothing is logged to \"/p/logs/b.log\""),
            ("keep=1; log_rotate keep=2", "is there twice"),
        ] {
            let (_, faults) = of(&format!("log_rotate {text};"));
            assert!(faults.iter().any(|fault| fault.contains(want)), "{text}: {faults:?}");
        }
    }

    #[test]
    fn a_command_gets_the_path_and_its_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log-20261121");
        run(Path::new("/usr/bin/touch"), &log).unwrap();
        assert!(log.exists());
        assert!(run(Path::new("/bin/false"), &log).unwrap_err().contains("it failed"));
        assert!(run(Path::new("/nowhere"), &log).unwrap_err().contains("cannot be run"));
    }
}
