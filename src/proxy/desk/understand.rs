//! What a client's names mean here: master users, and the suffixes that some clients hang on.

use super::super::directives::Settings;
use super::super::site::Site;
use crate::login::name::Name;
use crate::login::{Attempt, Mechanism};

/// The attempt as its names are meant, and the suffix that the upstream's name of the mailbox has.
///
/// A message without a login is for its recipient: that is whose server is looked for.
pub fn understand(site: &Site, attempt: &Attempt) -> (Attempt, String) {
    let mut attempt = attempt.clone();
    // A principal is nothing that a client hangs suffixes on.
    if attempt.envelope.is_some() || attempt.mechanism == Mechanism::Gssapi {
        return (attempt, String::new());
    }
    let Settings { separator, suffixes, .. } = &site.settings;
    // Whose password it is can be another's only where there is one.
    let separator = separator
        .filter(|_| attempt.authzid.is_none() && attempt.mechanism.brings_password())
        .and_then(|mark| u8::try_from(mark).ok());
    let name = attempt.mailbox().to_vec();
    let name = Name::split(&name, separator, suffixes);
    let suffix = String::from_utf8_lossy(name.suffix.unwrap_or_default()).into_owned();
    let mailbox = name.mailbox.into();
    match (name.master, &mut attempt.authzid) {
        (Some(master), authzid) => {
            attempt.user = master.into();
            *authzid = Some(mailbox);
        }
        (None, Some(authzid)) => *authzid = mailbox,
        (None, None) => attempt.user = mailbox,
    }
    (attempt, suffix)
}
