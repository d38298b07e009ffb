//! Resolvers, one for each way that a configuration asks for names to be resolved.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::http::{Names, Resolve};
use crate::route::directives::Resolver as Settings;

/// The resolvers of one configuration.
#[derive(Debug, Default)]
pub struct Resolvers(HashMap<Settings, Names>);

impl Resolvers {
    /// The one that resolves as `settings` say.
    pub fn of(&mut self, settings: &Settings) -> Names {
        let names = self.0.entry(settings.clone());
        Arc::clone(names.or_insert_with(|| Arc::new(Dns)))
    }
}

#[derive(Debug)]
struct Dns;

impl Resolve for Dns {
    fn resolve<'a>(&'a self, name: &'a str) -> crate::http::Answer<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            let found: Vec<_> = found.map(|address| address.ip()).collect();
            if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
        })
    }
}
