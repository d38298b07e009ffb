//! Who is measured: how each is configured, started, known to be ready, and stopped.
//!
//! A peer lives in a folder of its own, listens on loopback only, and is ended by its pid.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::gatepost::Setup;
use crate::{Result, spent, tls};

/// Starting and stopping take this long at the most.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where ports are looked for: below those that the kernel gives to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

#[derive(Clone, Debug)]
pub enum Kind {
    /// The clients speak to the mail server itself.
    Direct,
    /// nginx's mail proxy, with this `proxy_buffer` or its own.
    Nginx { buffer: Option<String> },
    /// gatepost, or another build of it.
    Gatepost(Setup),
}

/// What stands behind and around every peer.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The folder of the run, with `cert.pem` and `key.pem`.
    pub folder: PathBuf,
    /// The mail server's port.
    pub mock: u16,
    /// Another port of its, for who has two servers to choose from.
    pub mock_twin: u16,
    /// Its port for SMTP.
    pub mock_smtp: u16,
    /// Where it answers lookups.
    pub handler: u16,
    /// Where it takes lookups and answers none.
    pub hanging: u16,
    /// nginx asks it as well; nginx answers itself without it.
    pub auth_by_mock: bool,
    /// This program.
    pub bench: PathBuf,
    pub greeting: Option<String>,
    /// Open files that a worker may have.
    pub files: u64,
}

#[derive(Debug)]
pub struct Peer {
    pub name: String,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub smtp: SocketAddr,
    pub smtps: SocketAddr,
    /// What starts it, for whoever wants to do so by hand.
    pub line: Vec<String>,
    /// Where it tells its figures.
    pub metrics: Option<SocketAddr>,
    folder: PathBuf,
    running: Option<Child>,
    /// Its cache, which is not counted as the peer.
    memcached: Option<Memcached>,
}

#[derive(Debug)]
struct Memcached {
    at: SocketAddr,
    running: Option<Child>,
}

impl Peer {
    /// Writes the peer's folder; nothing runs yet.
    pub fn new(name: &str, kind: &Kind, around: &Surroundings) -> Result<Self> {
        let folder = around.folder.join(name);
        fs::create_dir_all(folder.join("logs"))?;
        fs::create_dir_all(folder.join("run"))?;
        for file in ["cert.pem", "key.pem"] {
            fs::copy(around.folder.join(file), folder.join(file))?;
        }
        let ports = Ports {
            plain: free_port()?,
            tls: free_port()?,
            smtp: free_port()?,
            smtps: free_port()?,
        };
        let here = folder.display().to_string();
        let (mut memcached, mut metrics) = (None, None);
        let line = match kind {
            Kind::Direct => mock_line(around, &ports, true),
            Kind::Nginx { buffer } => {
                fs::write(folder.join("nginx.conf"), nginx(&ports, buffer.as_deref(), around)?)?;
                let words = ["nginx", "-p", &here, "-c", "nginx.conf"];
                words.map(str::to_owned).to_vec()
            }
            Kind::Gatepost(setup) => {
                let program = &setup.program;
                if !program.is_file() {
                    return Err(format!(
                        "{}: no such program; build it or name it by --gatepost",
                        program.display()
                    )
                    .into());
                }
                setup.write_key(&folder)?;
                memcached = setup.memcached.then(free_port).transpose()?.map(local);
                metrics = setup.metrics.then(free_port).transpose()?.map(local);
                fs::write(
                    folder.join("gatepost.conf"),
                    setup.configuration(&ports, memcached, metrics, around),
                )?;
                let program = fs::canonicalize(program)?.display().to_string();
                let words = [&program, "-p", &here, "-c", "gatepost.conf"];
                words.map(str::to_owned).to_vec()
            }
        };
        Ok(Self {
            name: name.to_owned(),
            plain: local(ports.plain),
            tls: local(ports.tls),
            smtp: local(ports.smtp),
            smtps: local(ports.smtps),
            line,
            metrics,
            folder,
            running: None,
            memcached: memcached.map(|at| Memcached { at, running: None }),
        })
    }

