//! From a Kerberos principal to the name of a user.

use crate::wire::sasl::MAX_USER;

/// A principal as the library shows it (RFC 1964 §2.1.1), without escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal<'a> {
    /// `mrose`, or `mrose/admin`.
    pub name: &'a [u8],
    pub realm: &'a [u8],
}

impl<'a> Principal<'a> {
    /// Reads `NAME@REALM`. A name that needs escapes is nobody's mailbox, and what is a separator
    /// to the library would be none to whoever reads the name next: it is refused.
    pub fn parse(text: &'a [u8]) -> Result<Self, String> {
        let parts = text.iter().position(|byte| *byte == b'@').map(|at| text.split_at(at));
        match parts {
            Some((name, [_, realm @ ..]))
                if !name.is_empty()
                    && !realm.is_empty()
                    && text.len() <= MAX_USER
                    && !realm.contains(&b'@')
                    && !text.iter().any(|byte| *byte == b'\\' || byte.is_ascii_control()) =>
            {
                Ok(Self { name, realm })
            }
            _ => Err(format!("a principal that is no user's: {}", text.escape_ascii())),
        }
    }

    /// Whether `authzid` is another name of the same user. Realms are written in capitals and mail
    /// domains are not, so their case does not count.
    fn is(self, authzid: &[u8], is_ours: bool) -> bool {
        let bare = is_ours && authzid == self.name;
        let whole = authzid
            .strip_prefix(self.name)
            .and_then(|rest| rest.strip_prefix(b"@"))
            .is_some_and(|realm| realm.eq_ignore_ascii_case(self.realm));
        bare || whole
    }
}

/// A user, and whose mailbox it wants if that is another's.
pub type Known = (Box<[u8]>, Option<Box<[u8]>>);

/// Who `client` is where `ours` is our realm, and who it asks to be.
pub fn known(client: Principal<'_>, ours: &[u8], authzid: &[u8]) -> Result<Known, String> {
    if authzid.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err("CR, LF or NUL in the authorization identity".to_owned());
    }
    if authzid.len() > MAX_USER {
        return Err("the authorization identity is too long".to_owned());
    }
    let is_ours = client.realm == ours;
    let user = match is_ours {
        true => client.name.into(),
        false => [client.name, b"@", client.realm].concat().into(),
    };
    let differs = !authzid.is_empty() && !client.is(authzid, is_ours);
    Ok((user, differs.then(|| authzid.into())))
}

/// What must hold for any bytes at all; the last line is the authorization identity.
#[cfg(test)]
fn hold_for_any(input: &[u8]) {
    let (authzid, shown) = match input.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => (&input[end + 1..], &input[..end]),
        None => (&b""[..], input),
    };
    let Ok(client) = Principal::parse(shown) else { return };
    for ours in [client.realm, b"OTHER"] {
        let Ok((user, authzid)) = known(client, ours, authzid) else { continue };
        for name in [Some(&user), authzid.as_ref()].into_iter().flatten() {
            assert!((1..=MAX_USER).contains(&name.len()));
            assert!(!name.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        assert_ne!(Some(&user), authzid.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_principal_is_a_name_and_a_realm() {
        let parsed = Principal::parse(b"mrose/admin@A.TEST").unwrap();
        assert_eq!((parsed.name, parsed.realm), (&b"mrose/admin"[..], &b"A.TEST"[..]));
        for wrong in
            ["", "mrose", "@A.TEST", "mrose@", "m\\@b@A.TEST", "m\\n@A.TEST", "m@b@A.TEST", "m\0@A"]
        {
            let words = Principal::parse(wrong.as_bytes()).unwrap_err();
            assert!(words.starts_with("a principal that is no user's"), "{wrong}: {words}");
        }
        assert!(Principal::parse(&[b'a'; 2000]).is_err());
    }

    #[test]
    fn our_realm_is_left_out_and_others_are_kept() {
        let known = |principal: &str, authzid: &str| {
            let client = Principal::parse(principal.as_bytes()).unwrap();
            let (user, other) = known(client, b"A.TEST", authzid.as_bytes()).unwrap();
            let other = other.map(|other| String::from_utf8(other.into()).unwrap());
            (String::from_utf8(user.into()).unwrap(), other.unwrap_or_default())
        };
        for (principal, authzid, user, other) in [
            ("mrose@A.TEST", "", "mrose", ""),
            ("mrose@A.TEST", "mrose", "mrose", ""),
            ("mrose@A.TEST", "mrose@A.TEST", "mrose", ""),
            ("mrose@A.TEST", "mrose@a.test", "mrose", ""),
            ("mrose@A.TEST", "Mrose@a.test", "mrose", "Mrose@a.test"),
            ("mrose@A.TEST", "kurt", "mrose", "kurt"),
            ("mrose@A.TEST", "mrose@b.test", "mrose", "mrose@b.test"),
            ("mrose@B.TEST", "", "mrose@B.TEST", ""),
            ("mrose@B.TEST", "mrose@b.test", "mrose@B.TEST", ""),
            // Somebody else's mrose is not ours.
            ("mrose@B.TEST", "mrose", "mrose@B.TEST", "mrose"),
            ("mrose@a.test", "", "mrose@a.test", ""),
        ] {
            assert_eq!(known(principal, authzid), (user.into(), other.into()), "{principal}");
        }
    }

    #[test]
    fn an_authorization_identity_cannot_break_out_of_its_line() {
        let client = Principal { name: b"mrose", realm: b"A.TEST" };
        for authzid in [&b"a\r\nDELE 1"[..], b"a\0b", &[b'a'; MAX_USER + 1]] {
            assert!(known(client, b"A.TEST", authzid).is_err());
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_names(input in prop::collection::vec(
            prop::sample::select(b"ab@@/\\\n\r\0TEST\xff".to_vec()), 0..30)) {
            hold_for_any(&input);
        }
    }
}
