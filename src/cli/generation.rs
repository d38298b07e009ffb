//! The words of `gatepost conf gen`, `conf flat` and `conf template`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// As zmproxyconfgen's, and more.
#[derive(Debug, Args)]
pub struct ConfGen {
    /// Put nothing in force: say what would be written where, and whether it passes the check.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Show what differs from the generation in force.
    #[arg(long)]
    pub diff: bool,
    /// The folder of generations/ and current, and where relative paths begin, rather than the prefix.
    #[arg(short = 'w', long = "workdir", value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// A folder of templates, rather than the shipped ones and templates.d.
    #[arg(short = 't', long = "templatedir", value_name = "DIR")]
    pub templates: Option<PathBuf>,
    /// The server whose settings count; left out, the global ones.
    #[arg(short = 's', long = "server", value_name = "NAME")]
    pub server: Option<String>,
    /// Set a template's variable, NAME=VALUE; -c NAME=VALUE does the same.
    #[arg(long = "config", value_name = "NAME=VALUE", value_parser = assignment)]
    pub config: Vec<(String, String)>,
    /// Print every variable with its default, and do nothing else.
    #[arg(short = 'd', long)]
    pub defaults: bool,
    /// Print every variable with its value, and do nothing else.
    #[arg(short = 'D', long)]
    pub definitions: bool,
    /// Take a variable that nobody knows for empty, and say so.
    #[arg(long)]
    pub lenient: bool,
    /// The file, rather than conf/settings.toml below the prefix.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is NAME=VALUE".to_owned()),
    }
}

/// As zmnginxconf's.
#[derive(Debug, Args)]
pub struct Flat {
    /// Mark where each file begins and ends.
    #[arg(short = 'm', long)]
    pub markers: bool,
    /// Indent what is included as its include is.
    #[arg(short = 'i', long)]
    pub indent: bool,
    /// Leave out comments.
    #[arg(short = 'n', long)]
    pub nocomments: bool,
    /// Leave out empty lines.
    #[arg(short = 'e', long)]
    pub noempty: bool,
    /// The file; left out, the one of -c, or current/gatepost.conf where that is not there.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Template {
    /// List templates, and which of them are your own
    List,
    /// Put a shipped template into templates.d, to be changed there
    Copy {
        name: String,
        /// Leave yours as it is, and take note that it is up to date with the shipped one.
        #[arg(long)]
        keep: bool,
    },
    /// Show how yours differs from the shipped one
    Diff { name: String },
}
