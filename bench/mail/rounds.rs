//! The run: every peer in every round in turn, and the medians of the rounds.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::gatepost::{self, Setup};
use crate::measure::{self, Did, Figure, Measure};
use crate::peers::{Kind, Peer, Surroundings, free_port};
use crate::{Result, counted, syscalls, table, tls};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// How often everything is measured; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One round with an eighth of the work, to see whether everything runs
    #[arg(long)]
    quick: bool,
    /// Measure only these; the beginning of a name takes all that begin so (login, fetch-tls, noop, handshake, idle, …).
    /// `route-login`, `route-memory` and `lookup-hang` are measured only if they are asked for
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Who is measured: direct, nginx, nginx-64k, gatepost, and others of the same program that are set up otherwise:
    /// gatepost-id, -unthrottled, -throttled, -strangers, -lookup, -hang, -hit, -shared, -sticky
    #[arg(long, value_delimiter = ',', default_value = "direct,nginx,gatepost")]
    peers: Vec<String>,
    /// The program to measure
    #[arg(long, default_value_os_t = built("gatepost"))]
    gatepost: PathBuf,
    /// Another build or setting beside it, as NAME=PROGRAM or NAME=PROGRAM;DIRECTIVES; may be repeated
    #[arg(long, value_name = "NAME=PROGRAM[;DIRECTIVES]")]
    also: Vec<String>,
    /// Directives for gatepost's main context
    #[arg(short = 'g', long, default_value = "", hide_default_value = true)]
    main: String,
    /// Directives for gatepost's mail block
    #[arg(long, default_value = "", hide_default_value = true)]
    mail: String,
    /// Let the mock answer nginx's auth_http; without it nginx answers itself
    #[arg(long)]
    auth_by_mock: bool,
    /// What the mail server says first
    #[arg(long)]
    greeting: Option<String>,
    /// Clients offer the post-quantum key exchange as well
    #[arg(long)]
    post_quantum: bool,
    /// Count system calls with strace instead of CPU time
    #[arg(long)]
    syscalls: bool,
    /// Leave the folder with configurations and logs, and say what starts each peer
    #[arg(long)]
    keep: bool,
}

/// A program of the same build: beside this one where `bench/run` leaves it, or a folder up from where Cargo does.
fn built(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let places = here.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    places
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| Path::new("target/release").join(name))
}

pub async fn run(args: Args) -> Result<()> {
    let measures = chosen(&args)?;
    let folder = tempfile::Builder::new().prefix("gatepost-bench-").tempdir()?;
    tls::write_certificate(folder.path())?;
    let around = Surroundings {
        folder: folder.path().to_owned(),
        mock: free_port()?,
        mock_twin: free_port()?,
        mock_smtp: free_port()?,
        handler: free_port()?,
        hanging: free_port()?,
        auth_by_mock: args.auth_by_mock,
        bench: std::env::current_exe()?,
        greeting: args.greeting.clone(),
        files: nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?.1,
    };
    let mut peers = vec![Peer::back(&around)?];
    for (name, kind) in kinds(&args)? {
        peers.push(Peer::new(&name, &kind, &around)?);
    }
    let measured = measure_all(&args, &measures, &mut peers, &around).await;
    // Whatever happened, nobody is left behind.
    let mut stopped = Ok(());
    for peer in &mut peers {
        stopped = stopped.and(peer.stop().await);
    }
    let names: Vec<String> = peers[1..].iter().map(|peer| peer.name.clone()).collect();
    let mut out = std::io::stdout().lock();
    if args.keep {
        for peer in &peers {
            writeln!(
                out,
                "# {} (plain {}, TLS {}): {}",
                peer.name,
                peer.plain,
                peer.tls,
                peer.line.join(" ")
            )?;
        }
        writeln!(out, "# kept: {}", folder.keep().display())?;
    }
    let measured = measured?;
    writeln!(out, "\n{}", table::render(&measures, &names, &measured, args.syscalls))?;
    for ((measure, peer), words) in &measured.notes {
        writeln!(out, "{measure}, {peer}, of logins: {words}")?;
    }
    stopped
}

/// What was measured, by measure and peer.
#[derive(Debug, Default)]
pub struct Measured {
    /// One figure a round.
    pub figures: BTreeMap<Which, Vec<Figure>>,
    /// What the peer itself has counted, in the last round.
    notes: BTreeMap<Which, String>,
}

