//! nginx itself: Debian's, with its mail module. What gatepost is measured by.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{PATIENCE, Run, Site, Waiting, run};

const CONF: &str = "conf/nginx.conf";

/// An nginx that runs, as one process. Dropped, it is killed.
pub struct Nginx {
    child: Child,
    pub site: Site,
}

impl Nginx {
    /// Starts one with this `mail` block, and waits until `at` is listened at.
    #[track_caller]
    pub fn start(site: Site, mail: &str, at: SocketAddr) -> Self {
        Self::configure(&site, mail);
        let stderr = File::create(site.path("logs/stderr")).unwrap();
        let child = Self::command(&site).stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut started = Self { child, site };
        let waiting = Waiting::new(PATIENCE);
        while TcpStream::connect(at).is_err() {
            let ended = started.child.try_wait().unwrap();
            let said = || started.site.read("logs/stderr") + &started.error_log();
            assert!(ended.is_none(), "nginx ended at once:\n{}", said());
            assert!(waiting.left().is_some(), "nginx does not listen:\n{}", said());
            thread::park_timeout(Duration::from_millis(5));
        }
        started
    }

    /// `nginx -t` on this `mail` block.
    #[track_caller]
    pub fn check(site: &Site, mail: &str) -> Run {
        Self::configure(site, mail);
        run(Self::command(site).arg("-t"), "")
    }

    fn configure(site: &Site, mail: &str) {
        let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_mail_module.so;\n\
             daemon off; master_process off; {user}\n\
             pid run/nginx.pid;\n\
             error_log logs/error.log info;\n\
             events {{ worker_connections 512; }}\n\
             {mail}"
        );
        site.write(CONF, text);
    }

    fn command(site: &Site) -> Command {
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(site.dir()).args(["-c", CONF, "-e", "logs/early.log"]);
        command
    }

    pub fn error_log(&self) -> String {
        self.site.read("logs/error.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
