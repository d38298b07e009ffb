//! SASL GSSAPI with a client (RFC 4752 §3.2), by the system's Kerberos library. Runs in the clerk.
//!
//! ```text
//! Context --token--> Context       the library wants more
//!         --token--> Final         it has a last token for the client, who answers with nothing
//!         --token--> Offered       it has none: the offer goes out at once
//! Final   --empty--> Offered
//! Offered --choice-> Over          Known
//! ```
//!
//! The offer is no security layer at all: what follows the login is in the clear or in TLS, as the
//! session is already.

use std::mem;

use libgssapi::context::{SecurityContext, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};

use super::Error;
use super::principal::{self, Principal};
use crate::login::Advice;

/// RFC 4752 §3.3: "No security layer".
const NO_LAYER: u8 = 1;

/// A service of ours with its keys: makes an exchange for each client.
#[derive(Debug)]
pub struct Acceptor {
    credentials: Cred,
    realm: Option<String>,
}

/// One exchange with a client.
#[derive(Debug)]
pub struct Rounds {
    state: State,
    realm: Option<String>,
}

#[derive(Debug, Default)]
enum State {
    Context(ServerCtx),
    Final(ServerCtx),
    Offered(ServerCtx),
    #[default]
    Over,
}

impl Acceptor {
    /// Finds the keys of `service` (`imap`, `pop`, …), on `host` where one is given. Users of
    /// `realm`, or else of the key's realm, are known by their bare names.
    pub fn new(service: &str, host: Option<&str>, realm: Option<&str>) -> Result<Self, Error> {
        let unable = |error: libgssapi::error::Error| Error::Unable(words(&error));
        let name = match host {
            // A principal's name rather than a service's: it is not looked up in the DNS.
            Some(host) => {
                let realm = realm.map(|realm| format!("@{realm}")).unwrap_or_default();
                let name = format!("{service}/{host}{realm}");
                Name::new(name.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))
            }
            // Without a host: any key of the service.
            None => Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)),
        };
        let name = name.map_err(unable)?;
        // RFC 4752 §3: Kerberos 5 and nothing else; SPNEGO is no part of this mechanism.
        let kerberos = OidSet::singleton(GSS_MECH_KRB5).map_err(unable)?;
        let credentials =
            Cred::acquire(Some(&name), None, CredUsage::Accept, Some(&kerberos)).map_err(unable)?;
        Ok(Self { credentials, realm: realm.map(str::to_owned) })
    }

    pub fn begin(&self) -> Rounds {
        let context = ServerCtx::new(Some(self.credentials.clone()));
        Rounds { state: State::Context(context), realm: self.realm.clone() }
    }
}

impl Rounds {
    /// Takes the client's next token. An error ends the exchange.
    pub fn accept(&mut self, token: &[u8]) -> Result<Advice, Error> {
        match mem::take(&mut self.state) {
            // To the library an empty token asks for SPNEGO, which is another mechanism.
            State::Context(_) if token.is_empty() => {
                Err(Error::Refused("no token where GSSAPI has one to send".to_owned()))
            }
            State::Context(mut context) => {
                let answer = context.step(token, None).map_err(|error| refused(&error))?;
                let answer = answer.map(|token| token.to_vec()).unwrap_or_default();
                if !context.is_complete() {
                    self.state = State::Context(context);
                    return Ok(Advice::Token(answer));
                }
                if answer.is_empty() {
                    return self.offer(context);
                }
                self.state = State::Final(context);
                Ok(Advice::Token(answer))
            }
            State::Final(context) if token.is_empty() => self.offer(context),
            State::Final(_) => {
                Err(Error::Refused("a token where GSSAPI has none to send".to_owned()))
            }
            State::Offered(mut context) => {
                let choice = context.unwrap(token).map_err(|error| refused(&error))?;
                self.known(&context, &choice)
            }
            State::Over => Err(Error::Refused("the GSSAPI exchange is over".to_owned())),
        }
    }

    /// RFC 4752 §3.2: a bit for each layer on offer, then the most that we take in one, which
    /// without a layer is 0.
    fn offer(&mut self, mut context: ServerCtx) -> Result<Advice, Error> {
        let offer = context.wrap(false, &[NO_LAYER, 0, 0, 0]).map_err(|error| refused(&error))?;
        self.state = State::Offered(context);
        Ok(Advice::Token(offer.to_vec()))
    }

    fn known(&self, context: &ServerCtx, choice: &[u8]) -> Result<Advice, Error> {
        let Some((&[layer, ..], authzid)) = choice.split_first_chunk::<4>() else {
            return Err(Error::Refused("a choice of layers that is too short".to_owned()));
        };
        if layer != NO_LAYER {
            return Err(Error::Refused("a security layer that was not offered".to_owned()));
        }
        let mechanism = context.mechanism().map_err(|error| refused(&error))?;
        if mechanism != GSS_MECH_KRB5 {
            return Err(Error::Refused(format!("{mechanism:?}, which is not Kerberos")));
        }
        let shown = |name: Result<Name, _>| {
            name.and_then(|name| name.display_name()).map_err(|error| refused(&error))
        };
        let source = shown(context.source_name())?;
        let client = Principal::parse(&source).map_err(Error::Refused)?;
        let target = shown(context.target_name())?;
        let ours = match &self.realm {
            Some(realm) => realm.as_bytes(),
            None => Principal::parse(&target).map_err(Error::Refused)?.realm,
        };
        let (user, authzid) = principal::known(client, ours, authzid).map_err(Error::Refused)?;
        Ok(Advice::Known { user, authzid })
    }
}

/// What the library refuses, it does so because of what the client sent, or because of keys that
/// the client's ticket was not made for: for the log, not for the client.
fn refused(error: &libgssapi::error::Error) -> Error {
    Error::Refused(words(error))
}

/// The library's words, in one line; without those that say only that there are others.
fn words(error: &libgssapi::error::Error) -> String {
    const EMPTY: &str = "Unspecified GSS failure.  Minor code may provide more information";
    let text = error.to_string().replace(char::is_control, " ");
    text.strip_prefix(EMPTY).unwrap_or(&text).trim().to_owned()
}
