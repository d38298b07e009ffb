//! The postmaster's way in, which no route can take.

use std::sync::Arc;

use super::group::Groups;
use super::source::answer::Answer;
use super::table::{Destination, destination};
use super::{Asker, Error, NotFound, Route, Router};
use crate::config::Block;
use crate::login::name::is_postmasters;
use crate::login::{Attempt, Mechanism};

/// `postmaster`: where the postmaster's mailbox is.
#[derive(Clone, Debug)]
pub struct Postmaster {
    to: Destination,
    /// Its name there.
    login: Option<Box<[u8]>>,
}

impl Postmaster {
    /// None: nothing is said. None within: there is none.
    pub fn read(block: &Block, groups: &Groups) -> Option<Option<Arc<Self>>> {
        let at = block.statement("postmaster")?;
        let (to, options) = at.args().split_first()?;
        if to == "off" && options.is_empty() {
            return Some(None);
        }
        let mut login = None;
        for option in options {
            let name = option.strip_prefix("login=");
            match name.filter(|name| !name.is_empty() && !name.contains(char::is_control)) {
                Some(name) if login.is_none() => login = Some(name.as_bytes().into()),
                _ => block.fault(at, format!("invalid parameter \"{option}\"")),
            }
        }
        let to = destination(to, groups).map_err(|fault| block.fault(at, fault)).ok()?;
        Some(Some(Arc::new(Self { to, login })))
    }
}

impl Router {
    /// Whether `postmaster` is set.
    pub fn has_postmaster(&self) -> bool {
        self.postmaster.is_some()
    }

    /// Where the postmaster goes, before anybody is asked; none for everybody else.
    ///
    /// Any name before `@postmaster.local` is his, so that to have proved one of them to us, by a
    /// certificate, say, is no proof: only a password or a token is, which the upstream judges.
    pub(super) fn postmaster(
        &self,
        attempt: &Attempt,
        asker: &Asker,
    ) -> Option<Result<Route, NotFound>> {
        let Postmaster { to, login } = self.postmaster.as_deref()?;
        if !is_postmasters(attempt.mailbox()) {
            return None;
        }
        let mechanism = attempt.mechanism;
        let is_judged = mechanism.brings_password() || mechanism.brings_token();
        if !is_judged && mechanism != Mechanism::Unasked {
            return Some(Err(Error::Unshown.into()));
        }
        Some(Ok(self.lead(Answer::of(to.clone(), login.clone()), attempt, asker)))
    }
}
