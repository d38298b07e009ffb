//! What most tests need: a gatepost with a certificate, in front of one upstream.

use std::net::SocketAddr;

use crate::support::{Ca, Client, Gatepost, Protocol, Site, Tls, mail};

/// Where everybody goes, unless a test says otherwise.
pub const TO_BACKEND: &str = "route { default backend; } upstream backend { server @up@; }";

/// The certificate for all servers of the `mail` block.
pub const CERTIFICATE: &str = "ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;";

/// TLS to the upstream, checked.
pub const TRUSTING: &str =
    "proxy_ssl_trusted_certificate @dir@/ca.pem; proxy_ssl_name dovecot.test;";

/// Two servers: one that begins in the clear and offers TLS, one with TLS from the first byte.
pub fn servers(protocol: Protocol) -> String {
    let name = protocol.name();
    format!(
        "server {{ listen @ip@:@{name}@; protocol {name}; starttls on; }}\n\
         server {{ listen @ip@:@{name}s@ ssl; protocol {name}; }}\n"
    )
}

/// How a client comes to gatepost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Clear,
    StartTls,
    Tls,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Clear, Self::StartTls, Self::Tls];
}

/// A gatepost that runs, and how to trust it.
pub struct Scene {
    pub gatepost: Gatepost,
    pub tls: Tls,
    pub ca: Ca,
    pub protocol: Protocol,
}

impl Scene {
    /// In front of `up`, with `extra` in the `mail` block.
    #[track_caller]
    pub fn before(up: SocketAddr, protocol: Protocol, extra: &str) -> Self {
        Self::by(Ca::new(), up, protocol, extra)
    }

    /// The same, its certificate signed by `ca`.
    #[track_caller]
    pub fn by(ca: Ca, up: SocketAddr, protocol: Protocol, extra: &str) -> Self {
        let conf = format!("{CERTIFICATE}\n{TO_BACKEND}\n{extra}\n{}", servers(protocol));
        Self::with(ca, protocol, &mail(&conf), &[("up", &up)])
    }

    /// With this configuration, whole.
    #[track_caller]
    pub fn with(ca: Ca, protocol: Protocol, conf: &str, values: &[(&str, &dyn ToString)]) -> Self {
        let site = Site::new();
        site.write("ca.pem", &ca.pem);
        ca.ecdsa(&["mail.test", &site.ip.to_string()]).put(&site, "mail");
        let tls = Tls::trusting(&ca.pem, "mail.test");
        Self { gatepost: Gatepost::start(site, conf, values), tls, ca, protocol }
    }

    /// A client that has been greeted, in the clear.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.client_by(Way::Clear)
    }

    #[track_caller]
    pub fn client_by(&self, way: Way) -> Client {
        let clear = self.gatepost.clear(self.protocol);
        match way {
            Way::Clear => Client::greeted(self.protocol, clear),
            Way::StartTls => {
                let mut client = Client::greeted(self.protocol, clear);
                client.start_tls(&self.tls);
                client
            }
            Way::Tls => {
                Client::greeted_over(&self.tls, self.protocol, self.gatepost.tls(self.protocol))
            }
        }
    }

    /// A client that has logged in, in the clear.
    #[track_caller]
    pub fn let_in(&self) -> Client {
        self.let_in_by(Way::Clear)
    }

    #[track_caller]
    pub fn let_in_by(&self, way: Way) -> Client {
        let mut client = self.client_by(way);
        client.log_in(crate::support::Mechanism::Login, "alice@a.test", "pw");
        client
    }
}
