//! Resolvers, one for each way that a configuration asks for names to be resolved.

use std::sync::Arc;

use crate::http::Names;
use crate::net::dns::{Resolver, Settings, Stale};
use crate::observe::{Level, Log};

/// The resolvers of one configuration. There are few ways to ask, so a list is enough.
#[derive(Debug, Default)]
pub struct Resolvers(Vec<(Settings, Names)>);

impl Resolvers {
    /// The one that resolves as `settings` say, and tells `log` when it has to use old answers.
    pub fn of(&mut self, settings: &Settings, log: &Log) -> Names {
        if let Some((_, names)) = self.0.iter().find(|(known, _)| known == settings) {
            return Arc::clone(names);
        }
        let log = log.clone();
        let tell = move |stale: Stale| {
            log.line(Level::Warn, None, format_args!("{}: using the last answer", stale.cause));
        };
        let names: Names = Arc::new(Resolver::new(settings.clone(), tell));
        self.0.push((settings.clone(), Arc::clone(&names)));
        names
    }
}
