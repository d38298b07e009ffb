//! SASL LOGIN: the server asks for the name, then for the password
//! (draft-murchison-sasl-login-00, never an RFC, spoken by everyone).

use super::Error;

/// `Username:` in base64. Some clients look for these very words, so they are not ours to choose.
pub const ASK_USER: &str = "VXNlcm5hbWU6";
/// `Password:` in base64.
pub const ASK_PASSWORD: &str = "UGFzc3dvcmQ6";

/// The first answer, decoded.
pub fn user(decoded: &[u8]) -> Result<&[u8], Error> {
    super::user(decoded)
}

/// The second answer, decoded.
pub fn password(decoded: &[u8]) -> Result<&[u8], Error> {
    super::password(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sasl::encode;

    #[test]
    fn the_prompts_are_the_words_that_clients_look_for() {
        assert_eq!(encode(b"Username:"), ASK_USER);
        assert_eq!(encode(b"Password:"), ASK_PASSWORD);
    }

    #[test]
    fn an_answer_cannot_hold_a_second_command() {
        assert_eq!(user(b"mrose"), Ok(&b"mrose"[..]));
        assert_eq!(user(b"u\r\nDELE 1"), Err(Error::Control));
        assert_eq!(user(b""), Err(Error::NoUser));
        assert_eq!(password(b"p\0"), Err(Error::Control));
        assert_eq!(password(b""), Err(Error::NoPassword));
    }
}
