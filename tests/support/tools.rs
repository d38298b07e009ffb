//! Mail clients that people use, each run to its end: swaks, msmtp, s-nail, curl, sieve-connect.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Run, Site, run};

/// How the connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Clear,
    /// TLS begins by STARTTLS, or the client gives up.
    StartTls,
    /// From the first byte.
    Tls,
}

impl Security {
    pub const ALL: [Self; 3] = [Self::Clear, Self::StartTls, Self::Tls];
}

/// A message that is sent to a server by somebody, with whichever client.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub to: SocketAddr,
    pub security: Security,
    /// The name and the mechanism of the login, as SASL spells it; none: no login.
    pub login: Option<(&'a str, &'a str)>,
    /// The password, or the token.
    pub password: &'a str,
    /// Whose certificates are trusted, as a file. They must be for the server's address.
    pub ca: &'a Path,
    /// The client's own certificate and key, as files.
    pub certificate: Option<(&'a Path, &'a Path)>,
}

/// A message of so many lines, from [`FROM`] to [`TO`].
pub fn message(subject: &str, lines: usize) -> String {
    let body: String = (0..lines).map(|line| format!("line {line} of a mail\r\n")).collect();
    format!("From: {FROM}\r\nTo: {TO}\r\nSubject: {subject}\r\n\r\n{body}")
}

pub const FROM: &str = "bob@b.test";
pub const TO: &str = "alice@a.test";

impl<'a> Sender<'a> {
    /// To `to` in the clear, without a login.
    pub fn new(to: SocketAddr, ca: &'a Path) -> Self {
        Self { to, security: Security::Clear, login: None, password: "", ca, certificate: None }
    }

    #[must_use]
    pub fn by(self, security: Security) -> Self {
        Self { security, ..self }
    }

    #[must_use]
    pub fn login(self, mechanism: &'a str, user: &'a str, password: &'a str) -> Self {
        Self { login: Some((user, mechanism)), password, ..self }
    }

    fn host(&self) -> String {
        self.to.ip().to_string()
    }

    fn port(&self) -> String {
        self.to.port().to_string()
    }

    /// By swaks, with `more` of its options. It tells the whole conversation, secrets included.
    #[track_caller]
    pub fn swaks(&self, site: &Site, message: &str, more: &[&str]) -> Run {
        site.write("message", message);
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", &self.host(), "--port", &self.port(), "--timeout", "30"]);
        swaks.args(["--from", FROM, "--to", TO, "--helo", "client.test"]);
        swaks.arg("--data").arg(format!("@{}", site.path("message").display()));
        match self.security {
            Security::Clear => {}
            Security::StartTls => drop(swaks.arg("--tls")),
            Security::Tls => drop(swaks.arg("--tls-on-connect")),
        }
        if self.security != Security::Clear {
            swaks.args(["--tls-verify", "--tls-ca-path"]).arg(self.ca);
        }
        if let Some((cert, key)) = self.certificate {
            swaks.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
        }
        if let Some((user, mechanism)) = self.login {
            swaks.args(["--auth", mechanism, "--auth-user", user]);
            swaks.args(["--auth-password", self.password]);
        }
        run(swaks.args(more), "")
    }

    /// By msmtp.
    #[track_caller]
    pub fn msmtp(&self, site: &Site, message: &str) -> Run {
        private(site, "password", &format!("{}\n", self.password));
        let mut msmtp = Command::new("msmtp");
        msmtp.arg(format!("--host={}", self.host())).arg(format!("--port={}", self.port()));
        msmtp.args([&format!("--from={FROM}"), "--timeout=30", "--domain=client.test"]);
        match self.security {
            Security::Clear => drop(msmtp.arg("--tls=off")),
            Security::StartTls => drop(msmtp.args(["--tls=on", "--tls-starttls=on"])),
            Security::Tls => drop(msmtp.args(["--tls=on", "--tls-starttls=off"])),
        }
        if self.security != Security::Clear {
            msmtp.arg(format!("--tls-trust-file={}", self.ca.display()));
        }
        if let Some((cert, key)) = self.certificate {
            msmtp.arg(format!("--tls-cert-file={}", cert.display()));
            msmtp.arg(format!("--tls-key-file={}", key.display()));
        }
        match self.login {
            None => drop(msmtp.arg("--auth=off")),
            Some((user, mechanism)) => {
                msmtp.arg(format!("--auth={}", mechanism.to_ascii_lowercase()));
                msmtp.arg(format!("--user={user}"));
                let file = site.path("password").display().to_string();
                msmtp.arg(format!("--passwordeval=cat '{file}'"));
            }
        }
        run(msmtp.arg("--debug").arg("--").arg(TO).env("HOME", site.dir()), message)
    }

