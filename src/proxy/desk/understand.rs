//! What a client's names mean here: master users, the suffixes that some clients hang on, names
//! without a domain, and the postmaster's.

use super::super::site::Site;
use crate::login::name::{Rules, has_domain};
use crate::login::{Attempt, Mechanism};
use crate::net::Endpoint;
use crate::observe::escape::Quoted;

/// The attempt as its names are meant, and the suffix that the upstream's name of the mailbox has.
///
/// A message without a login is for its recipient: that is whose server is looked for.
pub fn understand(site: &Site, attempt: &Attempt) -> (Attempt, String) {
    rules(site).apply(attempt)
}

/// Whose secret is guessed at by an attempt that is [understood](understand), however it is spelled.
pub fn owner(site: &Site, meant: &Attempt) -> Box<[u8]> {
    rules(site).owner(meant)
}

fn rules(site: &Site) -> Rules<'_> {
    let settings = &site.settings;
    Rules {
        separator: settings.separator.and_then(|mark| u8::try_from(mark).ok()),
        suffixes: &settings.suffixes,
        domain: settings.default_domain.as_deref(),
        postmaster: site.router.has_postmaster(),
    }
}

/// What the log is told where nobody knows a login for want of its domain: what would have given it
/// one.
pub fn lack_of_domain(site: &Site, attempt: &Attempt, local: &Endpoint) -> Option<String> {
    let mailbox = attempt.mailbox();
    let is_bare = site.settings.default_domain.is_none()
        && attempt.mechanism != Mechanism::Unasked
        && !mailbox.is_empty()
        && !has_domain(mailbox);
    is_bare.then(|| {
        let local = local.ip().map_or_else(|| local.to_string(), |ip| ip.to_string());
        format!(
            "login \"{}\" has no domain, and none is set for {local}: default_domain",
            Quoted(mailbox)
        )
    })
}
