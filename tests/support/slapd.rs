//! An OpenLDAP of its own, in the foreground: `ldap://` with StartTLS, `ldaps://` and `ldapi://`.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::{Ca, PATIENCE, Site, Talk, Waiting, run, send};

const LDAP: u16 = 10389;
const LDAPS: u16 = 10636;

/// Zimbra's attributes, as far as logins are found by them.
const CONF: &str = r#"
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.19348.2.1.1 NAME 'zimbraId' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{256} SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.19348.2.1.4 NAME 'zimbraMailHost' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26{256} )
attributetype ( 1.3.6.1.4.1.19348.2.1.20 NAME 'zimbraMailAlias' EQUALITY caseIgnoreIA5Match
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26{256} )
attributetype ( 1.3.6.1.4.1.19348.2.1.999 NAME 'testPort' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.19348.2.2.2 NAME 'zimbraAccount' SUP top AUXILIARY
  MAY ( zimbraId $ zimbraMailHost $ zimbraMailAlias $ testPort ) )
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile @dir@/ca.pem
TLSCertificateFile @dir@/slapd.pem
TLSCertificateKeyFile @dir@/slapd.key
pidfile @dir@/run/slapd.pid
database mdb
maxsize 10485760
suffix "dc=test"
directory @dir@/data
dbnosync
access to * by dn.exact="cn=reader,dc=test" read by anonymous auth
"#;

/// Whom the tree belongs to, and who may read it.
const TREE: &str = "dn: dc=test
objectClass: dcObject
objectClass: organization
dc: test
o: test

dn: cn=reader,dc=test
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: tanstaaf

";

pub struct Slapd {
    child: Option<Child>,
    pub site: Site,
}

impl Slapd {
    pub const READER: &str = "cn=reader,dc=test";
    pub const PASSWORD: &str = "tanstaaf";

    /// Starts one whose certificate is for `slapd.test`, with the entries of `ldif`.
    #[track_caller]
    pub fn start(ca: &Ca, ldif: &str) -> Self {
        let site = Site::new();
        site.write("ca.pem", &ca.pem);
        ca.ecdsa(&["slapd.test"]).put(&site, "slapd");
        site.write("slapd.conf", super::fill(&site, CONF, &[]));
        std::fs::create_dir(site.path("data")).unwrap();
        let mut add = Command::new("/usr/sbin/slapadd");
        add.arg("-q").arg("-f").arg(site.path("slapd.conf"));
        run(&mut add, &format!("{TREE}{ldif}")).worked();
        let mut started = Self { child: None, site };
        started.restart();
        started
    }

    /// Where it begins in the clear.
    pub fn addr(&self) -> SocketAddr {
        (self.site.ip, LDAP).into()
    }

    /// Where TLS comes first.
    pub fn tls(&self) -> SocketAddr {
        (self.site.ip, LDAPS).into()
    }

    pub fn socket(&self) -> String {
        self.site.path("run/ldapi").display().to_string()
    }

    /// Starts it again, with what it had.
    #[track_caller]
    pub fn restart(&mut self) {
        let said = File::options().create(true).append(true).open(self.site.path("logs/said"));
        let said = said.unwrap();
        let socket = self.socket().replace('/', "%2F");
        let urls = format!("ldap://{} ldaps://{} ldapi://{socket}", self.addr(), self.tls());
        // At any level it stays in the foreground. 256: what it is asked.
        let mut child = Command::new("/usr/sbin/slapd")
            .args(["-d", "256", "-h", &urls, "-f"])
            .arg(self.site.path("slapd.conf"))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .expect("slapd is not installed (tests/run installs it)");
        let site = &self.site;
        Waiting::new(PATIENCE).until("slapd to listen", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "slapd: {}", site.read("logs/said"));
            Talk::try_connect(None, (site.ip, LDAPS).into()).ok()
        });
        self.child = Some(child);
    }

    /// What it was asked, and by whom.
    pub fn log(&self) -> String {
        self.site.read("logs/said")
    }

    /// As a machine that loses its power.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            send(child.id(), signal);
        }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}