pub type Which = (&'static str, String);

async fn measure_all(
    args: &Args,
    measures: &[Measure],
    peers: &mut [Peer],
    around: &Surroundings,
) -> Result<Measured> {
    for peer in peers.iter_mut() {
        peer.start().await?;
    }
    let peers = &mut peers[1..];
    let rounds = if args.quick || args.syscalls { 1 } else { args.rounds };
    let count = peers.len();
    let mut measured = Measured::default();
    for round in 0..rounds {
        for (number, measure) in measures.iter().enumerate() {
            // Whoever comes first finds another machine than whoever comes last: take turns at that as well.
            for turn in 0..count {
                let peer = &mut peers[(turn + number + round) % count];
                progress(&format!(
                    "round {} of {rounds}: {:<18} {:<14}",
                    round + 1,
                    measure.name,
                    peer.name
                ));
                // Memory that other work has left behind is not the idle sessions'.
                if measure.unit.is_memory() {
                    peer.stop().await?;
                    peer.start().await?;
                }
                let figure = one(args, measure, peer, around).await;
                let (figure, words) = figure.map_err(|error| {
                    format!("{}, {}: {error}\n{}", measure.name, peer.name, peer.said())
                })?;
                let which = (measure.name, peer.name.clone());
                measured.figures.entry(which.clone()).or_default().push(figure);
                if !words.is_empty() {
                    measured.notes.insert(which, words);
                }
            }
        }
    }
    progress(&format!("{:60}\r", ""));
    Ok(measured)
}

/// Tells whoever watches where the run is.
fn progress(line: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{line}");
    }
}

/// What it cost, and what the peer itself has counted meanwhile.
async fn one(
    args: &Args,
    measure: &Measure,
    peer: &Peer,
    around: &Surroundings,
) -> Result<(Figure, String)> {
    let line = |measure: &Measure| measure.load(peer, &around.folder, args.post_quantum);
    let load = line(measure);
    if let Some(before) = measure.warm_up() {
        measure::play(&around.bench, &line(&before), before.longest()).await?;
    }
    let before = counts(peer).await?;
    let figure = if args.syscalls {
        let report = around.folder.join(format!("{}-{}.strace", measure.name, peer.name));
        let load = (&*load, measure.longest());
        let (calls, did) = syscalls::count(peer, &around.bench, load, &report).await?;
        Figure { cost: calls / did.done, did }
    } else {
        measure.take(peer, &around.bench, &load).await?
    };
    let Did { done, .. } = figure.did;
    let shares = counted::shares(&before, &counts(peer).await?, done);
    Ok((figure, measure.told(&figure.did).into_iter().chain([shares]).collect()))
}

async fn counts(peer: &Peer) -> Result<counted::Counts> {
    match peer.metrics {
        Some(at) => counted::read(at).await,
        None => Ok(counted::Counts::new()),
    }
}

fn chosen(args: &Args) -> Result<Vec<Measure>> {
    if let Some(stray) =
        args.only.iter().find(|name| !measure::ALL.iter().any(|one| one.name.starts_with(*name)))
    {
        let names: Vec<&str> = measure::ALL.iter().map(|one| one.name).collect();
        return Err(format!(
            "nothing to measure is called {stray:?}; there are {}",
            names.join(", ")
        )
        .into());
    }
    let wanted = |one: &&Measure| {
        let named = args.only.iter().any(|name| one.name.starts_with(name.as_str()));
        named || (args.only.is_empty() && !one.on_demand)
    };
    // Nothing happens in an idle session, and a lone client's wait is no call.
    let counts = |one: &&Measure| !args.syscalls || !(one.unit.is_memory() || one.unit.is_clock());
    let quick = |one: &Measure| if args.quick || args.syscalls { one.quick() } else { *one };
    Ok(measure::ALL.iter().filter(wanted).filter(counts).map(quick).collect())
}

fn kinds(args: &Args) -> Result<Vec<(String, Kind)>> {
    let gatepost = |program: &Path, more: &str, setup: Setup| {
        let main = format!("{}\n{more}", args.main);
        let mail = format!("{}\n    {}", setup.mail, args.mail);
        Kind::Gatepost(Setup { program: program.to_owned(), main, mail, ..setup })
    };
    let mut kinds = Vec::new();
    for name in &args.peers {
        let kind = match (name.as_str(), Setup::named(name)) {
            ("direct", _) => Kind::Direct,
            ("nginx", _) => Kind::Nginx { buffer: None },
            ("nginx-64k", _) => Kind::Nginx { buffer: Some("64k".to_owned()) },
            (_, Some(setup)) => gatepost(&args.gatepost, "", setup),
            (stray, None) => {
                let known: Vec<String> =
                    gatepost::NAMES.iter().map(|(name, what)| format!("{name}: {what}")).collect();
                return Err(format!(
                    "no peer is called {stray:?}; there are direct, nginx, nginx-64k and\n{}",
                    known.join("\n")
                )
                .into());
            }
        };
        kinds.push((name.clone(), kind));
    }
    for also in &args.also {
        let (name, what) =
            also.split_once('=').ok_or_else(|| format!("--also {also:?}: no NAME=PROGRAM"))?;
        let (program, more) = what.split_once(';').unwrap_or((what, ""));
        kinds.push((name.to_owned(), gatepost(Path::new(program), more, Setup::default())));
    }
    Ok(kinds)
}
