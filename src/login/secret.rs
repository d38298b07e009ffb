//! Bytes that no log line may show.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that no log line may show, wiped from memory on drop.
///
/// There is no `Display`, no `Deref` and no `PartialEq`: [`Secret::reveal`] is the one way in, so a
/// search for that word finds every place that handles a password.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. For the upstream's command line and the lookup's header only.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)") // in debug builds too: test logs leak as well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("tanstaaf")), "Secret(..)");
    }
}
