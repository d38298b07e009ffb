//! As whom, and with what, an upstream is logged in to.

use super::super::directives::{SmtpLogin, Tells};
use crate::login::{Attempt, Mechanism, Proof, Secret, SmtpAuth};
use crate::route::Route;

/// As whom, and with what.
#[derive(Debug)]
pub struct Credentials {
    pub user: Box<[u8]>,
    pub authzid: Option<Box<[u8]>>,
    pub secret: Secret,
    pub proof: Proof,
    pub smtp_auth: SmtpAuth,
}

/// Why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// nginx's words, after `auth http server A:P`.
    #[error("did not send password")]
    Password,
    #[error("wants a master login, and no \"proxy_master_user\" is defined for the upstream")]
    Master,
    #[error("wants TLS with the upstream, which \"proxy_ssl_trusted_certificate\" does not allow")]
    Tls,
    /// The client's fault, not ours: it is told that it may not.
    #[error("nobody judges whom it acts for under \"proxy_smtp_auth off\"")]
    Judge,
}

impl Credentials {
    /// What `attempt` logs in with where `route` leads. `suffix` goes back to the mailbox's name.
    pub fn new(
        attempt: &Attempt,
        route: &Route,
        tells: &Tells,
        is_smtp: bool,
        suffix: &str,
    ) -> Result<Self, Lack> {
        let name = |route: &Option<Box<[u8]>>, own: &[u8]| route.as_deref().unwrap_or(own).to_vec();
        let mut user = name(&route.user, &attempt.user);
        let mut authzid = match (&route.authzid, &attempt.authzid) {
            (None, None) => None,
            (theirs, own) => Some(name(theirs, own.as_deref().unwrap_or_default())),
        };
        let mailbox = authzid.as_mut().unwrap_or(&mut user);
        mailbox.extend_from_slice(suffix.as_bytes());
        let smtp_auth = match (is_smtp, tells.smtp_auth) {
            (false, _) => SmtpAuth::Off,
            (true, _) if attempt.mechanism == Mechanism::Unasked => SmtpAuth::Off,
            // Who has vouched for the login, has: XCLIENT tells the rest. But nobody has vouched for
            // whom it acts for: that is for the upstream to judge.
            (true, SmtpLogin::As(SmtpAuth::Off)) if route.is_checked && authzid.is_some() => {
                return Err(Lack::Judge);
            }
            (true, SmtpLogin::As(SmtpAuth::Off)) if route.is_checked => SmtpAuth::Off,
            (true, SmtpLogin::Auto) if route.is_checked && authzid.is_none() && !route.master => {
                SmtpAuth::Off
            }
            (true, SmtpLogin::Auto | SmtpLogin::As(SmtpAuth::Off)) => SmtpAuth::Any,
            (true, SmtpLogin::As(way)) => way,
        };
        let needs_none = is_smtp && smtp_auth == SmtpAuth::Off;
        let own = match &route.secret {
            Some(secret) => Some((secret.clone(), Proof::Password)),
            None if attempt.mechanism.brings_password() => {
                Some((attempt.secret.clone(), Proof::Password))
            }
            None if attempt.mechanism.brings_token() => {
                Some((attempt.secret.clone(), Proof::Bearer(attempt.mechanism)))
            }
            None => None,
        };
        let (secret, proof) = match (own, &tells.master) {
            (own, Some(master)) if !needs_none && (route.master || own.is_none()) => {
                let mailbox = authzid.take().unwrap_or(user);
                user = master.user.clone().into_bytes();
                match master.separator {
                    Some(separator) => {
                        let mut both = mailbox;
                        both.extend_from_slice(separator.encode_utf8(&mut [0; 4]).as_bytes());
                        both.extend_from_slice(&user);
                        user = both;
                    }
                    None => authzid = Some(mailbox),
                }
                (master.secret.clone(), Proof::Password)
            }
            (_, None) if !needs_none && route.master => return Err(Lack::Master),
            (Some(own), _) => own,
            (None, _) if needs_none => (Secret::default(), Proof::Password),
            // A handler could have handed one back; the table cannot.
            (None, _) if route.is_checked => return Err(Lack::Password),
            (None, _) => return Err(Lack::Master),
        };
        Ok(Self { user: user.into(), authzid: authzid.map(Into::into), secret, proof, smtp_auth })
    }
}
