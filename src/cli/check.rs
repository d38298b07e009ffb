//! `-t` and `-T`: is the configuration usable?

use std::io::Write;
use std::process::ExitCode;

use super::{complain, say};
use crate::boot::{self, Options};

/// Reads and checks everything that a start would, but binds nothing. Logs are opened, as nginx
/// opens them.
pub fn run(options: &Options, dump: bool, quiet: bool) -> ExitCode {
    let file = options.configuration.display();
    let (faults, text) = match boot::test(options) {
        Ok(text) => (Vec::new(), text),
        Err(boot::Unusable { syntax_is_ok, faults }) => {
            complain(&faults);
            if syntax_is_ok && !quiet {
                say(&format!("gatepost: the configuration file {file} syntax is ok"));
            }
            (faults, String::new())
        }
    };
    if !faults.is_empty() {
        say(&format!("gatepost: configuration file {file} test failed"));
        return ExitCode::FAILURE;
    }
    if !quiet {
        say(&format!("gatepost: the configuration file {file} syntax is ok"));
        say(&format!("gatepost: configuration file {file} test is successful"));
    }
    if dump {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    ExitCode::SUCCESS
}
