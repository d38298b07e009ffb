//! A real Dovecot 2.3, in the foreground, with a folder, an address and users of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::unistd::{User, geteuid};

use super::{
    Ca, IMAP, IMAPS, LMTP, PATIENCE, POP3, POP3S, Protocol, Provider, SIEVE, SUBMISSION, Site,
    Talk, Waiting, end,
};

/// The log line of a login ends in what the tests read: who, from where, how.
const CONF: &str = r#"
base_dir = @dir@/run
state_dir = @dir@/state
log_path = @dir@/logs/dovecot.log
protocols = imap pop3 sieve
listen = @ip@
login_trusted_networks = @trusted@
login_greeting = @greeting@
login_log_format_elements = user=<%u> method=%m rip=%r rport=%{rport} lip=%l session=<%{session}> conn=<%c>
auth_verbose = yes
auth_failure_delay = 0
auth_mechanisms = plain login
disable_plaintext_auth = no
ssl = yes
ssl_cert = <@dir@/dovecot.pem
ssl_key = <@dir@/dovecot.key
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
default_internal_user = @internal@
default_internal_group = @internal_group@
default_login_user = @login@
default_vsz_limit = 512M
first_valid_uid = 1
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u @dir@/users
}
userdb {
  driver = static
  args = uid=@mail@ gid=@mail_group@ home=@dir@/mail/%u
}
service imap-login {
  @chroot@
  service_count = 0
  inet_listener imap {
    port = @imap@
  }
  inet_listener imaps {
    port = @imaps@
    ssl = yes
  }
}
service pop3-login {
  @chroot@
  service_count = 0
  inet_listener pop3 {
    port = @pop3@
  }
  inet_listener pop3s {
    port = @pop3s@
    ssl = yes
  }
}
service managesieve-login {
  @chroot@
  service_count = 0
  inet_listener sieve {
    port = @sieve@
  }
}
plugin {
  sieve = file:~/sieve;active=~/.dovecot.sieve
}
service anvil {
  @chroot@
  # Wrong passwords from one address would make everybody wait.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  @chroot@
}
"#;

/// The name on its certificate.
const NAME: &str = "dovecot.test";

pub struct Dovecot {
    child: Child,
    site: Site,
}

impl Dovecot {
    /// For [`Dovecot::adding`]: a socket at which Postfix asks about logins.
    pub const SASL: &str = "
service auth {
  unix_listener postfix {
    mode = 0666
  }
}
";

    /// A master with the password `pw`, who opens everybody's mailbox as the authentication
    /// identity of SASL PLAIN, or as `mailbox*master`.
    pub const MASTER: &str = "
auth_master_user_separator = *
passdb {
  driver = static
  master = yes
  args = user=master password=pw
}
";

    /// LMTP at [`Dovecot::lmtp`].
    pub const LMTP: &str = "
protocols = $protocols lmtp
service lmtp {
  inet_listener lmtp {
    port = @lmtp@
  }
}
";

    /// Submission at [`Dovecot::submission`], which relays to the `host:port` behind it.
    pub const SUBMISSION: &str = "
protocols = $protocols submission
hostname = dovecot.test
submission_relay_host = @relay_host@
submission_relay_port = @relay_port@
submission_relay_trusted = yes
service submission-login {
  inet_listener submission {
    port = @submission@
  }
}
";

    /// GSSAPI with the keys of a keytab, for any name of ours.
    pub const GSSAPI: &str = "
auth_mechanisms = $auth_mechanisms gssapi
auth_krb5_keytab = @keytab@
auth_gssapi_hostname = \"$ALL\"
import_environment = $import_environment KRB5_CONFIG=@krb5@ KRB5RCACHENAME=none:
";

