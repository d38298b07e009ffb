//! The real gatepost, as its own process.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{IMAP, IMAPS, PATIENCE, POP3, POP3S, Protocol, Site, Waiting, fill, send, until};

const CONF: &str = "conf/gatepost.conf";
const PID: &str = "run/gatepost.pid";

/// The binary under test. `GATEPOST_BIN` names another build of it.
pub fn command(site: &Site) -> Command {
    let built = || OsString::from(env!("CARGO_BIN_EXE_gatepost"));
    let mut command = Command::new(std::env::var_os("GATEPOST_BIN").unwrap_or_else(built));
    command.arg("-p").arg(site.dir()).args(["-c", CONF]).current_dir("/");
    command
}

/// A gatepost that runs. Dropped, it is killed; [`Gatepost::quit`] is the clean way.
pub struct Gatepost {
    child: Child,
    pub site: Site,
}

impl Gatepost {
    /// Starts one with this configuration, and waits until it listens.
    #[track_caller]
    pub fn start(site: Site, conf: &str, values: &[(&str, &dyn ToString)]) -> Self {
        Self::within(site, conf, values, &[])
    }

    /// The same, with more in its environment.
    #[track_caller]
    pub fn within(
        site: Site,
        conf: &str,
        values: &[(&str, &dyn ToString)],
        env: &[(&str, PathBuf)],
    ) -> Self {
        let mut started = Self::spawn_within(site, conf, values, &[], env);
        let waiting = Waiting::new(PATIENCE);
        while started.pid_file().is_none() {
            let ended = started.child.try_wait().unwrap();
            let reason = match (ended, waiting.left()) {
                (Some(status), _) => format!("gatepost ended at once: {status}"),
                (None, None) => "gatepost writes no pid file".to_owned(),
                _ => {
                    thread::park_timeout(Duration::from_millis(5));
                    continue;
                }
            };
            panic!("{reason}\n{}\n{}", started.site.read("logs/stderr"), started.error_log());
        }
        assert_eq!(
            started.pid_file(),
            Some(started.pid()),
            "the pid file is about another process"
        );
        started
    }

    /// Starts one with these flags as well, and waits for nothing.
    #[track_caller]
    pub fn spawn(site: Site, conf: &str, values: &[(&str, &dyn ToString)], flags: &[&str]) -> Self {
        Self::spawn_within(site, conf, values, flags, &[])
    }

    #[track_caller]
    fn spawn_within(
        site: Site,
        conf: &str,
        values: &[(&str, &dyn ToString)],
        flags: &[&str],
        env: &[(&str, PathBuf)],
    ) -> Self {
        site.write(CONF, fill(&site, conf, values));
        let stderr = File::create(site.path("logs/stderr")).unwrap();
        let child = command(&site)
            .args(flags)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stderr.try_clone().unwrap())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, site }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the pid file says now.
    pub fn pid_file(&self) -> Option<u32> {
        self.site.read(PID).trim().parse().ok()
    }

    /// Where it listens, by protocol, for what begins in the clear.
    pub fn clear(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Imap => (self.site.ip, IMAP).into(),
            Protocol::Pop3 => (self.site.ip, POP3).into(),
        }
    }

    /// Where it listens for TLS from the first byte.
    pub fn tls(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Imap => (self.site.ip, IMAPS).into(),
            Protocol::Pop3 => (self.site.ip, POP3S).into(),
        }
    }

    pub fn imap(&self) -> SocketAddr {
        self.clear(Protocol::Imap)
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Writes another configuration and has it read. Comes back when the old one is gone, or the
    /// new one refused: the log says `what` once more than before.
    #[track_caller]
    pub fn reload(&self, conf: &str, values: &[(&str, &dyn ToString)], what: &str) {
        let before = self.error_log().matches(what).count();
        self.site.write(CONF, fill(&self.site, conf, values));
        self.signal(Signal::SIGHUP);
        until(&format!("{what:?} after a reload"), || {
            (self.error_log().matches(what).count() > before).then_some(())
        });
    }

    pub fn error_log(&self) -> String {
        self.site.read("logs/error.log")
    }

    pub fn access_log(&self) -> String {
        self.site.read("logs/access.log")
    }

    /// Waits for a line of the error log that contains `text`.
    #[track_caller]
    pub fn logs(&self, text: &str) -> String {
        self.waits_for_line("logs/error.log", text)
    }

    /// Waits for a line of a file that contains `text`.
    #[track_caller]
    pub fn waits_for_line(&self, file: &str, text: &str) -> String {
        let waiting = Waiting::new(PATIENCE);
        loop {
            let log = self.site.read(file);
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(waiting.left().is_some(), "{file} has no {text:?}:\n{log}");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("gatepost to end", || child.try_wait().unwrap())
    }

    /// QUIT, and a clean end.
    #[track_caller]
    pub fn quit(self) -> Site {
        self.stop(Signal::SIGQUIT)
    }

    /// A signal that stops it, and a clean end.
    #[track_caller]
    pub fn stop(mut self, signal: Signal) -> Site {
        self.signal(signal);
        let status = self.ends();
        assert_eq!(status.code(), Some(0), "{signal}: {status}\n{}", self.error_log());
        assert_eq!(self.pid_file(), None, "the pid file is left behind");
        let log = self.error_log() + &self.site.read("logs/stderr");
        assert!(!log.contains("panicked"), "{log}");
        std::mem::replace(&mut self.site, Site::new())
    }
}

impl Drop for Gatepost {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.error_log();
            let from = log.len().saturating_sub(6000);
            let tail = log.get(from..).unwrap_or(&log);
            eprintln!("error log of gatepost:\n{tail}\n{}", self.site.read("logs/stderr"));
        }
        // After an upgrade another process has the pid file.
        if let Some(pid) = self.pid_file().filter(|pid| *pid != self.pid()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid.cast_signed()),
                Signal::SIGKILL,
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
