//! What a template is expanded with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::piece::Piece;

/// Variables by name, each with its [`Piece`]; a child inherits what it does not set itself.
///
/// Cloning and layering are cheap, since thousands of domains inherit from one server.
#[derive(Clone, Debug, Default)]
pub struct Values {
    own: Arc<BTreeMap<String, Piece>>,
    outer: Option<Arc<Self>>,
}

impl Values {
    /// Sets a variable to the program's own text, already formatted.
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.put(name, Piece::Code(text.into()));
    }

    pub fn put(&mut self, name: impl Into<String>, piece: Piece) {
        Arc::make_mut(&mut self.own).insert(name.into(), piece);
    }

    pub fn get(&self, name: &str) -> Option<&Piece> {
        self.own.get(name).or_else(|| self.outer.as_ref()?.get(name))
    }

    /// A child that inherits all of these.
    pub fn layered(&self) -> Self {
        Self { own: Arc::default(), outer: Some(Arc::new(self.clone())) }
    }

    /// Every name that is known, some twice.
    pub fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        let own = self.own.keys().map(String::as_str);
        match &self.outer {
            Some(outer) => Box::new(own.chain(outer.names())),
            None => Box::new(own),
        }
    }
}

/// What a header may repeat its file for.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// One for each virtual host, in order: `!{explode domain(vhn)}`.
    pub domains: Vec<Domain>,
    /// By service: `!{explode server(docs)}`.
    pub servers: BTreeMap<String, Vec<Values>>,
}

/// One virtual host of a domain.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// `vhn`, `vip`, `ssl.crt` and the others; what it does not set, the server's values give.
    pub values: Values,
    /// Whether clients are asked for certificates: only then is it one of `domain(vhn, sso)`.
    pub has_client_certificates: bool,
}