    /// By s-nail, which writes the headers itself; `body` is what comes below them.
    #[track_caller]
    pub fn s_nail(&self, site: &Site, subject: &str, body: &str) -> Run {
        let scheme = if self.security == Security::Tls { "smtps" } else { "smtp" };
        // It knows certificates by names only, and here are only addresses.
        let mut rc = format!(
            "set v15-compat\nset mta={scheme}://{}\nset hostname=client.test\nset sendwait\n\
             set smtp-hostname=client.test\nset tls-verify=ignore\nset DEAD=/dev/null\n",
            self.to,
        );
        if self.security == Security::StartTls {
            rc += "set smtp-use-starttls\n";
        }
        match self.login {
            None => rc += "set smtp-auth=none\n",
            Some((user, mechanism)) => {
                let mechanism = mechanism.to_ascii_lowercase();
                let password = self.password.replace('\'', "\\'");
                rc += &format!("set smtp-auth={mechanism}\nset user='{user}'\n");
                rc += &format!("set password='{password}'\n");
            }
        }
        private(site, "nailrc", &rc);
        let mut nail = Command::new("s-nail");
        nail.args(["-:u", "-vv", "-r", FROM, "-s", subject, TO]).env("MAILRC", site.path("nailrc"));
        run(nail.env("HOME", site.dir()).env_remove("DEAD"), body)
    }

    /// By curl, with `more` of its options.
    #[track_caller]
    pub fn curl(&self, site: &Site, message: &str, more: &[&str]) -> Run {
        site.write("message", message);
        let scheme = if self.security == Security::Tls { "smtps" } else { "smtp" };
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-v", "--max-time", "60", "--mail-from", FROM, "--mail-rcpt", TO]);
        curl.arg("--upload-file").arg(site.path("message")).arg("--cacert").arg(self.ca);
        if self.security == Security::StartTls {
            curl.arg("--ssl-reqd");
        }
        if let Some((cert, key)) = self.certificate {
            curl.arg("--cert").arg(cert).arg("--key").arg(key);
        }
        if let Some((user, mechanism)) = self.login {
            curl.arg("--login-options").arg(format!("AUTH={mechanism}"));
            if matches!(mechanism, "XOAUTH2" | "OAUTHBEARER") {
                curl.arg("--user").arg(user).args(["--oauth2-bearer", self.password]);
            } else {
                curl.arg("--user").arg(format!("{user}:{}", self.password));
            }
        }
        run(curl.args(more).arg(format!("{scheme}://{}/client.test", self.to)), "")
    }
}

/// sieve-connect, logged in, with `commands`, a line each.
#[track_caller]
pub fn sieve_connect(login: &Sender<'_>, site: &Site, commands: &str) -> Run {
    site.write("sieve.commands", commands);
    let (user, mechanism) = login.login.expect("a login");
    let mut sieve = Command::new("sieve-connect");
    sieve.args(["--server", &login.host(), "--port", &login.port(), "--user", user]);
    sieve.args(["--authmech", mechanism, "--passwordfd", "0"]);
    sieve.arg("--tlscafile").arg(login.ca);
    match login.security {
        Security::Clear => drop(sieve.args(["--notlsverify", "--nossl"])),
        Security::StartTls | Security::Tls => {}
    }
    sieve.arg("--exec").arg(site.path("sieve.commands")).env("HOME", site.dir());
    run(&mut sieve, &format!("{}\n", login.password))
}

/// A file for its owner only, as clients want those with passwords.
fn private(site: &Site, name: &str, text: &str) {
    site.write(name, text);
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}
