//! What is asked of a source. Pure.

use super::super::asker::Asker;
use super::super::template::parts;
use super::sql::Name;
use crate::login::Attempt;

/// The names that a question may hang on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose mailbox it is, as the client wrote it.
    pub login: Box<[u8]>,
    pub protocol: &'static str,
    /// None of a client without an address.
    pub client_ip: Option<String>,
}

impl Question {
    pub fn new(attempt: &Attempt, asker: &Asker) -> Self {
        Self {
            login: attempt.mailbox().into(),
            protocol: asker.protocol,
            client_ip: asker.client.ip().map(|ip| ip.to_string()),
        }
    }

    /// The login as text. What is none is in no directory.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.login).ok().filter(|text| !text.contains('\0'))
    }

    /// What stands before the last `@`.
    pub fn local(&self) -> &[u8] {
        parts(&self.login).0
    }

    pub fn domain(&self) -> Option<&[u8]> {
        parts(&self.login).1
    }

    /// The values for `names`, in their order; none if the login is no text.
    pub fn values(&self, names: &[Name]) -> Option<Vec<Option<String>>> {
        let login = self.text()?;
        let (local, domain) = match login.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain.to_owned())),
            None => (login, None),
        };
        let value = |name: &Name| match name {
            Name::User | Name::Login => Some(login.to_owned()),
            Name::Local => Some(local.to_owned()),
            Name::Domain => domain.clone(),
            Name::Protocol => Some(self.protocol.to_owned()),
            Name::ClientIp => self.client_ip.clone(),
        };
        Some(names.iter().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_cut_at_the_last_at() {
        let ask = |login: &[u8]| Question {
            login: login.into(),
            protocol: "imap",
            client_ip: Some("192.0.2.1".to_owned()),
        };
        let all = |login: &[u8]| {
            let values = ask(login).values(&Name::ALL)?;
            let texts = values.into_iter().map(|value| value.unwrap_or("NULL".to_owned()));
            Some(texts.collect::<Vec<_>>().join(" "))
        };
        let want = "a@b@c.example a@b@c.example a@b c.example imap 192.0.2.1";
        assert_eq!(all(b"a@b@c.example").as_deref(), Some(want));
        assert_eq!(all(b"a").as_deref(), Some("a a a NULL imap 192.0.2.1"));
        assert_eq!(all(b"a\xff"), None);
        assert_eq!(all(b"a\0"), None);
    }
}
