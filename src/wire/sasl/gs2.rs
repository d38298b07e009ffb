//! The header that SCRAM and OAUTHBEARER begin with (RFC 5801 §4): whether the client binds itself
//! to the TLS channel, and whom it wants to be.

use super::{Error, MAX_USER, clean};

/// The header, told from what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// Whom to act as, if that is said.
    pub authzid: Option<Box<[u8]>>,
    /// The header's bytes, with its last comma.
    pub header: &'a [u8],
    pub rest: &'a [u8],
}

/// Splits the header off `message`.
pub fn split(message: &[u8]) -> Result<Split<'_>, Error> {
    let mut commas = message.iter().enumerate().filter(|(_, byte)| **byte == b',');
    let (Some((flag, _)), Some((end, _))) = (commas.next(), commas.next()) else {
        return Err(Error::Shape);
    };
    match &message[..flag] {
        // `y`: it could, and thinks that we cannot. It is right: we offer no -PLUS.
        b"n" | b"y" => {}
        [b'p', b'=', ..] => return Err(Error::Binding),
        _ => return Err(Error::Shape),
    }
    let authzid = match &message[flag + 1..end] {
        b"" => None,
        [b'a', b'=', name @ ..] => Some(unescape(name)?),
        _ => return Err(Error::Shape),
    };
    Ok(Split { authzid, header: &message[..=end], rest: &message[end + 1..] })
}

/// Undoes `=2C` and `=3D`, which stand for `,` and `=` in a name.
///
/// RFC 5802 §5.1: "If the server receives a username that contains '=' not followed by either '2C'
/// or '3D', then the server MUST fail the authentication."
pub fn unescape(name: &[u8]) -> Result<Box<[u8]>, Error> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, behind)) = rest.split_first() {
        rest = match (byte, behind) {
            (b'=', [b'2', b'C', behind @ ..]) => {
                plain.push(b',');
                behind
            }
            (b'=', [b'3', b'D', behind @ ..]) => {
                plain.push(b'=');
                behind
            }
            (b'=' | b',', _) => return Err(Error::Shape),
            _ => {
                plain.push(*byte);
                behind
            }
        };
    }
    super::user(&plain)?;
    Ok(plain.into())
}

/// Writes a name as [`unescape`] reads it.
pub fn escape(name: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    for byte in clean(name, MAX_USER)? {
        match byte {
            b',' => out.extend_from_slice(b"=2C"),
            b'=' => out.extend_from_slice(b"=3D"),
            _ => out.push(*byte),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_told_from_what_follows() {
        for (message, authzid, header, rest) in [
            ("n,,n=user,r=x", None, "n,,", "n=user,r=x"),
            ("y,,", None, "y,,", ""),
            ("n,a=u=2Cv=3Dw,\u{1}host=a,b", Some("u,v=w"), "n,a=u=2Cv=3Dw,", "\u{1}host=a,b"),
        ] {
            let authzid = authzid.map(|name| name.as_bytes().into());
            let want = Split { authzid, header: header.as_bytes(), rest: rest.as_bytes() };
            assert_eq!(split(message.as_bytes()), Ok(want), "{message:?}");
        }
    }

    #[test]
    fn names_each_breach() {
        for (message, want) in [
            ("", Error::Shape),
            ("n", Error::Shape),
            ("n,", Error::Shape),
            (",,", Error::Shape),
            ("F,n,,", Error::Shape),
            ("N,,", Error::Shape),
            ("n,b=u,", Error::Shape),
            ("n,u,", Error::Shape),
            ("p=tls-exporter,,", Error::Binding),
            ("n,a=,", Error::NoUser),
            ("n,a=u=,", Error::Shape),
            ("n,a=u=2,", Error::Shape),
            ("n,a=u=2c,", Error::Shape),
            ("n,a=u=41,", Error::Shape),
            ("n,a=u\r\nDELE 1,", Error::Control),
            ("n,a=u\0,", Error::Control),
        ] {
            assert_eq!(split(message.as_bytes()), Err(want), "{message:?}");
        }
    }

    #[test]
    fn what_is_escaped_is_read_back() {
        for name in ["u", ",", "=", "=2C", "a,b=c", "m\u{fc}"] {
            let mut out = Vec::new();
            escape(name.as_bytes(), &mut out).unwrap();
            assert!(!out.contains(&b','));
            assert_eq!(&*unescape(&out).unwrap(), name.as_bytes());
        }
        assert_eq!(escape(b"u\n", &mut Vec::new()), Err(Error::Control));
    }
}
