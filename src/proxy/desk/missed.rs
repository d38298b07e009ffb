//! Why a login has not led in, and who says so.

use crate::login::{Kind, Refusal};
use crate::route::Reason;

/// Why a login has not led in.
#[derive(Clone, Debug)]
pub enum Missed {
    /// Nobody has seen the secret, and nobody knows the user.
    Unknown(Refusal),
    /// We refuse, or a lookup handler that was shown the secret.
    Refused(Refusal),
    /// The upstream refuses.
    Upstream(Refusal),
    /// No address could be reached, or none that was had anything to say.
    Unreachable,
    /// As that, and it has been so for a while: what clients are told meanwhile.
    Gone(Refusal),
}

impl Missed {
    /// Whether another server may know better: nobody was reached, or whoever was does not know the
    /// user by that password.
    pub fn is_worth_another_look(&self) -> Option<Reason> {
        match self {
            Self::Upstream(refusal) if refusal.kind == Kind::BadCredentials => {
                Some(Reason::LoginRefused)
            }
            Self::Unreachable | Self::Gone(_) => Some(Reason::ConnectFailed),
            Self::Upstream(_) | Self::Unknown(_) | Self::Refused(_) => None,
        }
    }

    /// Whether nobody knows the user, and nobody has seen the secret to say so.
    pub fn is_nobody(&self) -> bool {
        let is_final = |refusal: &Refusal| {
            let is_for_later = refusal.code.as_deref().is_some_and(|code| code.starts_with('4'));
            refusal.kind == Kind::BadCredentials && !is_for_later
        };
        matches!(self, Self::Unknown(refusal) if is_final(refusal))
    }

    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::Unknown(refusal)
            | Self::Refused(refusal)
            | Self::Upstream(refusal)
            | Self::Gone(refusal) => refusal,
            Self::Unreachable => Refusal::new(Kind::Unavailable),
        }
    }
}

impl From<Refusal> for Missed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
