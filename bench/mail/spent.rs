//! What a process and all its descendants have spent: CPU time and memory, from `/proc`.

use std::fs;
use std::time::Duration;

use crate::Result;

/// The unit of `/proc/PID/stat` is 1/100 s on every Linux, whatever the kernel's own tick.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
struct Stat {
    pid: i32,
    parent: i32,
    ticks: u64,
}

/// `pid` and its descendants, eldest first.
pub fn family(pid: i32) -> Vec<i32> {
    members(pid).into_iter().map(|stat| stat.pid).collect()
}

/// User and system time of `pid` and its descendants, of all their threads and of their children that have ended.
pub fn cpu(pid: i32) -> Duration {
    let ticks: u64 = members(pid).iter().map(|stat| stat.ticks).sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Proportional set size of `pid` and its descendants in KiB: pages that they share count once.
pub fn pss(pid: i32) -> Result<u64> {
    let mut sum = 0;
    for member in family(pid) {
        let rollup = fs::read_to_string(format!("/proc/{member}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line
            .and_then(|line| line.split_whitespace().next())
            .ok_or("smaps_rollup without Pss")?;
        sum += kib.parse::<u64>()?;
    }
    Ok(sum)
}

fn members(pid: i32) -> Vec<Stat> {
    let everyone: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect();
    let mut family: Vec<Stat> = everyone.iter().filter(|one| one.pid == pid).copied().collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).map(|one| one.pid) {
        family.extend(everyone.iter().filter(|one| one.parent == parent));
        next += 1;
    }
    family
}

/// `proc_pid_stat(5)`; the name in brackets may hold anything, so the fields are counted from its end.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // utime, stime, cutime, cstime are the 14th to the 17th, the state behind the name is the 3rd.
    let ticks = (11..15).map(number).sum::<Option<u64>>()?;
    Some(Stat { pid, parent: fields.get(1)?.parse().ok()?, ticks })
}
