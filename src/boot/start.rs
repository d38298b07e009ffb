//! From the command line to a process that serves.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::control::{self, Desk, Opened};
use super::listeners::Listeners;
use super::model::{Faults, Kept, Model, Plan};
use super::pid::PidFile;
use super::run::{Process, Signals};
use super::{Options, Start, privilege, upgrade};
use crate::net::errno;
use crate::observe::{Level, Log, give_all_to};

/// Starts gatepost and serves until a signal ends it.
///
/// # Errors
/// What kept it from starting, a line each. They are in the log, too: nobody may be there to read
/// the answer. Once it serves, errors go to its log alone.
pub fn run(options: Options, start: Start) -> Result<(), Faults> {
    let kept = Kept::new();
    let plan = Plan::read(&options, &kept)?;
    let (complaints, notes) = (plan.complaints.clone(), plan.notes.clone());
    let model = plan.build(&kept)?;
    let log = model.log.clone();
    for complaint in &complaints {
        log.line(Level::Emerg, None, complaint);
    }
    for note in &notes {
        log.line(Level::Notice, None, note);
    }
    // As whoever starts us, who may read what another user has kept.
    kept.fleet.restore(&model.state, &log);
    kept.restore_spared();
    let done = begin(options, start, kept, model);
    for fault in done.as_ref().err().into_iter().flatten() {
        log.line(Level::Emerg, None, fault);
    }
    done
}

fn begin(options: Options, start: Start, kept: Kept, model: Model) -> Result<(), Faults> {
    let log = model.log.clone();
    limit_files(&model, &log);
    let mut handed = upgrade::taken_over().map_err(|error| one("taking over sockets", &error))?;
    let is_upgrade = handed.is_some();
    let control = handed.as_mut().and_then(control::taken_out);
    let mut listeners = Listeners::adopt(handed.unwrap_or_default())
        .map_err(|error| one("taking over sockets", &error))?;
    let fresh = listeners.prepare(model.listens()).map_err(|error| vec![error.to_string()])?;
    listeners.put(fresh);
    // Before the first thread: a thread does not survive it. As in nginx, not in an upgrade: the
    // process that started us waits for us. The folder stays: the command line may be relative to it.
    if model.settings.daemon && !is_upgrade {
        nix::unistd::daemon(true, false)
            .map_err(|errno| vec![format!("daemon() failed ({})", errno.desc())])?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| one("starting the event loop", &error))?;
    // Before the pid file: who reads it may send a signal at once, and unheard it would kill.
    let signals = {
        let _inside = runtime.enter();
        Signals::listen().map_err(|error| one("signal()", &error))?
    };
    // Before the pid file, as every listener; and before the change of user: root alone can give its
    // file away.
    let settings = &model.settings.control;
    let mut desk = Desk::adopt(settings, control);
    match desk.open(settings).map_err(|error| vec![error])? {
        // It is tried once more, and told then.
        Opened::Failed(_) => {}
        opened => desk.keep(opened, &log),
    }
    let pid = PidFile::write(&model.settings.pid).map_err(|error| {
        let path = model.settings.pid.display();
        vec![format!("open() \"{path}\" failed ({})", errno(&error))]
    })?;
    change_user(&model, &listeners, &log)?;
    let ended = runtime.block_on(async {
        let mut process = Process::new(options, start, kept, listeners, desk, pid, log);
        process.serve(model, None).map_err(|error| one("starting workers", &error))?;
        process.live(signals).await;
        Ok::<_, Faults>(process)
    });
    runtime.shutdown_background();
    ended?.end();
    Ok(())
}

/// What failed of us, in the form of a fault.
pub fn one(doing: &str, error: &io::Error) -> Faults {
    vec![format!("{doing} failed ({})", errno(error))]
}

/// Two descriptors a session: the more the better, and a limit that is too low is said at once.
fn limit_files(model: &Model, log: &Log) {
    let set = || -> nix::Result<()> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        match model.settings.open_files {
            Some(wanted) => setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted.max(hard)),
            None => setrlimit(Resource::RLIMIT_NOFILE, hard, hard),
        }
    };
    if let Err(error) = set() {
        let words = format!("setrlimit(RLIMIT_NOFILE) failed ({})", error.desc());
        log.line(Level::Alert, None, words);
    }
}

/// Becomes the user that is named, or `nobody`: nothing that clients speak to runs as root unless
/// it is told to.
fn change_user(model: &Model, listeners: &Listeners, log: &Log) -> Result<(), Faults> {
    let named = model.settings.user.as_ref();
    if !privilege::is_root() {
        // An upgrade finds itself to be that user already.
        if named.is_some_and(|user| !user.is_us()) {
            let words = "the \"user\" directive makes sense only for root, ignored";
            log.line(Level::Warn, None, words);
        }
        return Ok(());
    }
    let say = |error: privilege::Error| vec![error.to_string()];
    let identity = match named {
        Some(identity) => identity.clone(),
        None => privilege::Identity::find("nobody", None).map_err(say)?,
    };
    if identity.is_us() {
        return Ok(());
    }
    give_all_to(log, identity.uid(), identity.gid());
    // A socket that shares a port with another must belong to the same user.
    listeners.give_to(identity.uid(), identity.gid());
    identity.own(&model.settings.pid);
    make_folder(model, &identity, log);
    identity.assume().map_err(say)
}

/// The folder of what must survive a restart must be writable by whom we become.
fn make_folder(model: &Model, identity: &privilege::Identity, log: &Log) {
    use std::os::unix::fs::DirBuilderExt;
    let Some(folder) = &model.state.folder else { return };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    if let Err(error) = made {
        let words = format!("mkdir() \"{}\" failed ({})", folder.display(), errno(&error));
        log.line(Level::Warn, None, words);
        return;
    }
    identity.own(folder);
}
