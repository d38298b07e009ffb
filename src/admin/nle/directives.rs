//! The directive `lookup_server`.

use std::time::Duration;

use crate::config::value::{cidr, read_time};
use crate::config::{Block, Cidr, Directive, MAIL, Secret, Statement, Takes};
use crate::net::Endpoint;
use crate::net::listen::Listen;
use crate::route::lookup::nle::PATH;

pub const DIRECTIVES: &[Directive] = &[Directive {
    name: "lookup_server",
    within: &[MAIL],
    takes: Takes::AtLeast(1),
    repeats: true,
    default: "",
    secret: Secret::None,
    doc: "An address and port, or `unix:PATH`, where gatepost itself answers lookups over HTTP, for \
          nginx's `auth_http`, Zimbra's proxy and other gateposts: `lookup_server ADDRESS [ssl] \
          [path=/service/extension/nginx-lookup] [allow=NETWORK[,NETWORK]…] [wait=10s];`. It answers \
          with what the sources of the `mail` block know (`route`, `route_file`, `route_sql`, \
          `route_ldap`, `lookup`), in their order and through the route cache; `auth_http` and a \
          `lookup` with `send_password on` are not asked, since nobody's password is passed on. A \
          group is answered with the address of a server that can be used. Only this machine may ask \
          unless `allow` names networks, in one or several words; at a unix path the folder's \
          permissions say who. `ssl` takes the `ssl_*` directives of `mail`; with `ssl_verify_client \
          on` an asker must show its certificate. `wait` is what an asker is told to let a client \
          wait that is refused (`Auth-Wait`). See [auth-http.md](auth-http.md).",
}];

/// A client of Zimbra's waits for so long before it hears that it was refused.
const WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// One `lookup_server`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// With `ssl`: the TLS of the `mail` block.
    pub listens: Vec<Listen>,
    pub path: String,
    /// None: this machine alone.
    pub allow: Option<Vec<Cidr>>,
    pub wait: Duration,
}

impl Settings {
    /// Reads the `mail` block. `room`: how many more places may be listened at.
    pub fn read_all(mail: &Block, room: &mut usize) -> Vec<Self> {
        let mut all = Vec::new();
        for at in mail.all("lookup_server") {
            match parse(at, room) {
                Ok(settings) => all.push(settings),
                Err(fault) => mail.fault(at, fault),
            }
        }
        all
    }

    pub fn allows(&self, from: &Endpoint) -> bool {
        match (from.ip(), &self.allow) {
            // Who may open the path is for its folder to say.
            (None, _) => true,
            (Some(ip), None) => ip.to_canonical().is_loopback(),
            (Some(ip), Some(allow)) => allow.iter().any(|net| net.contains(ip)),
        }
    }

    /// What an admin may have meant otherwise.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let is_open = |listen: &&Listen| listen.endpoint.ip().is_some_and(|ip| !ip.is_loopback());
        let open = self.listens.iter().filter(is_open).filter(|_| self.allow.is_none());
        open.map(|listen| {
            let at = &listen.endpoint;
            format!("\"lookup_server {at}\": only this machine is answered without \"allow=\"")
        })
    }
}

fn parse(at: &Statement, room: &mut usize) -> Result<Settings, String> {
    let [place, options @ ..] = at.args() else {
        return Err("no address in \"lookup_server\" directive".to_owned());
    };
    let (mut path, mut allow, mut wait, mut is_ssl) = (PATH.to_owned(), None, WAIT, false);
    for option in options {
        let wrong = || format!("invalid parameter \"{option}\" in \"lookup_server\" directive");
        match option.split_once('=') {
            None if option == "ssl" => is_ssl = true,
            Some(("path", value)) => {
                let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"?#\"".contains(&byte);
                if !value.starts_with('/') || !value.bytes().all(is_fit) {
                    return Err(wrong());
                }
                path = value.to_owned();
            }
            Some(("allow", value)) => {
                let networks: Option<Vec<_>> = value.split(',').map(cidr).collect();
                allow.get_or_insert_with(Vec::new).extend(networks.ok_or_else(wrong)?);
            }
            Some(("wait", value)) => {
                wait = read_time(value).ok().filter(|it| *it <= LONGEST_WAIT).ok_or_else(wrong)?;
            }
            _ => return Err(wrong()),
        }
    }
    let words: &[&str] = if is_ssl { &[place, "ssl"] } else { &[place] };
    let listens = Listen::parse_within(words, room)
        .map_err(|error| error.replace("\"listen\"", "\"lookup_server\""))?;
    Ok(Settings { listens, path, allow, wait })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listen::MOST;

    fn read(words: &str) -> (Vec<Settings>, Vec<String>) {
        let block = Block::parse(&format!("lookup_server {words};"));
        let all = Settings::read_all(&block, &mut { MOST });
        (all, block.faults())
    }

    #[test]
    fn each_word_of_it_is_read() {
        let (all, faults) = read(
            "127.0.0.1:7072 ssl path=/auth allow=192.0.2.0/24,2001:db8::/32 allow=10.0.0.1 wait=3s",
        );
        assert_eq!(faults, [""; 0]);
        let [settings] = &all[..] else { panic!("{all:?}") };
        assert_eq!(settings.listens[0].endpoint.to_string(), "127.0.0.1:7072");
        assert!(settings.listens[0].ssl);
        assert_eq!((&*settings.path, settings.wait), ("/auth", Duration::from_secs(3)));
        let from = |text: &str| Endpoint::Tcp(format!("{text}:1").parse().unwrap());
        for (text, is_allowed) in [
            ("192.0.2.9", true),
            ("[2001:db8::9]", true),
            ("10.0.0.1", true),
            ("[::ffff:10.0.0.1]", true),
            ("10.0.0.2", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(settings.allows(&from(text)), is_allowed, "{text}");
        }
        assert_eq!(settings.notes().count(), 0);
    }

    #[test]
    fn without_a_network_only_this_machine_may_ask() {
        let (all, faults) = read("0.0.0.0:7072");
        assert_eq!(faults, [""; 0]);
        let from = |text: &str| Endpoint::Tcp(text.parse().unwrap());
        for (text, is_allowed) in [
            ("127.0.0.7:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(all[0].allows(&from(text)), is_allowed, "{text}");
        }
        assert!(all[0].allows(&Endpoint::Unix("".into())));
        assert_eq!((all[0].path.as_str(), all[0].wait), (PATH, WAIT));
        assert_eq!(all[0].notes().count(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, want) in [
            ("nonsense", "no port in \"nonsense\" of the \"lookup_server\" directive"),
            ("7072 tls", "invalid parameter \"tls\" in \"lookup_server\" directive"),
            ("7072 path=auth", "invalid parameter \"path=auth\""),
            ("7072 path=/a?b", "invalid parameter \"path=/a?b\""),
            ("7072 allow=all", "invalid parameter \"allow=all\""),
            ("7072 allow=", "invalid parameter \"allow=\""),
            ("7072 wait=2h", "invalid parameter \"wait=2h\""),
            ("7072 backlog=5", "invalid parameter \"backlog=5\""),
        ] {
            let (_, faults) = read(words);
            assert!(faults.len() == 1 && faults[0].starts_with(want), "{words}: {faults:?}");
        }
    }
}
