//! A Kerberos realm of its own: MIT's KDC in the foreground, users, services, tickets.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{PATIENCE, Site, Talk, Waiting, end, run};

/// Nothing is asked of the DNS, and everything goes over TCP.
const CLIENT: &str = "
[libdefaults]
 default_realm = @realm@
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 @realm@ = {
  kdc = @ip@:@port@
 }
 @other@ = {
  kdc = @ip@:@port@
 }
";

const SERVER: &str = "
[kdcdefaults]
 kdc_listen = @ip@:@port@
 kdc_tcp_listen = @ip@:@port@
[realms]
 @realm@ = {
  database_name = @dir@/principal
  key_stash_file = @dir@/stash
  acl_file = @dir@/acl
 }
[logging]
 kdc = FILE:@dir@/logs/kdc.log
";

const PORT: u16 = 10088;

pub struct Kdc {
    child: Child,
    site: Site,
}

impl Kdc {
    pub const REALM: &str = "A.TEST";

    #[track_caller]
    pub fn start() -> Self {
        let site = Site::new();
        let other = "B.TEST";
        let values: &[(&str, &dyn ToString)] =
            &[("realm", &Self::REALM), ("other", &other), ("port", &PORT)];
        // Replay caches are here, and whoever takes tickets may be nobody.
        fs::set_permissions(site.path("run"), fs::Permissions::from_mode(0o777)).unwrap();
        site.write("krb5.conf", super::fill(&site, CLIENT, values));
        site.write("kdc.conf", super::fill(&site, SERVER, values));
        let mut create = Command::new("/usr/sbin/kdb5_util");
        let create = create.args(["create", "-s", "-P", "master", "-r", Self::REALM]);
        run(at_home(create, &site), "").worked();
        let said = File::create(site.path("logs/said")).unwrap();
        let mut kdc = Command::new("/usr/sbin/krb5kdc");
        let child = at_home(kdc.args(["-n", "-r", Self::REALM]), &site)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .expect("krb5-kdc is not installed (tests/run installs it)");
        let mut kdc = Self { child, site };
        Waiting::new(PATIENCE).until("the KDC to listen", || {
            let ended = kdc.child.try_wait().unwrap();
            assert!(ended.is_none(), "KDC: {}{}", kdc.site.read("logs/said"), kdc.log());
            Talk::try_connect(None, (kdc.site.ip, PORT).into()).ok()
        });
        kdc
    }

    /// A user with a password, and a ticket for it: where its credentials are.
    #[track_caller]
    pub fn user(&self, name: &str, password: &str) -> PathBuf {
        self.admin(&format!("addprinc -pw {password} {name}"));
        let path = self.site.path(&format!("tickets-{}", name.replace('/', "-")));
        let mut kinit = Command::new("kinit");
        kinit.arg("-c").arg(&path).arg(name);
        run(at_home(&mut kinit, &self.site), &format!("{password}\n")).worked();
        path
    }

    /// Services (`imap/mail.test`), and a keytab with their keys, which only its owner may read.
    #[track_caller]
    pub fn keytab(&self, name: &str, services: &[&str]) -> PathBuf {
        let path = self.site.path(name);
        for service in services {
            self.admin(&format!("addprinc -randkey {service}"));
            self.admin(&format!("ktadd -k {} {service}", path.display()));
        }
        path
    }

    /// A command of `kadmin`.
    #[track_caller]
    fn admin(&self, words: &str) {
        let mut kadmin = Command::new("/usr/sbin/kadmin.local");
        let said = run(at_home(kadmin.args(["-q", words]), &self.site), "").worked().said();
        // It ends well whatever happens.
        assert!(said.contains("created") || said.contains("added"), "{words}: {said}");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// What a process of this realm finds in its environment.
    pub fn env(&self) -> [(&'static str, PathBuf); 3] {
        let path = |name| self.site.path(name);
        [
            ("KRB5_CONFIG", path("krb5.conf")),
            ("KRB5_KDC_PROFILE", path("kdc.conf")),
            ("KRB5RCACHEDIR", path("run")),
        ]
    }

    pub fn log(&self) -> String {
        self.site.read("logs/kdc.log")
    }
}

/// Puts a command into the realm: its configuration, and nobody's tickets.
fn at_home<'a>(command: &'a mut Command, site: &Site) -> &'a mut Command {
    command
        .env("KRB5_CONFIG", site.path("krb5.conf"))
        .env("KRB5_KDC_PROFILE", site.path("kdc.conf"))
        .env("KRB5CCNAME", site.path("tickets"))
        .current_dir(site.dir())
}

impl Drop for Kdc {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the KDC:\n{}", self.log());
        }
        end(&mut self.child);
    }
}
