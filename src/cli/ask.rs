//! From a command to the gatepost that runs.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Zoned;

use super::command::Command;
use super::commands::{self, Failure, Screen};
use super::{help, say};
use crate::admin::Client;
use crate::boot::{self, Options};

/// Where no gatepost can be asked.
const UNREACHED: u8 = 2;

pub fn run(command: Command, options: &Options, control: Option<PathBuf>, json: bool) -> ExitCode {
    if let Command::Help { words } = &command {
        return match help::text(words) {
            Ok(text) => {
                let _ = stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(error) => {
                say(&format!("gatepost: {error}; \"gatepost help\" lists them"));
                ExitCode::FAILURE
            }
        };
    }
    if let Command::Diag(diag) = &command {
        return super::diag::run(diag, options, found(options, control));
    }
    if let Command::Conf(conf) = command {
        let (mut out, mut err, mut input) = (stdout().lock(), stderr(), stdin().lock());
        let mut screen = screen(&mut out, &mut err, &mut input, json);
        let (prefix, file) = (&options.prefix, &options.configuration);
        return ended(commands::conf::run(conf, prefix, file, &mut screen), &mut screen);
    }
    if let Command::Tls(command) = &command {
        let (mut out, mut err, mut input) = (stdout().lock(), stderr(), stdin().lock());
        let mut screen = screen(&mut out, &mut err, &mut input, json);
        return ended(commands::tls::run(command, options, &mut screen), &mut screen);
    }
    let client = match found(options, control) {
        Ok(path) => Client::new(path),
        Err(words) => {
            say(&format!("gatepost: {words}"));
            return ExitCode::from(UNREACHED);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("gatepost: starting the event loop failed ({error})"));
            return ExitCode::FAILURE;
        }
    };
    let (mut out, mut err, mut input) = (stdout().lock(), stderr(), stdin().lock());
    let mut screen = screen(&mut out, &mut err, &mut input, json);
    ended(runtime.block_on(commands::run(command, &client, &mut screen)), &mut screen)
}

fn screen<'a>(
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    input: &'a mut dyn BufRead,
    json: bool,
) -> Screen<'a> {
    let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Screen { out, err, input, colour, json, now: Zoned::now() }
}

fn ended(done: commands::Done, screen: &mut Screen<'_>) -> ExitCode {
    match done {
        Ok(exit) => ExitCode::from(exit),
        Err(failure) => {
            let _ = screen.out.flush();
            complain(&failure);
            ExitCode::from(failure.exit())
        }
    }
}

/// Where the control socket is.
fn found(options: &Options, control: Option<PathBuf>) -> Result<PathBuf, String> {
    if let Some(path) = control {
        return Ok(path);
    }
    let file = options.configuration.display();
    match boot::control_socket(options) {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err(format!("\"{file}\" has \"control off\": there is no control socket")),
        Err(faults) => {
            let first = faults.first().map_or("", |fault| fault);
            Err(format!(
                "the control socket is not known, as \"{file}\" cannot be read: {first}; name it with \
                 --control"
            ))
        }
    }
}

fn complain(failure: &Failure) {
    say(&format!("gatepost: {}", failure.words()));
}
