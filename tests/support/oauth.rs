//! A provider of tokens, as far as a mail server asks one: who is behind this token?

use std::net::SocketAddr;

use super::{Asked, FakeLookup};

/// Says of each token whose it is, to whoever asks by `Authorization: Bearer` (RFC 7662, and
/// OpenID's userinfo).
pub struct Provider(FakeLookup);

impl Provider {
    /// Knows these tokens and the users they were given to.
    pub fn start(tokens: &[(&str, &str)]) -> Self {
        let known = |(token, user): &(&str, &str)| (format!("Bearer {token}"), (*user).to_owned());
        let tokens: Vec<_> = tokens.iter().map(known).collect();
        Self(FakeLookup::start(move |asked| {
            let bearer = asked.get("Authorization");
            let known = tokens.iter().find(|(token, _)| token == bearer);
            let body = match known {
                Some((_, user)) => format!("{{\"active\": true, \"email\": \"{user}\"}}"),
                None => "{\"active\": false, \"error\": \"invalid_token\"}".to_owned(),
            };
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        }))
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.0.asked()
    }

    /// What Dovecot's `passdb oauth2` is told of it.
    pub fn for_dovecot(&self) -> String {
        format!(
            "introspection_url = http://{}/introspect\n\
             introspection_mode = auth\n\
             force_introspection = yes\n\
             username_attribute = email\n\
             active_attribute = active\n\
             active_value = true\n",
            self.addr()
        )
    }
}
