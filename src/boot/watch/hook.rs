//! `certificate_hook`: a program that hears of certificates that end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::stages::Warning;
use crate::observe::{Level, Log};

/// How long it may take for one certificate.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is run after one look.
const MOST: usize = 100;

/// Runs `program` for each warning, one after the other: name, days left, file. It inherits nothing.
pub async fn run(program: &Path, warnings: &[Warning], log: &Log) {
    let shown = program.display();
    for warning in warnings.iter().take(MOST) {
        let mut command = tokio::process::Command::new(program);
        command
            .arg(&warning.name)
            .arg(warning.days.to_string())
            .arg(&warning.file)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let words = match tokio::time::timeout(PATIENCE, command.status()).await {
            Ok(Ok(status)) if status.success() => continue,
            Ok(Ok(status)) => format!("{status}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it was ended after {} s", PATIENCE.as_secs()),
        };
        let words = format_args!("certificate_hook \"{shown}\" for {:?}: {words}", warning.name);
        log.line(Level::Error, None, words);
    }
    if let Some(more) = warnings.len().checked_sub(MOST).filter(|more| *more > 0) {
        let words = format_args!("certificate_hook \"{shown}\" was not run for {more} more");
        log.line(Level::Warn, None, words);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn the_program_hears_name_days_and_file_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let (program, out) = (dir.path().join("hook"), dir.path().join("out"));
        let text = format!("#!/bin/sh\necho \"$@\" >> {0}\nenv >> {0}\nexit 3\n", out.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let (log, memory) = Log::memory(Level::Info);
        let warning = Warning {
            name: "a.example; rm".to_owned(),
            days: 7,
            is_over: false,
            file: "/a b.crt".into(),
        };
        run(&program, &[warning], &log).await;
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(text.starts_with("a.example; rm 7 /a b.crt\n"), "{text}");
        assert!(!text.contains("HOME=") && !text.contains("CARGO"), "{text}");
        assert!(memory.text().contains("exit status: 3"), "{}", memory.text());
    }
}
