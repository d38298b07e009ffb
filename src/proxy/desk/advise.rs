//! What an exchange asks for before there is anything to rule on: SCRAM's verifier, and what a
//! Kerberos token is worth.

use std::sync::{LazyLock, PoisonError};

use super::super::kerberos;
use super::super::session::chance;
use super::understand::understand;
use super::{Desk, Found, Missed};
use crate::login::{Advice, Attempt, Kind, Mechanism, Refusal, Secret};
use crate::observe::Level;
use crate::observe::escape::Quoted;
use crate::route::Route;
use crate::wire::sasl::scram::Verifier;

/// What was found for an attempt that is still to be proved.
#[derive(Debug)]
pub struct Asked {
    pub user: Box<[u8]>,
    pub authzid: Option<Box<[u8]>>,
    pub found: Found,
}

impl Asked {
    /// What was found is for that attempt alone: a client may have begun with one name and gone on
    /// with another, or by another mechanism.
    pub fn is_for(&self, attempt: &Attempt) -> bool {
        attempt.mechanism == Mechanism::ScramSha256
            && (&self.user, &self.authzid) == (&attempt.user, &attempt.authzid)
    }
}

impl Desk<'_> {
    /// SCRAM: what the client's proof is checked against, for users that nobody knows too.
    pub async fn verifier(&self, attempt: Attempt) -> Result<Advice, Refusal> {
        let site = self.session.site();
        self.note(&site, &attempt);
        let (known, _) = understand(&site, &attempt);
        // Counted when the proof is there; until then it only has to wait its turn.
        if let Some(entry) = self.begin(&site, &known).await? {
            entry.unknown();
        }
        let found = Box::pin(self.find(&site, &known)).await;
        if let Err(missed) = &found {
            let refusal = missed.clone().into_refusal();
            let is_for_later = matches!(refusal.kind, Kind::Unavailable | Kind::Internal)
                || refusal.code.as_deref().is_some_and(|code| code.starts_with('4'));
            if is_for_later {
                let refused: Result<(), _> = Err(refusal.clone());
                self.conclude(&site, attempt.mechanism, &refused);
                return Err(refusal);
            }
        }
        let text = found.as_ref().ok().and_then(Route::verifier);
        let verifier = text.and_then(|text| Verifier::parse(text.as_bytes()).ok());
        if found.is_ok() && verifier.is_none() {
            let words = "auth http server sent no verifier that can be read";
            self.session.log(Level::Error, Some("in http auth state"), words);
        }
        // By the name that is looked up: one that is known has the same salt with any suffix.
        let verifier = verifier.unwrap_or_else(|| Verifier::fake(&known.user, &FAKES[..]));
        let Attempt { user, authzid, .. } = attempt;
        let asked = Asked { user, authzid, found };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(Advice::Verifier(verifier))
    }

    /// GSSAPI: what the client's token is worth. A refused one counts as an attempt.
    pub async fn ticket(&self, token: &[u8], is_first: bool) -> Result<Advice, Refusal> {
        let site = self.session.site();
        let mut rounds = self.rounds.lock().await;
        if is_first {
            *rounds = site.kerberos.as_ref().map(|kerberos| kerberos.begin(site.words.name));
        }
        let Some(going_on) = rounds.as_mut() else { return Err(Refusal::new(Kind::Internal)) };
        let error = match going_on.accept(token).await {
            Ok(advice) => return Ok(advice),
            Err(error) => error,
        };
        let text = error.to_string();
        let words = format!("client login failed: \"{}\"", Quoted(text.as_bytes()));
        let level = match &error {
            kerberos::Error::Refused(_) => Level::Info,
            kerberos::Error::Unable(_) => Level::Error,
        };
        self.session.log(level, Some("in auth state"), words);
        let attempt = Attempt::new(Mechanism::Gssapi, Vec::new(), Secret::default());
        self.note(&site, &attempt);
        let entry = self.begin(&site, &attempt).await?;
        let missed = Missed::Unknown(Refusal::new(error.kind()));
        let refusal = self.end(&site, &attempt, entry, missed).await;
        let refused = Err(refusal);
        self.conclude(&site, Mechanism::Gssapi, &refused);
        refused
    }
}

/// What makes up verifiers for users that nobody knows.
static FAKES: LazyLock<[u8; 32]> = LazyLock::new(chance);
