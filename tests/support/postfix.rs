//! A real Postfix, in the foreground, with a folder, an address and a queue of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command, Stdio};

use nix::unistd::{Group, User, geteuid};

use super::{Ca, Dovecot, PATIENCE, SMTP, SMTPS, SUBMISSION, Site, Talk, Waiting, end};

/// Everything is delivered into one maildir, whoever it is for.
const MAIN: &str = r#"
compatibility_level = 3.6
queue_directory = @dir@/queue
data_directory = @dir@/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = @dir@/logs/mail.log
maillog_file_prefixes = @dir@
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.test
mydestination =
mynetworks =
alias_maps =
alias_database =
local_transport = error:none
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = @dir@/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
message_size_limit = 52428800
smtpd_client_connection_count_limit = 0
smtpd_authorized_xclient_hosts = @trusted@
smtpd_sasl_type = dovecot
smtpd_sasl_path = @sasl@
smtpd_sasl_authenticated_header = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = @dir@/postfix.pem
smtpd_tls_key_file = @dir@/postfix.key
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_recipient_restrictions = reject_unauth_destination
"#;

const MASTER: &str = "
@ip@:@smtp@ inet n - n - - smtpd
@ip@:@submission@ inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
@ip@:@smtps@ inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
anvil unix - - n - 1 anvil
bounce unix - - n - 0 bounce
cleanup unix n - n - 0 cleanup
defer unix - - n - 0 bounce
error unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
proxymap unix - - n - - proxymap
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
tlsmgr unix - - n 1000? 1 tlsmgr
trace unix - - n - 0 bounce
virtual unix - n n - - virtual
";

/// The name on its certificate.
const NAME: &str = "postfix.test";

pub struct Postfix {
    child: Child,
    site: Site,
}

impl Postfix {
    /// Starts one whose users are `dovecot`'s, which must have [`Dovecot::SASL`], its certificate
    /// signed by `ca`; it believes the XCLIENT of everybody on loopback.
    #[track_caller]
    pub fn start(ca: &Ca, dovecot: &Dovecot) -> Self {
        Self::trusting(ca, dovecot, "127.0.0.0/8")
    }

    /// The same, which believes the XCLIENT of the networks `trusted` only.
    #[track_caller]
    pub fn trusting(ca: &Ca, dovecot: &Dovecot, trusted: &str) -> Self {
        assert!(geteuid().is_root(), "Postfix runs for root only");
        let site = Site::new();
        ca.ecdsa(&[NAME, &site.ip.to_string()]).put(&site, "postfix");
        let sasl = dovecot.sasl_socket();
        let values: &[(&str, &dyn ToString)] = &[("sasl", &sasl.display()), ("trusted", &trusted)];
        site.write("conf/main.cf", super::fill(&site, MAIN, values));
        site.write("conf/master.cf", super::fill(&site, MASTER, &[]));
        furnish(&site);
        let said = File::create(site.path("logs/said")).unwrap();
        let child = Command::new("/usr/lib/postfix/sbin/master")
            .arg("-c")
            .arg(site.path("conf"))
            .arg("-s")
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .expect("postfix is not installed (tests/run installs it)");
        let mut postfix = Self { child, site };
        Waiting::new(PATIENCE).until("Postfix to greet", || {
            let ended = postfix.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "Postfix: {}{}",
                postfix.site.read("logs/said"),
                postfix.log()
            );
            let mut talk = Talk::try_connect(None, postfix.submission()).ok()?;
            talk.try_line().ok()
        });
        postfix
    }

    /// Where logins are needed before mail is taken; STARTTLS is offered.
    pub fn submission(&self) -> SocketAddr {
        (self.site.ip, SUBMISSION).into()
    }

    /// The same with TLS from the first byte.
    pub fn submissions(&self) -> SocketAddr {
        (self.site.ip, SMTPS).into()
    }

    /// Where anybody may bring mail, and nobody can log in.
    pub fn mx(&self) -> SocketAddr {
        (self.site.ip, SMTP).into()
    }

    pub fn log(&self) -> String {
        self.site.read("logs/mail.log")
    }

    /// Waits for a line of its log that holds all of `parts`.
    #[track_caller]
    pub fn logs(&self, parts: &[&str]) -> String {
        let waiting = Waiting::new(PATIENCE);
        loop {
            let log = self.log();
            let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            if let Some(line) = line {
                return line.to_owned();
            }
            assert!(waiting.left().is_some(), "Postfix's log has no {parts:?}:\n{log}");
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    /// Waits for a delivered message that contains `text`, and gives it as it is stored: Postfix's
    /// own headers first, lines ending in LF.
    #[track_caller]
    pub fn receives(&self, text: &str) -> String {
        let inbox = self.site.path("mail/inbox/new");
        let waiting = Waiting::new(PATIENCE);
        loop {
            for entry in fs::read_dir(&inbox).into_iter().flatten() {
                let bytes = fs::read(entry.unwrap().path()).unwrap_or_default();
                let message = String::from_utf8_lossy(&bytes);
                if message.contains(text) {
                    return message.into_owned();
                }
            }
            assert!(waiting.left().is_some(), "Postfix got no {text:?}:\n{}", self.log());
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of Postfix:\n{}", self.log());
        }
        end(&mut self.child);
    }
}

/// The folders that `postfix check` would make, without its two seconds.
fn furnish(site: &Site) {
    let owner = User::from_name("postfix").unwrap().expect("postfix's user").uid.as_raw();
    let group = Group::from_name("postdrop").unwrap().expect("postfix's group").gid.as_raw();
    let make = |name: &str, mode: u32, uid: Option<u32>, gid: Option<u32>| {
        let path = site.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, uid, gid).unwrap();
    };
    for name in ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"] {
        make(&format!("queue/{name}"), 0o700, Some(owner), None);
    }
    for name in ["private", "saved", "trace"] {
        make(&format!("queue/{name}"), 0o700, Some(owner), None);
    }
    make("queue/public", 0o710, Some(owner), Some(group));
    make("queue/maildrop", 0o1730, Some(owner), Some(group));
    make("queue/pid", 0o755, None, None);
    make("data", 0o700, Some(owner), None);
    make("mail", 0o755, Some(65534), Some(65534));
}