    /// XOAUTH2 and OAUTHBEARER, as `provider` says of their tokens.
    pub const OAUTH: &str = "
auth_mechanisms = $auth_mechanisms xoauth2 oauthbearer
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = @dir@/oauth2.conf
}
";

    /// Starts one with these users and passwords, its certificate signed by `ca`, which believes
    /// what proxies on loopback say of their clients.
    #[track_caller]
    pub fn start(ca: &Ca, users: &[(&str, &str)]) -> Self {
        Self::greeting(ca, users, "Dovecot ready.")
    }

    /// The same, with a greeting to know it by.
    #[track_caller]
    pub fn greeting(ca: &Ca, users: &[(&str, &str)], greeting: &str) -> Self {
        Self::trusting(ca, users, greeting, "127.0.0.0/8")
    }

    /// The same, which believes proxies on the networks `trusted` only.
    #[track_caller]
    pub fn trusting(ca: &Ca, users: &[(&str, &str)], greeting: &str, trusted: &str) -> Self {
        Self::begin(Site::new(), ca, users, greeting, trusted, "")
    }

    /// One with more to its configuration: [`Dovecot::SASL`] and the like, `@NAME@` standing for
    /// `values`.
    #[track_caller]
    pub fn adding(
        ca: &Ca,
        users: &[(&str, &str)],
        more: &[&str],
        values: &[(&str, &dyn ToString)],
    ) -> Self {
        let site = Site::new();
        let more = super::fill(&site, &more.concat(), values);
        Self::begin(site, ca, users, "Dovecot ready.", "127.0.0.0/8", &more)
    }

    /// One that asks `provider` about the tokens of XOAUTH2 and OAUTHBEARER, with `more` to its
    /// configuration.
    #[track_caller]
    pub fn asking(ca: &Ca, users: &[(&str, &str)], provider: &Provider, more: &[&str]) -> Self {
        let site = Site::new();
        site.write("oauth2.conf", provider.for_dovecot());
        let more = super::fill(&site, &[&[Self::OAUTH], more].concat().concat(), &[]);
        Self::begin(site, ca, users, "Dovecot ready.", "127.0.0.0/8", &more)
    }

    #[track_caller]
    fn begin(
        site: Site,
        ca: &Ca,
        users: &[(&str, &str)],
        greeting: &str,
        trusted: &str,
        more: &str,
    ) -> Self {
        ca.ecdsa(&[NAME, &site.ip.to_string()]).put(&site, "dovecot");
        let users: String =
            users.iter().map(|(user, password)| format!("{user}:{{PLAIN}}{password}\n")).collect();
        site.write("users", users);
        std::fs::create_dir(site.path("mail")).unwrap();
        site.write("dovecot.conf", conf(&site, greeting, trusted) + more);

        let said = File::create(site.path("logs/said")).unwrap();
        let program = ["/usr/sbin/dovecot", "dovecot"]
            .into_iter()
            .find(|path| !path.starts_with('/') || std::path::Path::new(path).exists())
            .unwrap();
        let child = Command::new(program)
            .args(["-F", "-c"])
            .arg(site.path("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .expect("dovecot is not installed (tests/run installs it)");
        let mut dovecot = Self { child, site };
        dovecot.wait_for_greetings();
        dovecot
    }

    fn wait_for_greetings(&mut self) {
        let waiting = Waiting::new(PATIENCE);
        for protocol in [Protocol::Imap, Protocol::Pop3] {
            waiting.until("Dovecot to greet", || {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "Dovecot: {}{}", self.site.read("logs/said"), self.log());
                let mut talk = Talk::try_connect(None, self.clear(protocol)).ok()?;
                talk.try_line().ok()
            });
        }
    }

    /// Where it listens, by protocol; STARTTLS is offered there.
    pub fn clear(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Imap => (self.site.ip, IMAP).into(),
            Protocol::Pop3 => (self.site.ip, POP3).into(),
        }
    }

    pub fn tls(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Imap => (self.site.ip, IMAPS).into(),
            Protocol::Pop3 => (self.site.ip, POP3S).into(),
        }
    }

    /// Where [`Dovecot::LMTP`] listens.
    pub fn lmtp(&self) -> SocketAddr {
        (self.site.ip, LMTP).into()
    }

    /// Where [`Dovecot::SUBMISSION`] listens.
    pub fn submission(&self) -> SocketAddr {
        (self.site.ip, SUBMISSION).into()
    }

    /// Where it speaks ManageSieve; STARTTLS is offered there.
    pub fn sieve(&self) -> SocketAddr {
        (self.site.ip, SIEVE).into()
    }

    /// Where [`Dovecot::SASL`] listens.
    pub fn sasl_socket(&self) -> PathBuf {
        self.site.path("run/postfix")
    }

    pub fn log(&self) -> String {
        self.site.read("logs/dovecot.log")
    }

    /// Waits for a line of its log that holds all of `parts`.
    #[track_caller]
    pub fn logs(&self, parts: &[&str]) -> String {
        let found = |log: &str| {
            let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            line.map(str::to_owned)
        };
        let waiting = Waiting::new(PATIENCE);
        loop {
            if let Some(line) = found(&self.log()) {
                return line;
            }
            assert!(waiting.left().is_some(), "Dovecot's log has no {parts:?}:\n{}", self.log());
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    /// Waits for `user`'s login and gives its log line.
    #[track_caller]
    pub fn logs_login(&self, user: &str) -> String {
        self.logs(&["-login: Info: Login: ", &format!("user=<{user}>")])
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of Dovecot:\n{}", self.log());
        }
        end(&mut self.child);
    }
}

/// Its configuration, for root as well as for anybody else.
fn conf(site: &Site, greeting: &str, trusted: &str) -> String {
    let me = User::from_uid(geteuid()).unwrap().expect("a user of the system").name;
    let group = run_id();
    let (internal, internal_group, login, mail, mail_group, chroot) = if geteuid().is_root() {
        std::os::unix::fs::chown(site.path("mail"), Some(65534), Some(65534)).unwrap();
        ("dovecot", "dovecot".to_owned(), "dovenull", "nobody", "nogroup".to_owned(), "")
    } else {
        // Only root may chroot.
        (me.as_str(), group.clone(), me.as_str(), me.as_str(), group, "chroot =")
    };
    super::fill(
        site,
        CONF,
        &[
            ("sieve", &SIEVE),
            ("trusted", &trusted),
            ("greeting", &greeting),
            ("internal", &internal),
            ("internal_group", &internal_group),
            ("login", &login),
            ("mail", &mail),
            ("mail_group", &mail_group),
            ("chroot", &chroot),
        ],
    )
}

/// The name of the group we run as.
fn run_id() -> String {
    nix::unistd::Group::from_gid(nix::unistd::getegid())
        .ok()
        .flatten()
        .map_or_else(|| "nogroup".to_owned(), |group| group.name)
}
