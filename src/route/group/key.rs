//! Who is to be sent somewhere, and the key that `hash` makes of it.

use std::net::IpAddr;

use crate::net::Endpoint;

/// Whose login it is that a server is chosen for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chooser {
    /// The name whose mailbox it is.
    pub login: Box<[u8]>,
    /// The client as we believe it to be; none of a unix socket.
    pub client: Option<IpAddr>,
    /// `imap`, `pop3` …
    pub protocol: &'static str,
}

impl Chooser {
    pub fn new(login: &[u8], client: &Endpoint, protocol: &'static str) -> Self {
        Self { login: login.into(), client: client.ip(), protocol }
    }
}

/// The key of `hash KEY`: text with parts of the login in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Login,
    User,
    Domain,
    RemoteAddr,
    Protocol,
}

const VARIABLES: [(&str, Part); 5] = [
    ("login", Part::Login),
    ("user", Part::User),
    ("domain", Part::Domain),
    ("remote_addr", Part::RemoteAddr),
    ("protocol", Part::Protocol),
];

impl KeyTemplate {
    /// # Errors
    /// What is wrong with it, for the configuration.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = text.split('$');
        let mut parts = Vec::new();
        let put = |parts: &mut Vec<Part>, text: &str| {
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
        };
        put(&mut parts, pieces.next().unwrap_or_default());
        for piece in pieces {
            let (name, rest) = match piece.strip_prefix('{') {
                Some(inside) => inside.split_once('}').unwrap_or_default(),
                None => {
                    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                    piece.split_at(piece.find(is_other).unwrap_or(piece.len()))
                }
            };
            if name.is_empty() {
                return Err(format!("invalid variable name in \"{text}\""));
            }
            let known = VARIABLES.into_iter().find(|(own, _)| *own == name);
            let (_, part) = known.ok_or_else(|| format!("unknown \"{name}\" variable"))?;
            parts.push(part);
            put(&mut parts, rest);
        }
        if !parts.iter().any(|part| !matches!(part, Part::Text(_))) {
            return Err(format!(
                "no variable in \"{text}\", so everybody would go to the same server"
            ));
        }
        Ok(Self(parts))
    }

    /// The key for one login. Logins count in lower case, as `route` takes them.
    pub fn fill(&self, chooser: &Chooser) -> Vec<u8> {
        let login = chooser.login.to_ascii_lowercase();
        let at = login.iter().rposition(|byte| *byte == b'@');
        let user = &login[..at.unwrap_or(login.len())];
        let domain = at.map_or(&[][..], |at| &login[at + 1..]);
        let mut key = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => key.extend_from_slice(text.as_bytes()),
                Part::Login => key.extend_from_slice(&login),
                Part::User => key.extend_from_slice(user),
                Part::Domain => key.extend_from_slice(domain),
                Part::RemoteAddr => {
                    let client = chooser.client.map(|ip| ip.to_string());
                    key.extend_from_slice(client.unwrap_or_default().as_bytes());
                }
                Part::Protocol => key.extend_from_slice(chooser.protocol.as_bytes()),
            }
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_filled_from_the_login_in_lower_case() {
        let client = "192.0.2.7:1".parse::<std::net::SocketAddr>().unwrap().into();
        let chooser = Chooser::new(b"MRose@Example.com", &client, "imap");
        for (text, want) in [
            ("$login", "mrose@example.com"),
            ("${user}x$domain", "mrosexexample.com"),
            ("$protocol-$remote_addr!", "imap-192.0.2.7!"),
        ] {
            let key = KeyTemplate::parse(text).unwrap().fill(&chooser);
            assert_eq!(key, want.as_bytes(), "{text}");
        }
        let bare = Chooser { login: b"Mrose".as_slice().into(), ..Chooser::default() };
        let fill = |text: &str| KeyTemplate::parse(text).unwrap().fill(&bare);
        assert_eq!(
            (fill("$user"), fill("[$domain$remote_addr]")),
            (b"mrose".to_vec(), b"[]".to_vec())
        );
    }

    #[test]
    fn a_key_that_cannot_be_filled_is_told() {
        for (text, want) in [
            ("$", "invalid variable name in \"$\""),
            ("${login", "invalid variable name in \"${login\""),
            ("$nix", "unknown \"nix\" variable"),
            ("abc", "no variable in \"abc\", so everybody would go to the same server"),
        ] {
            assert_eq!(KeyTemplate::parse(text), Err(want.to_owned()), "{text}");
        }
    }
}
