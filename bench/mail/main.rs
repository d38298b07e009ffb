//! What does a mail session cost the proxy, and what does it cost nginx?
//!
//! `bench/run` builds this and runs it. One program in three parts, each a process of its own, so that nobody's work is
//! counted as the proxy's:
//!
//! - `mail mock` is the mail server behind everybody; it says yes to everything ([`mock`]),
//! - `mail load` is the mail clients ([`load`]),
//! - `mail` alone starts the mock, nginx and gatepost, lets the clients loose on each in turn, reads what each spent
//!   ([`spent`]) and prints a table with ratios ([`table`]).
//!
//! Nothing of gatepost's library is used here: a fault in it must not bend the ruler. How to read the figures, and
//! those last measured, are in `docs/performance.md`.
#![allow(
    clippy::disallowed_methods,
    reason = "no worker of gatepost runs here; the bans guard its sessions"
)]

mod counted;
mod gatepost;
mod load;
mod measure;
mod mock;
mod peers;
mod rounds;
mod spent;
mod submission;
mod syscalls;
mod table;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Parser)]
#[command(
    about = "Measures gatepost beside nginx's mail proxy",
    args_conflicts_with_subcommands = true
)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    rounds: rounds::Args,
    /// Said by `cargo bench` to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The mail server behind everybody
    Mock(mock::Args),
    /// The mail clients
    Load(load::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    // One thread each: the machine's cores are for the proxies.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| {
        raise_open_files()?;
        runtime.block_on(async {
            match args.part {
                Some(Part::Mock(args)) => mock::serve(args).await,
                Some(Part::Load(args)) => load::run(args).await,
                None => rounds::run(args.rounds).await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mail: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Lets this process, and all that it starts, open as many files as it may: a proxied session is two.
fn raise_open_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
