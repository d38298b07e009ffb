//! System calls per piece of work: they vary by a few per cent where CPU time varies by ten.
//!
//! strace slows its victim, so this is a run of its own and its CPU figures are not used.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::measure::{Did, play};
use crate::peers::Peer;
use crate::{Result, spent};

/// Counts the calls of `peer` while the clients play. The list by call stays in `report`.
pub async fn count(
    peer: &Peer,
    bench: &Path,
    (load, longest): (&[String], Duration),
    report: &Path,
) -> Result<(f64, Did)> {
    let family = spent::family(peer.pid()?);
    let mut strace = Command::new("strace");
    strace.arg("-fc").arg("-o").arg(report);
    for pid in &family {
        strace.arg("-p").arg(pid.to_string());
    }
    let mut child = strace
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("strace: {error}"))?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no output")?).lines();
    let mut attached = 0;
    while attached < family.len() {
        let line = lines.next_line().await?.ok_or("strace could not attach")?;
        attached += usize::from(line.contains("attached"));
    }
    let did = play(bench, load, longest).await?;
    let pid = child.id().ok_or("strace has ended")?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
    while lines.next_line().await?.is_some() {}
    child.wait().await?;
    let text = std::fs::read_to_string(report)?;
    let total = text
        .lines()
        .rev()
        .find(|line| line.trim_end().ends_with("total"))
        .ok_or("strace gave no total")?;
    // % time, seconds, usecs/call, calls, and errors where there were any.
    let calls = total.split_whitespace().nth(3).ok_or("strace's total has no calls")?;
    Ok((calls.parse()?, did))
}
