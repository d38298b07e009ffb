//! The life of the process once it serves: signals, generations, end.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior};

use super::control::{Desk, Opened};
use super::generation::{Alive, Generation};
use super::listeners::{Fresh, Listeners, label};
use super::model::{Faults, Kept, Model, Plan};
use super::ops::Running;
use super::pid::PidFile;
use super::start::one;
use super::worker::Workers;
use super::{Options, Start, figures, fleet, lookups};
use crate::admin::directives::Settings as Control;
use crate::admin::{Api, Entry, Ops};
use crate::net::accept::{self, Conn, Leave, Notice};
use crate::net::halt::{self, Halt, Trigger};
use crate::net::limits::Gate;
use crate::net::listen::Socket;
use crate::net::{Plain, errno};
use crate::observe::log::levels;
use crate::observe::{Level, Log, reopen_all, tasks};
use crate::proxy;
use crate::tls::certs::Identity;
use crate::tls::fault::Event;

/// How often certificates are looked at for a change.
const LOOK: Duration = Duration::from_secs(5);

/// So many changes of one look are told one by one: whoever renews thousands knows that.
const TOLD: usize = 50;

/// How long sessions have for their goodbyes when the process ends at once.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the main thread holds while the workers serve.
pub struct Process {
    options: Options,
    start: Start,
    kept: Kept,
    listeners: Listeners,
    pid: PidFile,
    log: Log,
    workers: Workers,
    gate: Gate,
    current: Generation,
    /// Those that drain, by number.
    draining: BTreeMap<u64, Drain>,
    gone: UnboundedReceiver<u64>,
    tell_gone: UnboundedSender<u64>,
    shutdown_timeout: Option<Duration>,
    child: Option<Child>,
    identities: Vec<Arc<Identity>>,
    /// Where figures are shown, by the listener's label.
    shown: HashMap<String, (Entry, Trigger<Leave>)>,
    /// What admins ask.
    running: Arc<Running>,
    ops: Arc<dyn Ops>,
    control: Desk,
    /// As the configuration in force has it.
    control_settings: Control,
    quitting: bool,
    /// What is done for the fleet goes on until it fires.
    fleet: Option<Trigger>,
}

/// What a generation begins with.
struct Ready {
    /// The sockets of each door, one for each worker.
    doors: Vec<Vec<Socket>>,
    windows: Vec<Vec<Socket>>,
    /// Where figures are shown anew.
    figures: Vec<(String, Entry, Socket)>,
    control: Opened,
}

/// Where `model` shows figures, and to whom.
fn entries(model: &Model) -> HashMap<String, Entry> {
    let settings = &model.settings;
    let labels = settings.metrics.iter().map(|listen| label(&listen.endpoint));
    let callers = settings.control.callers();
    let entry = |entry: &Entry| Entry { callers: callers.clone(), ..entry.clone() };
    labels.zip(settings.api.iter().map(entry)).collect()
}

struct Drain {
    generation: Generation,
    /// When its sessions are ended.
    until: Option<Instant>,
}

