//! The machine, as far as it matters to a mail proxy.

use std::fs;

/// System, kernel, processors, memory, and the limits of whoever asks.
pub fn described() -> String {
    let uname = rustix::system::uname();
    let mut text = format!(
        "{} {} {}\n",
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy()
    );
    if let Some(name) = line_of("/etc/os-release", "PRETTY_NAME=") {
        text.push_str(&format!("{}\n", name.trim_matches('"')));
    }
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    text.push_str(&format!("{processors} processors\n"));
    for name in ["MemTotal:", "MemAvailable:"] {
        if let Some(value) = line_of("/proc/meminfo", name) {
            text.push_str(&format!("{name} {}\n", value.trim()));
        }
    }
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        text.push_str(&format!("load: {}\n", load.trim()));
    }
    text
}

/// The limits of a process, as the kernel has them.
pub fn limits(pid: u64) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"));
    let open = fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
    let open = open.map_or_else(|error| error.to_string(), |count| count.to_string());
    let limits = limits.unwrap_or_else(|error| format!("limits: {error}"));
    let memory = line_of(&format!("/proc/{pid}/status"), "VmRSS:").unwrap_or_default();
    format!("pid {pid}\nopen files: {open}\nresident: {}\n{limits}", memory.trim())
}

fn line_of(file: &str, begin: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(begin)).map(ToOwned::to_owned)
}
