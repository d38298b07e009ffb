//! The commands: what an admin asks of a running gatepost.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use super::generation::{ConfGen, Flat, Template};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether all is well
    ///
    /// Exits with 0 if it is, 1 if something is not, 2 if gatepost is not running.
    Status,

    /// List sessions
    Who(Who),

    /// Follow sessions, logins, upstreams, caches and users on a screen
    ///
    /// Keys: s sorts the users by bytes, sessions or name; q leaves.
    Top(Top),

    /// Find a user, end a user's sessions, send a user elsewhere
    #[command(subcommand)]
    User(User),

    /// List upstreams; take a server out or put it back
    #[command(subcommand)]
    Upstream(Upstream),

    /// List lookup handlers; ask one no more, or again
    #[command(subcommand)]
    Lookup(Lookup),

    /// Show what is kept of routes, and forget it
    #[command(subcommand)]
    Cache(Cache),

    /// List who is kept waiting or out after failed logins, and forgive
    #[command(subcommand)]
    Throttle(Throttle),

    /// Begin or end maintenance by hand
    #[command(subcommand)]
    Maintenance(Maintenance),

    /// List certificates, find what is wrong with them, put a new one in place
    ///
    /// Reads the configuration and its files; gatepost need not run.
    #[command(subcommand)]
    Tls(Tls),

    /// List the episodes of maintenance, and the locks that are on
    Report,

    /// Set log levels for a while, open the logs anew, turn them
    #[command(subcommand)]
    Log(Log),

    /// Write a report to show to others, without secrets
    ///
    /// It works with gatepost running, and, with less in it, without.
    Diag(Diag),

    /// Find the step that fails: DNS, connect, TLS, greeting, login
    ///
    /// Exits with 0 if all steps succeed, with 1 if one fails, and names it.
    #[command(subcommand)]
    Doctor(Doctor),

    /// Show how gatepost sees this machine
    #[command(subcommand)]
    Show(Show),

    /// Print the lookup handlers as `zmprov garpu` does
    #[command(alias = "garpu")]
    Lookups,

    /// Print the upstreams' servers as `zmprov garpb` does
    #[command(alias = "garpb")]
    Backends,

    /// Print the URLs that rule on SMTP logins as `zmprov gamau` does
    #[command(name = "auth-urls", alias = "gamau")]
    AuthUrls,

    /// Print the servers of the shared cache as `zmprov gamcs` does
    #[command(alias = "gamcs")]
    Caches,

    /// Get and set what gatepost's configuration is made from
    ///
    /// Works on the file of settings; no gatepost need run. Every setting is in docs/settings.md, and
    /// Zimbra's names are taken as well. Exits with 0 if it is done, with 1 if not: faults are told as
    /// FILE:LINE, and the file stays as it was.
    #[command(subcommand)]
    Conf(Conf),

    /// List the commands, or explain one
    Help {
        /// The command, and what of it.
        words: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct Who {
    /// Only the sessions of this user.
    pub user: Option<String>,
    /// Only those of users of this domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// Only those from this address or network.
    #[arg(long, value_name = "ADDRESS")]
    pub client: Option<String>,
    /// Only those of imap, pop3, smtp …
    #[arg(long)]
    pub protocol: Option<String>,
    /// Only those at this upstream, or at one server of it.
    #[arg(long, value_name = "NAME[/SERVER]")]
    pub upstream: Option<String>,
    /// No more than so many.
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Top {
    /// Print one frame as text and exit.
    #[arg(long)]
    pub once: bool,
    /// What the users are sorted by.
    #[arg(long, value_enum, default_value_t)]
    pub sort: Sort,
    /// How often it looks: 1s, 500ms.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub every: String,
}

/// What users are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    #[default]
    Bytes,
    Sessions,
    Name,
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Say where a user's sessions are, and where the next one would go
    Where {
        /// As it is looked up: with its domain.
        user: String,
    },
    /// End a user's sessions, with the protocol's goodbye
    Kick {
        /// As it is looked up: with its domain.
        user: String,
    },
    /// End a user's sessions, and send the next one elsewhere
    Move {
        /// As it is looked up: with its domain.
        user: String,
        /// The server; left out, wherever the route leads by then.
        #[arg(long, value_name = "SERVER")]
        to: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Upstream {
    /// List upstreams and their servers
    List,
    /// Send no new sessions there; those that are there stay
    Drain {
        /// One server of an upstream, as "upstream list" has it, or all of them.
        #[arg(value_name = "NAME[/SERVER]")]
        name: String,
        /// End those that are there, too.
        #[arg(long)]
        end: bool,
    },
    /// Send sessions there again, after drain or remove
    Undrain {
        /// One server of an upstream, as "upstream list" has it, or all of them.
        #[arg(value_name = "NAME[/SERVER]")]
        name: String,
    },
    /// Send no new sessions there, and end those that are there
    Remove {
        /// One server of an upstream, as "upstream list" has it, or all of them.
        #[arg(value_name = "NAME[/SERVER]")]
        name: String,
    },
    /// Set it aside on this gatepost, as after failures, until it is unlocked
    Lock {
        /// One server of an upstream, as "upstream list" has it, or all of them.
        #[arg(value_name = "NAME[/SERVER]")]
        name: String,
    },
    /// Use it again without waiting for a probe
    Unlock {
        /// One server of an upstream, as "upstream list" has it, or all of them.
        #[arg(value_name = "NAME[/SERVER]")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Lookup {
    /// List handlers: where they are configured, their last answers, times and errors
    List,
    /// Ask a handler again, from this gatepost
    Enable(Handler),
    /// Ask a handler no more from this gatepost, from the next login on
    Disable(Handler),
}

#[derive(Debug, Args)]
pub struct Handler {
    /// Its URL, or host:port.
    pub handler: String,
    /// The lookup it is of, where several have it.
    #[arg(long, value_name = "NAME")]
    pub lookup: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Show the cache's servers, what is kept, and how often it had what was asked for
    Status,
    /// Forget routes, in this process, on every cache server and in the fleet
    Purge(Purge),
}

/// As zmproxypurge's, and more.
#[derive(Debug, Args)]
pub struct Purge {
    /// Whose routes.
    pub users: Vec<String>,
    /// Whose routes, too.
    #[arg(short = 'a', long = "account", value_name = "USER", num_args = 1..)]
    pub accounts: Vec<String>,
    /// A file of users, one a line; - is standard input.
    #[arg(short = 'L', long = "list-file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The routes of a domain's users.
    #[arg(long, conflicts_with_all = ["users", "accounts", "file", "all"])]
    pub domain: Option<String>,
    /// All routes.
    #[arg(long, conflicts_with_all = ["users", "accounts", "file"])]
    pub all: bool,
    /// Forget nothing: list what this process keeps.
    #[arg(long, conflicts_with_all = ["accounts", "file", "all", "info"])]
    pub list: bool,
    /// Print every key and the server it is deleted on.
    #[arg(short = 'v', long = "verbose")]
    pub verbose: bool,
    /// Forget nothing: print every key of the users and its value.
    #[arg(short = 'i', long = "info")]
    pub info: bool,
    /// How -i and --list print: %1$s is the server, %2$s the key, %3$s the value.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "[%1$s] %2$s -- %3$s"
    )]
    pub output: String,
}

#[derive(Debug, Subcommand)]
pub enum Throttle {
    /// List addresses, networks and users with failed logins, the worst first
    List {
        /// No more than so many.
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
    },
    /// Let the addresses of a network alone, or list those that are
    Whitelist {
        /// An address or a network; left out, those that are let alone are listed.
        network: Option<String>,
        /// No more.
        #[arg(long, requires = "network")]
        off: bool,
        /// When it ends by itself: 30m, 2h, 1d; left out, when it is ended.
        #[arg(long = "for", value_name = "TIME", requires = "network", conflicts_with = "off")]
        time: Option<String>,
    },
    /// Forget the failures of an address, a network or a user
    Forgive {
        /// As "throttle list" has it.
        #[arg(value_name = "ADDRESS|NETWORK|USER", required_unless_present = "all")]
        key: Option<String>,
        /// Of everybody.
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Maintenance {
    /// Tell clients to come back later
    On {
        /// Only the users of this domain.
        #[arg(long)]
        domain: Option<String>,
        /// When it ends by itself: 2h, 18:30, 2026-11-20T18:30:00Z; left out, when it is ended.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// What clients are told.
        #[arg(long)]
        text: Option<String>,
    },
    /// End what was begun by hand
    Off {
        /// That of this domain.
        #[arg(long)]
        domain: Option<String>,
    },
    /// Say whether maintenance is in force
    Status,
}

#[derive(Debug, Subcommand)]
pub enum Log {
    /// List levels set by hand, set one or take it back: [OF] [LEVEL]
    ///
    /// OF is all, a module, user:NAME, upstream:SERVER or client:ADDRESS; LEVEL is debug to emerg, or
    /// default. "log level default" takes all of them back; so does a reload.
    Level {
        #[arg(value_name = "OF|LEVEL", num_args = 0..=2)]
        words: Vec<String>,
        /// When it ends by itself: 30s, 10m, 2h.
        #[arg(long = "for", value_name = "TIME")]
        time: Option<String>,
    },
    /// Open the logs anew, as USR1 does
    Reopen,
    /// Turn the logs that log_rotate is in force for, or one of them, now
    Rotate { file: Option<String> },
}

#[derive(Debug, Args)]
pub struct Diag {
    /// The file to write, for its owner alone; left out, it is printed.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Leave the local parts of mail addresses, users and clients' addresses in.
    #[arg(long)]
    pub with_addresses: bool,
}

#[derive(Debug, Subcommand)]
pub enum Tls {
    /// Try every certificate: key, chain, dates, names, who may read the key
    ///
    /// Exits with 1 if one would not serve, or clients would refuse it.
    Check,
    /// List certificates: names, issuer, end, files, and where they are served
    List,
    /// Check a certificate and put it into the folder that "certificates" names
    ///
    /// A gatepost that runs serves it within seconds; sessions go on.
    Deploy(Deploy),
    /// List the certificates that end soon
    ///
    /// Exits with 1 if there is one.
    Expiring {
        /// Within so many days.
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        days: u32,
    },
}

#[derive(Debug, Args)]
pub struct Deploy {
    /// The certificate, in PEM, perhaps with its chain.
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// Its private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The certificates of those who issued it.
    #[arg(long, value_name = "FILE")]
    pub chain: Option<PathBuf>,
    /// The folder's name; left out, the first name in the certificate.
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Doctor {
    /// Examine the servers of an upstream, or one of them
    Upstream {
        #[command(flatten)]
        patient: Patient,
    },
    /// Examine a lookup's handlers, or one of them
    Lookup {
        #[command(flatten)]
        patient: Patient,
    },
    /// Say what a client from an address meets: throttles, names, networks
    Clientip {
        #[command(flatten)]
        patient: Patient,
    },
}

#[derive(Debug, Args)]
pub struct Patient {
    /// Its name, with /SERVER for one of them; or the address.
    pub name: String,
    /// Try a login, too.
    #[arg(long, value_name = "USER")]
    pub login: Option<String>,
    /// A file whose first line is the password; - is standard input.
    #[arg(long, value_name = "FILE", requires = "login")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Show {
    /// List local addresses and the domains they serve
    Addresses,
}

#[derive(Debug, Subcommand)]
pub enum Conf {
    /// Print a setting's value, an element of a list on each line
    Get {
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        place: Place,
    },
    /// Set a value in the file; its comments and its order are kept
    ///
    /// A list is given as several values, an empty one as [].
    Set {
        #[arg(value_name = "KEY")]
        key: String,
        #[arg(value_name = "VALUE", required = true)]
        values: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Take a value out of the file, so that the inherited one holds
    ///
    /// Exits with 1 if it was not set there.
    Unset {
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        place: Place,
    },
    /// List what is set, and where
    List {
        /// Only settings whose names begin so: mail, mail.imap
        beginning: Option<String>,
        /// Every setting, with the value that holds.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Tell all about a setting: its value, the level it comes from, where it ends
    Explain {
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        place: Place,
    },
    /// Make the configuration from settings and templates, check it, put it in force
    ///
    /// Exits with 1 if it does not pass, and what was in force stays. A gatepost that runs goes on
    /// with what it has until "gatepost -s reload".
    Gen(ConfGen),
    /// List the generations that are kept
    History,
    /// Show what differs between two generations
    ///
    /// Without a number, what the one in force changed; with one, what has changed since that.
    Diff {
        #[arg(value_name = "N")]
        from: Option<u64>,
        #[arg(value_name = "M")]
        to: Option<u64>,
    },
    /// Put an earlier generation in force again, after a check
    Rollback {
        #[arg(value_name = "N")]
        number: u64,
    },
    /// Show every setting with its value and where that comes from; secrets are masked
    Show {
        /// The values that hold, inherited ones and defaults among them.
        #[arg(long)]
        effective: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print a configuration with all that it includes in one text
    Flat(Flat),
    /// List templates, copy a shipped one to change it, compare yours with it
    #[command(subcommand)]
    Template(Template),
    /// Take over what zmprov gacf, gs NAME and gd NAME print
    ///
    /// Says what was taken, what was left, and why. Certificates and keys become files (mode 0600) in
    /// tls/zimbra below the prefix. Secrets are left, and not shown.
    ImportZimbra {
        /// Any number in any order; - is standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Write nothing.
        #[arg(long)]
        dry_run: bool,
        /// The file, rather than conf/settings.toml below the prefix.
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
}

/// Which table of which file.
#[derive(Debug, Args)]
pub struct Place {
    /// For this server.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// For this domain.
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// The file, rather than conf/settings.toml below the prefix.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}