/// The signals that say something to us.
pub struct Signals {
    reload: Signal,
    reopen: Signal,
    upgrade: Signal,
    quit: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl Process {
    pub fn new(
        options: Options,
        start: Start,
        kept: Kept,
        listeners: Listeners,
        control: Desk,
        pid: PidFile,
        log: Log,
    ) -> Self {
        let (tell_gone, gone) = unbounded_channel();
        tasks::on_panic(log.clone(), kept.metrics.clone());
        let running = Arc::new(Running::new(&kept));
        Self {
            options,
            start,
            kept,
            listeners,
            pid,
            log,
            workers: Workers::default(),
            gate: Gate::new(usize::MAX),
            current: Generation::new(0),
            draining: BTreeMap::new(),
            gone,
            tell_gone,
            shutdown_timeout: None,
            child: None,
            identities: Vec::new(),
            shown: HashMap::new(),
            ops: Arc::clone(&running) as Arc<dyn Ops>,
            running,
            control,
            control_settings: Control::beside(std::path::Path::new("")),
            quitting: false,
            fleet: None,
        }
    }

    /// Puts `model` in force: from now on it takes the connections.
    ///
    /// What can fail comes first, and changes nothing if it does: an acceptor that has begun cannot be
    /// taken back. `fresh` is what a reload has opened; at a start all is open.
    pub fn serve(&mut self, mut model: Model, fresh: Option<Fresh>) -> io::Result<()> {
        let number = self.current.number + 1;
        let none = Fresh::default();
        let Ready { doors: sockets, windows, figures, control: opened } =
            match self.make_ready(&model, fresh.as_ref().unwrap_or(&none)) {
                Ok(ready) => ready,
                Err(error) => {
                    self.listeners.abandon(fresh.unwrap_or_default());
                    return Err(error);
                }
            };
        // From here on nothing fails.
        if let Some(fresh) = fresh {
            // The old acceptors drain a socket that goes before its last copy closes.
            self.listeners.put(fresh);
        }
        if let Err(error) = self.pid.move_to(&model.settings.pid) {
            let path = model.settings.pid.display();
            self.log.line(Level::Error, None, format_args!("pid file \"{path}\": {error}"));
        }
        model.take_effect(&self.kept);
        self.show_figures(&model, figures);
        self.control_settings = model.settings.control.clone();
        self.control.put(opened, &self.control_settings, &self.ops, &model.log);
        self.gate.allow(model.settings.worker_connections.saturating_mul(model.settings.workers));
        self.shutdown_timeout = model.settings.shutdown_timeout;
        let mut generation = Generation::new(number);
        let alive = Alive::new(number, self.tell_gone.clone());
        for ((listen, door), sockets) in model.doors.iter().zip(sockets) {
            let (trigger, stop) = halt::halt();
            for (shard, socket) in sockets.into_iter().enumerate() {
                let host = Doorman {
                    door: Arc::clone(door),
                    cut: generation.cut.listen(),
                    alive: alive.clone(),
                    log: model.log.clone(),
                };
                let (gate, stop) = (self.gate.clone(), stop.clone());
                let _here = self.workers.of(shard).enter();
                tasks::spawn("accept", host.run(socket, gate, stop));
            }
            generation.acceptors.insert(label(&listen.endpoint), trigger);
        }
        self.running.serves(number, &model);
        self.kept.watch.follow(&model);
        lookups::serve(&model.windows, windows, &self.workers, &mut generation, &alive, &model.log);
        generation.alive = Some(alive);
        self.kept.logs.follow(model.rotation, &model.log);
        self.log = model.log;
        self.identities = model.identities;
        tasks::on_panic(self.log.clone(), self.kept.metrics.clone());
        self.kept.metrics.serving(number);
        let old = std::mem::replace(&mut self.current, generation);
        if old.number > 0 {
            self.drain(old, false);
        } else {
            self.fleet = Some(fleet::attend(&self.kept));
            let logs = Arc::clone(&self.kept.logs);
            tasks::spawn("logs", tasks::keep_up("log files", move || Arc::clone(&logs).attend()));
            let workers = model.settings.workers;
            self.log.line(Level::Notice, None, format_args!("start {workers} workers"));
        }
        self.tell_certificates();
        Ok(())
    }

    /// All that `model` needs and may not get.
    fn make_ready(&mut self, model: &Model, fresh: &Fresh) -> io::Result<Ready> {
        let Self { listeners, shown, .. } = self;
        self.workers.grow_to(model.settings.workers)?;
        let doors = model.doors.iter();
        let doors = doors.map(|(listen, _)| listeners.copies(fresh, &label(&listen.endpoint)));
        let mut figures = Vec::new();
        for (label, entry) in entries(model) {
            if shown.get(&label).is_some_and(|(old, _)| *old == entry) {
                continue;
            }
            for socket in listeners.copies(fresh, &label)? {
                figures.push((label.clone(), entry.clone(), socket));
            }
        }
        Ok(Ready {
            doors: doors.collect::<io::Result<_>>()?,
            windows: lookups::sockets(&model.windows, listeners, fresh)?,
            figures,
            // The last: nobody takes its file away again.
            control: self.control.open(&model.settings.control).map_err(io::Error::other)?,
        })
    }

    /// Shows figures where `model` says, and nowhere else: at `fresh` from now on.
    fn show_figures(&mut self, model: &Model, fresh: Vec<(String, Entry, Socket)>) {
        for (label, entry, socket) in fresh {
            let api = Api::new(Arc::clone(&self.ops), entry.clone());
            let trigger = figures::serve(socket, &self.kept.metrics, api, &model.log);
            // With other rights than before: the same socket goes on.
            if let Some((_, old)) = self.shown.insert(label, (entry, trigger)) {
                old.fire(Leave::Queue);
            }
        }
        let wanted = entries(model);
        for (label, (_, trigger)) in self.shown.extract_if(|label, _| !wanted.contains_key(label)) {
            trigger.fire(Leave::Drain);
            let words = format_args!("figures are no longer shown at {label}");
            model.log.line(Level::Notice, None, words);
        }
    }

    /// Stops `generation` from accepting; its sessions go on.
    fn drain(&mut self, mut generation: Generation, for_good: bool) {
        let listeners = &self.listeners;
        let somebody_else = self.child.is_some();
        generation.stop_accepting(
            |label| {
                if for_good { somebody_else } else { listeners.has(label) }
            },
        );
        let until = self.shutdown_timeout.map(|timeout| Instant::now() + timeout);
        self.draining.insert(generation.number, Drain { generation, until });
    }

    /// Closes what is still open, and waits for the workers.
    pub fn end(mut self) {
        self.listeners.close(self.child.is_some());
        if let Some(trigger) = &self.fleet {
            trigger.fire(());
        }
        // What is to survive a restart and has not been written yet.
        if let Err(error) = self.kept.fleet.store.flush() {
            self.log.line(Level::Error, None, error);
        }
        self.workers.join();
        self.log.line(Level::Notice, None, "exit");
    }

    /// Waits for signals, and for generations to end.
    pub async fn live(&mut self, mut signals: Signals) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next_end = self.draining.values().filter_map(|drain| drain.until).min();
            tokio::select! {
                _ = signals.terminate.recv() => return self.stop("15 (SIGTERM)").await,
                _ = signals.interrupt.recv() => return self.stop("2 (SIGINT)").await,
                _ = signals.quit.recv() => self.quit(),
                _ = signals.reload.recv() => self.reload(),
                _ = signals.reopen.recv() => self.reopen(),
                _ = signals.upgrade.recv() => self.upgrade(),
                Some(number) = self.gone.recv() => self.forget(number),
                _ = look.tick() => self.look(),
                () = passes(next_end) => self.end_overdue(),
                () = ends(self.child.as_mut()) => self.take_back(),
            }
            if self.quitting && self.draining.is_empty() {
                return;
            }
        }
    }

    fn reload(&mut self) {
        self.log.line(Level::Notice, None, "signal 1 (SIGHUP) received, reconfiguring");
        if self.quitting {
            return;
        }
        match self.try_reload() {
            Ok(()) => self.kept.metrics.reloaded(true),
            Err(faults) => {
                self.running.did_not_reload(&faults);
                for fault in faults {
                    self.log.line(Level::Emerg, None, fault);
                }
                let words = "the configuration is not usable: the old one serves on";
                self.log.line(Level::Error, None, words);
                self.kept.metrics.reloaded(false);
            }
        }
    }

    fn try_reload(&mut self) -> Result<(), Faults> {
        // Files that changed are read anew; what is bad keeps what was good.
        self.look();
        let plan = Plan::read(&self.options, &self.kept)?;
        for complaint in &plan.complaints {
            self.log.line(Level::Emerg, None, complaint);
        }
        let model = plan.build(&self.kept)?;
        let fresh =
            self.listeners.prepare(model.listens()).map_err(|error| vec![error.to_string()])?;
        let done = self.serve(model, Some(fresh));
        let done = done.map_err(|error| one("starting the new generation", &error));
        // What was set by hand is for as long as somebody looks.
        if done.is_ok() && levels::clear() > 0 {
            self.log.line(Level::Notice, None, "every log level is as configured again");
        }
        done
    }

    fn reopen(&self) {
        self.log.line(Level::Notice, None, "signal 10 (SIGUSR1) received, reopening logs");
        reopen_all(&self.log);
    }

    fn quit(&mut self) {
        self.log.line(Level::Notice, None, "signal 3 (SIGQUIT) received, shutting down");
        self.take_no_more();
    }

    /// Accepts nothing from now on; sessions go on.
    fn take_no_more(&mut self) {
        if self.quitting {
            return;
        }
        self.quitting = true;
        for (_, (_, trigger)) in self.shown.drain() {
            trigger.fire(Leave::Queue);
        }
        self.control.close(self.child.is_some());
        let current = std::mem::replace(&mut self.current, Generation::new(0));
        self.drain(current, true);
        // The acceptors close their copies as they end; ours must not keep the port.
        self.listeners.close(self.child.is_some());
    }

    async fn stop(&mut self, name: &str) {
        self.log.line(Level::Notice, None, format_args!("signal {name} received, exiting"));
        self.take_no_more();
        for drain in self.draining.values() {
            drain.generation.end();
        }
        let all_gone = async {
            while !self.draining.is_empty() {
                match self.gone.recv().await {
                    Some(number) => self.forget(number),
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE, all_gone).await;
    }

    fn upgrade(&mut self) {
        self.log.line(Level::Notice, None, "signal 12 (SIGUSR2) received, starting new binary");
        if self.child.is_some() {
            self.log.line(
                Level::Crit,
                None,
                "the changing binary signal is ignored: one has started",
            );
            return;
        }
        self.kept.fleet.store.lend();
        let handed = self.pid.step_aside().and_then(|()| {
            let mut sockets = self.listeners.to_hand_over()?;
            sockets.extend(self.control.to_hand_over()?);
            self.start.hand_over(&sockets)
        });
        match handed {
            Ok(child) => {
                let pid = child.id().unwrap_or_default();
                self.log.line(Level::Notice, None, format_args!("start new binary process {pid}"));
                self.child = Some(child);
                self.control.step_aside();
            }
            Err(error) => {
                let words = format!("starting the new binary failed ({})", errno(&error));
                self.log.line(Level::Alert, None, words);
                self.take_back();
            }
        }
    }

    /// The new binary is gone: we are the only one again.
    fn take_back(&mut self) {
        if self.child.take().is_some() {
            self.log.line(Level::Alert, None, "the new binary process has exited");
        }
        // Who is about to go leaves what the newer one has written.
        if !self.quitting {
            self.kept.fleet.store.take_back();
        }
        if let Err(error) = self.pid.step_back() {
            self.log.line(Level::Alert, None, format_args!("pid file: {}", errno(&error)));
        }
        self.control.step_back(&self.control_settings, &self.ops, &self.log);
    }

    fn forget(&mut self, number: u64) {
        if self.draining.remove(&number).is_some() {
            let words = format_args!("worker generation {number} exited with code 0");
            self.log.line(Level::Notice, None, words);
        }
    }

    fn end_overdue(&mut self) {
        let now = Instant::now();
        for drain in self.draining.values_mut() {
            if drain.until.is_some_and(|until| until <= now) {
                drain.until = None;
                drain.generation.end();
            }
        }
    }

    /// Looks whether certificates have changed on disk.
    fn look(&self) {
        let events = self.kept.certificates.refresh();
        let others = self.kept.tls.refresh();
        let all = events.iter().chain(&others);
        if let Some(more) = all.clone().count().checked_sub(TOLD).filter(|more| *more > 0) {
            let words = format_args!("{more} more certificates have changed or cannot be used");
            self.log.line(Level::Notice, None, words);
        }
        for event in all.take(TOLD) {
            match event {
                Event::Added(file) => {
                    let words = format_args!("\"{}\" has come and is in use", file.display());
                    self.log.line(Level::Notice, None, words);
                }
                Event::Removed(file) => {
                    let words = format_args!("\"{}\" has gone", file.display());
                    self.log.line(Level::Notice, None, words);
                }
                Event::Renewed(file) => {
                    let words = format_args!("\"{}\" has changed and is in use", file.display());
                    self.log.line(Level::Notice, None, words);
                }
                Event::Bad(fault) => self.log.line(Level::Error, None, fault),
            }
        }
        if !events.is_empty() {
            self.tell_certificates();
        }
    }

    fn tell_certificates(&self) {
        let expiries = self.identities.iter().flat_map(|identity| identity.expiry());
        self.kept.metrics.certificates(expiries.map(|expiry| {
            let seconds = u64::try_from(expiry.not_after).unwrap_or(0);
            let when = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            (expiry.certificate.display().to_string(), when)
        }));
    }
}

async fn passes(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

async fn ends(child: Option<&mut Child>) {
    match child {
        // Whatever the status: it is gone.
        Some(child) => drop(child.wait().await),
        None => std::future::pending().await,
    }
}

/// Stands at one listening socket of one worker, and starts the sessions.
struct Doorman {
    door: Arc<proxy::Door>,
    cut: Halt,
    alive: Alive,
    log: Log,
}

impl Doorman {
    async fn run(self, socket: Socket, gate: Gate, stop: Halt<Leave>) {
        let log = self.log.clone();
        if let Err(error) = accept::run(socket, gate, stop, self).await {
            log.line(Level::Alert, None, format_args!("accepting failed ({})", errno(&error)));
        }
    }
}

impl accept::Host for Doorman {
    fn welcome(&mut self, conn: Conn) {
        let session =
            proxy::accept::run(conn, Arc::clone(&self.door), self.cut.clone(), self.alive.clone());
        tasks::spawn("session", session);
    }

    fn turn_away(&mut self, stream: Plain) {
        // Within TLS, or behind a PROXY header, there is nobody to tell yet.
        if !self.door.ssl
            && !self.door.proxy_protocol
            && let Some(site) = self.door.default_site()
        {
            let _ = stream.try_write(site.words.too_busy.as_bytes());
            site.counters.refused("too_busy");
        }
    }

    fn notice(&mut self, notice: Notice) {
        let level = match notice {
            Notice::Failed(_) => Level::Crit,
            Notice::Full(_) => Level::Alert,
            Notice::Crowded(_) => Level::Warn,
        };
        self.log.line(level, None, notice);
    }
}
