//! A PostgreSQL of its own, in the foreground: TCP with passwords and TLS, and a unix socket.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

use super::{Ca, PATIENCE, Site, Talk, Waiting, run, send};

const PORT: u16 = 10432;

/// Nothing here outlives the test, so nothing is made durable.
const CONF: &str = "
listen_addresses = '@ip@'
port = @port@
unix_socket_directories = '@dir@/run'
ssl = on
ssl_cert_file = '@dir@/postgres.pem'
ssl_key_file = '@dir@/postgres.key'
fsync = off
full_page_writes = off
shared_buffers = 1MB
max_connections = 40
logging_collector = off
";

const HBA: &str = "
local all all trust
host all all 127.0.0.0/8 scram-sha-256
";

pub struct Postgres {
    child: Option<Child>,
    pub site: Site,
}

impl Postgres {
    /// The role that owns everything, and its password over TCP.
    pub const USER: &str = "gatepost";
    pub const PASSWORD: &str = "tan'sta af";

    /// Starts one whose certificate is for `postgres.test`, and runs `sql` in it.
    #[track_caller]
    pub fn start(ca: &Ca, sql: &str) -> Self {
        let site = Site::new();
        ca.ecdsa(&["postgres.test"]).put(&site, "postgres");
        site.write("password", format!("{}\n", Self::PASSWORD));
        fs::create_dir(site.path("data")).unwrap();
        for name in ["data", "run", "postgres.key", "password"] {
            own(&site.path(name));
        }
        for (name, mode) in [("data", 0o700), ("postgres.key", 0o600)] {
            fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut create = command(&site, "initdb");
        create.args(["-D", "data", "-U", Self::USER, "-E", "UTF8", "--locale=C", "-N"]);
        run(create.args(["--pwfile", "password", "-A", "trust"]), "").worked();
        let conf = super::fill(&site, CONF, &[("port", &PORT)]);
        site.write("data/postgresql.conf", conf);
        site.write("data/pg_hba.conf", HBA);
        let mut started = Self { child: None, site };
        started.restart();
        started.sql(sql);
        started
    }

    pub fn addr(&self) -> SocketAddr {
        (self.site.ip, PORT).into()
    }

    /// The unix socket's folder, as it stands in a URL, with its port.
    pub fn socket(&self) -> String {
        let folder = self.site.path("run").display().to_string();
        format!("{}:{PORT}", folder.replace('/', "%2F"))
    }

    /// Starts it again, with what it had.
    #[track_caller]
    pub fn restart(&mut self) {
        let said = File::options().create(true).append(true).open(self.site.path("logs/said"));
        let said = said.unwrap();
        let mut child = command(&self.site, "postgres")
            .args(["-D", "data"])
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let site = &self.site;
        Waiting::new(PATIENCE).until("PostgreSQL to listen", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "PostgreSQL: {}", site.read("logs/said"));
            Talk::try_connect(None, (site.ip, PORT).into()).ok()
        });
        self.child = Some(child);
        // It listens before it is ready.
        Waiting::new(PATIENCE).until("PostgreSQL to be ready", || {
            (self.psql("SELECT 1").code == Some(0)).then_some(())
        });
    }

    /// Runs statements in it.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.psql(sql).worked().out
    }

    fn psql(&self, sql: &str) -> super::Run {
        let mut psql = command(&self.site, "psql");
        let folder = self.site.path("run");
        psql.arg("-h").arg(folder).args(["-p", &PORT.to_string(), "-U", Self::USER]);
        run(psql.args(["-d", "postgres", "-qtAX", "-v", "ON_ERROR_STOP=1", "-f", "-"]), sql)
    }

    /// As a machine that loses its power: nobody is told goodbye.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // "Immediate shutdown": it ends its own children, and leaves recovery to the next start.
        send(child.id(), Signal::SIGQUIT);
        child.wait().unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The newest that is installed.
fn folder() -> PathBuf {
    let all = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = all.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    folders
        .filter(|folder| folder.join("initdb").exists())
        .max()
        .expect("postgresql is not installed (tests/run installs it)")
}

/// It does not run as root: then it is somebody else.
fn somebody() -> Option<User> {
    let names = ["postgres", "nobody"].into_iter();
    geteuid().is_root().then(|| names.filter_map(|name| User::from_name(name).ok()?).next())?
}

fn own(path: &std::path::Path) {
    if let Some(user) = somebody() {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

fn command(site: &Site, name: &str) -> Command {
    let mut command = Command::new(folder().join(name));
    command.current_dir(site.dir()).env("LC_ALL", "C");
    if let Some(user) = somebody() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}
