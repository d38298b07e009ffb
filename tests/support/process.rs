//! Processes: run one to its end, look at one through `/proc`, send one a signal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PATIENCE, Waiting};

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Everything it said, out and err.
    pub fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    #[track_caller]
    pub fn worked(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }
}

/// Runs `command` to its end, feeding it `input`; kills it when [`PATIENCE`] is over.
#[track_caller]
pub fn run(command: &mut Command, input: &str) -> Run {
    let name = format!("{command:?}");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = thread::spawn(move || gathered(&mut out));
    let err = thread::spawn(move || gathered(&mut err));
    let waiting = Waiting::new(PATIENCE * 3);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if waiting.left().is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name} did not end: {}{}", out.join().unwrap(), err.join().unwrap());
        }
        thread::park_timeout(std::time::Duration::from_millis(5));
    };
    Run { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn gathered(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// Asks `child` to end, waits until it has, and kills it when [`PATIENCE`] is over.
pub fn end(child: &mut Child) {
    let waiting = Waiting::new(PATIENCE);
    if child.try_wait().ok().flatten().is_none() {
        send(child.id(), Signal::SIGTERM);
    }
    while child.try_wait().ok().flatten().is_none() {
        if waiting.left().is_none() {
            let _ = child.kill();
        }
        thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

/// Whether `pid` runs. One that has ended and that nobody has waited for does not.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Resident memory, in KiB.
pub fn rss_kib(pid: u32) -> u64 {
    field(pid, "status", "VmRSS:")
}

/// Proportional memory, in KiB.
pub fn pss_kib(pid: u32) -> u64 {
    field(pid, "smaps_rollup", "Pss:")
}

/// The effective user.
pub fn uid(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// One thread of a process: who it acts as, and its effective capabilities, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    pub id: u32,
    pub uid: u32,
    pub capabilities: u64,
}

/// The threads of `pid`, the main one first.
pub fn threads(pid: u32) -> Vec<Thread> {
    let ids = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut threads: Vec<_> = ids
        .filter_map(|id| {
            let id = id.unwrap().file_name().into_string().unwrap().parse().unwrap();
            // One that ends meanwhile is none.
            let status = std::fs::read_to_string(format!("/proc/{pid}/task/{id}/status")).ok()?;
            let word = |name, rank| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.split_ascii_whitespace().nth(rank).unwrap()
            };
            let uid = word("Uid:", 1).parse().unwrap();
            let capabilities = u64::from_str_radix(word("CapEff:", 0), 16).unwrap();
            Some(Thread { id, uid, capabilities })
        })
        .collect();
    threads.sort_by_key(|thread| (thread.id != pid, thread.id));
    threads
}

fn field(pid: u32, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