    /// The mail server behind the proxies: not measured itself.
    pub fn back(around: &Surroundings) -> Result<Self> {
        let folder = around.folder.join("mock");
        fs::create_dir_all(&folder)?;
        let ports = Ports { plain: around.mock, tls: 0, smtp: around.mock_smtp, smtps: 0 };
        let line = mock_line(around, &ports, false);
        let (at, smtp) = (local(around.mock), local(around.mock_smtp));
        Ok(Self {
            name: "mock".to_owned(),
            plain: at,
            tls: at,
            smtp,
            smtps: smtp,
            line,
            metrics: None,
            folder,
            running: None,
            memcached: None,
        })
    }

    /// Starts the peer and waits until it accepts.
    pub async fn start(&mut self) -> Result<()> {
        if let Some(memcached) = &mut self.memcached {
            memcached.start().await?;
        }
        let output = fs::File::create(self.folder.join("output.log"))?;
        let child = Command::new(&self.line[0])
            .args(&self.line[1..])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.line[0]))?;
        self.running = Some(child);
        let late = Instant::now() + PATIENCE;
        for at in [self.plain, self.tls, self.smtp, self.smtps] {
            while TcpStream::connect(at).await.is_err() {
                let ended = self.running.as_mut().map_or(Ok(None), Child::try_wait)?;
                if ended.is_some() || Instant::now() > late {
                    return Err(
                        format!("{} does not listen on {at}: {}", self.name, self.said()).into()
                    );
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Ends the peer, and its cache with it: TERM, and KILL if it will not.
    pub async fn stop(&mut self) -> Result<()> {
        let stopped = self.stop_itself().await;
        match &mut self.memcached {
            Some(memcached) => stopped.and(memcached.stop().await),
            None => stopped,
        }
    }

    async fn stop_itself(&mut self) -> Result<()> {
        let Some(mut child) = self.running.take() else { return Ok(()) };
        if let Some(pid) = pid(&child) {
            kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        }
        if timeout(PATIENCE, child.wait()).await.is_err() {
            for member in pid(&child).map(spent::family).unwrap_or_default() {
                // It may have gone by itself meanwhile.
                let _ = kill(Pid::from_raw(member), Signal::SIGKILL);
            }
            child.wait().await?;
            return Err(format!("{} had to be killed", self.name).into());
        }
        Ok(())
    }

    /// The process that was started; its family is the peer.
    pub fn pid(&self) -> Result<i32> {
        self.running
            .as_ref()
            .and_then(pid)
            .ok_or_else(|| format!("{} does not run: {}", self.name, self.said()).into())
    }

    /// What the peer has complained of, for an error.
    pub fn said(&self) -> String {
        let files = ["output.log", "logs/error.log"];
        let said: String = files
            .iter()
            .filter_map(|file| fs::read_to_string(self.folder.join(file)).ok())
            .collect();
        match said.trim() {
            "" => "it says nothing".to_owned(),
            // The end matters most.
            said => said
                .lines()
                .rev()
                .take(5)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

impl Memcached {
    /// Starts it, empty, and waits until it accepts.
    async fn start(&mut self) -> Result<()> {
        let port = self.at.port().to_string();
        // As much as a million routes want; unlike its default, one thread, as the mock and the clients have.
        let words = ["-U", "0", "-l", "127.0.0.1", "-p", &port, "-m", "1024", "-t", "1"];
        let child = Command::new("memcached")
            .args(words)
            // It will not be root, and asks nobody for more than it has.
            .args(["-u", "nobody"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("memcached: {error}: apt-get install memcached"))?;
        self.running = Some(child);
        let late = Instant::now() + PATIENCE;
        while TcpStream::connect(self.at).await.is_err() {
            let ended = self.running.as_mut().map_or(Ok(None), Child::try_wait)?;
            if ended.is_some() || Instant::now() > late {
                return Err(format!("memcached does not listen on {}", self.at).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.running.take() else { return Ok(()) };
        if let Some(pid) = pid(&child) {
            kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        }
        if timeout(PATIENCE, child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }
}

fn pid(child: &Child) -> Option<i32> {
    child.id().and_then(|pid| i32::try_from(pid).ok())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port of loopback that nobody has now; each is given away once.
pub fn free_port() -> Result<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at the same time begin at different places.
    let first = u16::try_from(std::process::id() % 10_000)?;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (first + step) % (PORTS.end - PORTS.start);
        if TcpListener::bind(local(port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port on 127.0.0.1".into())
}

/// Where a peer listens.
pub struct Ports {
    pub plain: u16,
    pub tls: u16,
    pub smtp: u16,
    pub smtps: u16,
}

/// The mock that is measured itself (`alone`), or the one behind everybody else.
fn mock_line(around: &Surroundings, ports: &Ports, alone: bool) -> Vec<String> {
    let mut line = vec![around.bench.display().to_string(), "mock".to_owned()];
    let mut say = |name: &str, value: String| line.extend([name.to_owned(), value]);
    say("--imap", local(ports.plain).to_string());
    say("--smtp", local(ports.smtp).to_string());
    say("--certificate", around.folder.display().to_string());
    if alone {
        say("--imaps", local(ports.tls).to_string());
        say("--smtps", local(ports.smtps).to_string());
    }
    if !alone {
        say("--twin", local(around.mock_twin).to_string());
        say("--auth", local(around.handler).to_string());
        say("--hang", local(around.hanging).to_string());
    }
    if let Some(greeting) = &around.greeting {
        say("--greeting", greeting.clone());
    }
    line
}

fn nginx(ports: &Ports, buffer: Option<&str>, around: &Surroundings) -> Result<String> {
    let Ports { plain, tls, smtp, smtps } = ports;
    let mock_smtp = around.mock_smtp;
    let module = ["/usr/lib/nginx/modules", "/usr/share/nginx/modules", "/usr/lib64/nginx/modules"]
        .map(|folder| Path::new(folder).join("ngx_mail_module.so"))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or("nginx has no mail module: apt-get install nginx-light libnginx-mod-mail")?;
    let own = free_port()?;
    let (mock, files, module) = (around.mock, around.files, module.display());
    let auth = if around.auth_by_mock { around.handler } else { own };
    let buffer = buffer.map(|size| format!("proxy_buffer {size};")).unwrap_or_default();
    let name = tls::NAME;
    Ok(format!(
        "load_module {module};
daemon off;
# The logs and keys are the run's, and so is whoever runs it.
user root;
pid run/nginx.pid;
error_log logs/error.log error;
worker_processes 2;
worker_rlimit_nofile {files};
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path run/body;
    proxy_temp_path run/proxy;
    fastcgi_temp_path run/fastcgi;
    uwsgi_temp_path run/uwsgi;
    scgi_temp_path run/scgi;
    server {{
        listen 127.0.0.1:{own};
        location / {{
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port {mock};
            return 204;
        }}
        location /smtp {{
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port {mock_smtp};
            return 204;
        }}
    }}
}}
mail {{
    server_name {name};
    auth_http 127.0.0.1:{auth}/auth;
    imap_capabilities IMAP4rev1 IDLE;
    {buffer}
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {{ listen 127.0.0.1:{plain}; protocol imap; }}
    server {{ listen 127.0.0.1:{tls} ssl; protocol imap; }}
    server {{
        listen 127.0.0.1:{smtp};
        listen 127.0.0.1:{smtps} ssl;
        protocol smtp;
        auth_http 127.0.0.1:{own}/smtp;
        xclient off;
        proxy_smtp_auth on;
    }}
}}
"
    ))
}
