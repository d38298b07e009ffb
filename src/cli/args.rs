//! The command line: nginx's flags, and the commands that follow them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use super::command::Command;

/// Where things are when the command line does not say.
pub const PREFIX: &str = "/etc/gatepost";
pub const CONFIGURATION: &str = "gatepost.conf";

/// An nginx-style reverse mail proxy.
#[derive(Debug, Parser)]
#[command(
    name = "gatepost",
    disable_version_flag = true,
    disable_help_flag = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    override_usage = "gatepost [OPTIONS] [COMMAND]",
    after_help = "Without a command gatepost starts. \"gatepost help\" lists the commands by what \
                  they are for, \"gatepost help COMMAND\" explains one."
)]
pub struct Args {
    /// Show this help and exit.
    #[arg(short = '?', short_alias = 'h', long = "help", global = true, action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// Show the version and exit.
    #[arg(short = 'v', long = "version")]
    pub version: bool,

    /// Show the version, the build and the built-in paths, and exit.
    #[arg(short = 'V')]
    pub build: bool,

    /// Test the configuration and exit.
    #[arg(short = 't')]
    pub test: bool,

    /// Test the configuration, print all of its files, and exit.
    #[arg(short = 'T')]
    pub dump: bool,

    /// Say nothing but errors while testing the configuration.
    #[arg(short = 'q')]
    pub quiet: bool,

    /// Send a signal to the running gatepost: stop, quit, reopen or reload.
    #[arg(short = 's', value_name = "SIGNAL")]
    pub signal: Option<Order>,

    /// The folder that relative paths start from.
    #[arg(short = 'p', value_name = "PREFIX", global = true, default_value = PREFIX)]
    pub prefix: PathBuf,

    /// The configuration file, relative to the prefix.
    #[arg(short = 'c', value_name = "FILE", global = true, default_value = CONFIGURATION)]
    pub configuration: PathBuf,

    /// The error log until the configuration names one, relative to the prefix, or `stderr`.
    #[arg(short = 'e', value_name = "FILE")]
    pub error_log: Option<PathBuf>,

    /// Directives of the main context, read after the configuration file.
    #[arg(short = 'g', value_name = "DIRECTIVES")]
    pub directives: Option<String>,

    /// Serve Kerberos for a gatepost that is running; it says so itself, with a host and a realm.
    #[arg(
        long = "kerberos-clerk",
        num_args = 2,
        value_names = ["HOST", "REALM"],
        allow_hyphen_values = true,
        hide = true
    )]
    pub kerberos_clerk: Option<Vec<String>>,

    /// Commands: the control socket, where the configuration is not to be asked.
    #[arg(long = "control", value_name = "PATH", global = true)]
    pub control: Option<PathBuf>,

    /// Commands: print the answer as JSON.
    #[arg(long = "json", global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// `conf gen -c NAME=VALUE` is zmproxyconfgen's, and `-c FILE` nginx's: behind those words what has a
/// `=` is `--config`.
pub fn with_assignments(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = words.collect();
    let at = all.windows(2).position(|pair| pair[0] == "conf" && pair[1] == "gen");
    let Some(at) = at else { return all };
    for index in at + 2..all.len() {
        let has_sign = |word: &OsString| word.to_string_lossy().contains('=');
        if all[index] == "-c" && all.get(index + 1).is_some_and(has_sign) {
            all[index] = "--config".into();
        } else if has_sign(&all[index])
            && let Some(rest) = all[index].to_str().and_then(|word| word.strip_prefix("-c"))
        {
            all[index] = format!("--config={rest}").into();
        }
    }
    all
}

/// What `-s` can ask of a running gatepost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Stop at once (TERM).
    Stop,
    /// Finish running sessions, then stop (QUIT).
    Quit,
    /// Open the log files again (USR1).
    Reopen,
    /// Read the configuration again (HUP).
    Reload,
}

impl Args {
    /// A flag of nginx's that says what to do, where a command says something else.
    pub fn idle_flag(&self) -> Option<&'static str> {
        self.command.as_ref()?;
        let flags = [
            ("-t", self.test),
            ("-T", self.dump),
            ("-s", self.signal.is_some()),
            ("-v", self.version),
            ("-V", self.build),
            ("-q", self.quiet),
        ];
        flags.into_iter().find(|(_, is_set)| *is_set).map(|(flag, _)| flag)
    }

    /// The prefix, absolute, so that it survives a change of directory.
    pub fn prefix(&self) -> PathBuf {
        std::path::absolute(&self.prefix).unwrap_or_else(|_| self.prefix.clone())
    }

    /// The configuration file, absolute.
    pub fn configuration(&self) -> PathBuf {
        self.prefix().join(&self.configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Args {
        Args::parse_from(std::iter::once(&"gatepost").chain(words))
    }

    #[test]
    fn paths_are_relative_to_the_prefix() {
        let args = parse(&["-p", "/tmp/x/", "-c", "conf/g.conf"]);
        assert_eq!(args.configuration(), PathBuf::from("/tmp/x/conf/g.conf"));
        let args = parse(&["-p", "/tmp/x", "-c", "/etc/g.conf"]);
        assert_eq!(args.configuration(), PathBuf::from("/etc/g.conf"));
    }

    #[test]
    fn the_command_line_is_in_order() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn paths_may_stand_before_a_command_and_after_it() {
        for words in [
            ["-c", "x.conf", "-p", "/p", "status", "--json"],
            ["status", "--json", "-c", "x.conf", "-p", "/p"],
            ["--json", "-p", "/p", "status", "-c", "x.conf"],
        ] {
            let args = parse(&words);
            assert!(args.json && matches!(args.command, Some(Command::Status)), "{words:?}");
            assert_eq!(args.configuration(), PathBuf::from("/p/x.conf"), "{words:?}");
        }
        let args = parse(&["status"]);
        assert_eq!(args.configuration(), PathBuf::from("/etc/gatepost/gatepost.conf"));
    }

    #[test]
    fn flags_mean_what_they_mean_to_nginx() {
        let args = parse(&["-q", "-t", "-s", "reload", "-g", "daemon off;", "-e", "stderr"]);
        assert!(args.quiet && args.test && !args.dump);
        assert_eq!(args.signal, Some(Order::Reload));
        assert_eq!(args.directives.as_deref(), Some("daemon off;"));
    }
}
