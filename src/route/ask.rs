//! From what a lookup handler ruled to a route, or to why there is none.

use std::sync::Arc;

use super::group::Server;
use super::handler::{Denied, Handler, Regard, Ruling};
use super::lookup::{Accepted, Refused, nle};
use super::{Asker, Error, NotFound, Route, Router, Targets};
use crate::login::{Attempt, Kind, Mechanism, Refusal};

impl Router {
    /// Where `attempt` goes by `handler`. That it knows no such user is a [`NotFound`] that is
    /// keepable.
    pub(super) async fn ask(
        &self,
        handler: &Handler,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<Route, NotFound> {
        let told = |error| tell(Error::Handler(error));
        let ruling = handler.ask(attempt, asker, &told).await;
        handler.edges().for_each(|edge| tell(Error::Edge(edge)));
        let regard = handler.regard(attempt);
        match ruling.map_err(Error::from)? {
            // Credentials of the handler's own may act for anybody, and so may those of the master,
            // who logs in where the client has none to pass. A handler written for nginx has never
            // heard of the name that the client asked to act for.
            Ruling::Accepted(accepted, _)
                if attempt.authzid.is_some() && !is_own_login(attempt, &accepted) =>
            {
                Err(NotFound {
                    refusal: Refusal::new(Kind::Forbidden),
                    cause: None,
                    keepable: false,
                    unseen: false,
                })
            }
            Ruling::Accepted(accepted, handler) => Ok(self.accepted(accepted, handler, regard)),
            Ruling::Found(found, handler) => Ok(self.found(attempt, found, handler, regard)),
            Ruling::Refused(Refused { text, code, sasl, wait }) => {
                let refusal = Refusal::new(Kind::BadCredentials).with_text(text);
                // The challenge is for who can answer it.
                let sasl = sasl.filter(|_| attempt.mechanism.brings_token());
                // As nginx: who is not made to wait is sent away.
                let refusal = Refusal { code, sasl, wait, close: wait.is_zero(), ..refusal };
                let unseen = !handler.is_shown_secrets();
                Err(NotFound { refusal, cause: None, keepable: false, unseen })
            }
            Ruling::Denied(denied, name) => {
                let (keepable, wait) = match &denied {
                    Denied::Unknown(denied) => (regard.keepable, denied.wait),
                    Denied::Refused(denied) => (false, denied.wait),
                };
                // The words are for the log: they say whether there is such a user.
                let refusal = Refusal::new(Kind::BadCredentials);
                let refusal = Refusal { wait, close: wait.is_zero(), ..refusal };
                let cause = Some(Error::Denied { handler: name, denied });
                Err(NotFound { refusal, cause, keepable, unseen: !handler.is_shown_secrets() })
            }
        }
    }

    fn accepted(&self, accepted: Accepted, handler: String, regard: Regard) -> Route {
        let servers = Arc::new([Server::at(accepted.server)]);
        let has_secret = accepted.secret.is_some() || accepted.verifier.is_some();
        Route {
            keepable: regard.keepable && !has_secret && !accepted.master,
            account: accepted.user.clone(),
            user: accepted.user,
            secret: accepted.secret,
            is_checked: regard.vouches,
            handler: Some(handler.into()),
            security: accepted.security,
            master: accepted.master,
            verifier: accepted.verifier,
            ..self.route(Targets::new(servers, 0, &self.names))
        }
    }

    /// By Zimbra's protocol, which names the mailbox, as the table does, and checks nobody: except
    /// for a ticket, which it has been told of and has handed a token for.
    fn found(
        &self,
        attempt: &Attempt,
        found: nle::Found,
        handler: String,
        regard: Regard,
    ) -> Route {
        let nle::Found { server, account, alias_ok, id, secret } = found;
        let servers = Arc::new([Server::at(server)]);
        let mut route = self.route(Targets::new(servers, 0, &self.names));
        let renamed = account.clone().filter(|account| **account != *attempt.mailbox());
        match attempt.authzid {
            // Nobody logs in: what a recipient is called upstream names no sender.
            _ if attempt.mechanism == Mechanism::Unasked => {}
            Some(_) => (route.user, route.authzid) = (id, renamed),
            None => route.user = renamed,
        }
        Route {
            keepable: regard.keepable && secret.is_none(),
            is_checked: attempt.mechanism == Mechanism::Gssapi && secret.is_some(),
            account,
            is_alias: alias_ok,
            secret,
            handler: Some(handler.into()),
            ..route
        }
    }
}

/// Whether the upstream gets to judge the client's own credentials.
fn is_own_login(attempt: &Attempt, accepted: &Accepted) -> bool {
    (attempt.mechanism.brings_password() || attempt.mechanism.brings_token())
        && accepted.user.is_none()
        && accepted.secret.is_none()
        && !accepted.master
}
