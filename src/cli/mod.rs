//! # cli: what the command line asks for
//!
//! nginx's flags: start, test (`-t`, `-T`), signal (`-s`), version (`-v`, `-V`). Errors go to
//! standard error as `gatepost: [emerg] TEXT`, and the exit status is 1.
//!
//! And commands, which ask the gatepost that runs at its control socket ([`command`] lists them,
//! [`commands`] does them). Their errors are `gatepost: TEXT`; the exit status is 0, 1 where something
//! is not as it should be or was refused, and 2 where no gatepost was reached.

mod args;
mod ask;
mod check;
mod command;
mod commands;
mod diag;
pub mod format;
mod generation;
mod help;
mod human;
mod signal;
mod table;
mod top;
mod until;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::boot::{self, Options};
use args::Args;

/// Runs the program.
pub fn main() -> ExitCode {
    let args = match Args::try_parse_from(args::with_assignments(std::env::args_os())) {
        Ok(args) => args,
        Err(error) => {
            // Help is no error, and goes to standard output.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    if let Some(flag) = args.idle_flag() {
        say(&format!("gatepost: {flag} does not go with a command"));
        return ExitCode::FAILURE;
    }
    if args.command.is_none() && (args.json || args.control.is_some()) {
        say("gatepost: --json and --control are for commands; \"gatepost help\" lists them");
        return ExitCode::FAILURE;
    }
    if let Some([host, realm]) = args.kerberos_clerk.as_deref() {
        return match boot::kerberos_clerk(host, realm) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&[format!("the Kerberos process fails: {error}")]);
                ExitCode::FAILURE
            }
        };
    }
    // Before anything moves: an upgrade starts the same command line again.
    let start = boot::Start::of_this_process();
    let options = Options {
        prefix: args.prefix(),
        configuration: args.configuration(),
        directives: args.directives.clone(),
        error_log: args.error_log.clone(),
    };
    if args.version || args.build {
        say(&version(args.build));
        return ExitCode::SUCCESS;
    }
    if args.test || args.dump {
        return check::run(&options, args.dump, args.quiet);
    }
    if let Some(command) = args.command {
        return ask::run(command, &options, args.control, args.json);
    }
    let done = match args.signal {
        Some(order) => signal::send(&options, order),
        None => boot::run(options, start),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => {
            complain(&faults);
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong, a line each, where the caller looks. A closed standard error is survived.
fn complain(faults: &[String]) {
    for fault in faults {
        say(&format!("gatepost: [emerg] {fault}"));
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn version(build: bool) -> String {
    let version = concat!("gatepost version: gatepost/", env!("CARGO_PKG_VERSION"));
    if !build {
        return version.to_owned();
    }
    let krb5 = if cfg!(feature = "krb5") { "with" } else { "without" };
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let top = if cfg!(feature = "top") { "with" } else { "without" };
    format!(
        "{version}\nbuilt with rustc {}, {profile}, for {}-{}\nTLS by rustls with aws-lc-rs\n{krb5} GSSAPI, {top} the screen of top\n\
         configure arguments: --prefix={} --conf-path={}/{} --error-log-path={} \
         --pid-path=/run/gatepost.pid --control-path=/run/gatepost.sock",
        env!("CARGO_PKG_RUST_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        args::PREFIX,
        args::PREFIX,
        args::CONFIGURATION,
        boot::ERROR_LOG,
    )
}
