//! What goes between gatepost and its clerk, over a socket of their own.
//!
//! A frame is its length in four bytes, a tag, then fields, each with its length in four bytes. Both
//! ends are the same program; what does not fit is a bug, or the clerk's memory gone wrong, so the
//! reader trusts no length.

use std::io::{self, ErrorKind, Read, Write};

use super::Error;
use crate::login::Advice;

/// The longest frame. SASL messages are shorter (`wire::sasl::MAX_ENCODED`).
const MAX_FRAME: usize = 1 << 20;

/// What the clerk is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// The client's token in this exchange; the first one begins it.
    Take { exchange: u64, service: String, token: Vec<u8> },
    /// The exchange is over, or nobody waits for its end any more.
    Forget { exchange: u64 },
}

impl Order {
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Take { exchange, service, token } => {
                write(to, b't', &[&exchange.to_be_bytes(), service.as_bytes(), token])
            }
            Self::Forget { exchange } => write(to, b'f', &[&exchange.to_be_bytes()]),
        }
    }

    /// The next order; none once the other end is closed.
    #[cfg(any(feature = "krb5", test))] // the clerk's half
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let (tag, fields) = match read(from) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        let number = |field: &[u8]| field.try_into().map(u64::from_be_bytes).map_err(|_| odd());
        Ok(Some(match (tag, &fields[..]) {
            (b't', [exchange, service, token]) => Self::Take {
                exchange: number(exchange)?,
                service: String::from_utf8_lossy(service).into_owned(),
                token: token.clone(),
            },
            (b'f', [exchange]) => Self::Forget { exchange: number(exchange)? },
            _ => return Err(odd()),
        }))
    }
}

/// Writes the clerk's answer.
#[cfg(any(feature = "krb5", test))]
pub fn write_answer(answer: &Result<Advice, Error>, to: &mut impl Write) -> io::Result<()> {
    match answer {
        Ok(Advice::Token(token)) => write(to, b'T', &[token]),
        Ok(Advice::Known { user, authzid }) => match authzid {
            Some(authzid) => write(to, b'K', &[user, authzid]),
            None => write(to, b'K', &[user]),
        },
        Ok(_) => Err(odd()),
        Err(Error::Refused(words)) => write(to, b'R', &[words.as_bytes()]),
        Err(Error::Unable(words)) => write(to, b'U', &[words.as_bytes()]),
    }
}

/// Reads the clerk's answer.
pub fn read_answer(from: &mut impl Read) -> io::Result<Result<Advice, Error>> {
    let (tag, fields) = read(from)?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    Ok(match (tag, &fields[..]) {
        (b'T', [token]) => Ok(Advice::Token(token.clone())),
        (b'K', [user]) => Ok(Advice::Known { user: user.as_slice().into(), authzid: None }),
        (b'K', [user, authzid]) => Ok(Advice::Known {
            user: user.as_slice().into(),
            authzid: Some(authzid.as_slice().into()),
        }),
        (b'R', [words]) => Err(Error::Refused(text(words))),
        (b'U', [words]) => Err(Error::Unable(text(words))),
        _ => return Err(odd()),
    })
}

fn write(to: &mut impl Write, tag: u8, fields: &[&[u8]]) -> io::Result<()> {
    let mut frame = vec![0; 4];
    frame.push(tag);
    for field in fields {
        frame.extend(length(field.len())?);
        frame.extend(*field);
    }
    let size = length(frame.len() - 4)?;
    frame[..4].copy_from_slice(&size);
    to.write_all(&frame)
}

fn length(length: usize) -> io::Result<[u8; 4]> {
    match u32::try_from(length) {
        Ok(fits) if length <= MAX_FRAME => Ok(fits.to_be_bytes()),
        _ => Err(odd()),
    }
}

fn read(from: &mut impl Read) -> io::Result<(u8, Vec<Vec<u8>>)> {
    let mut size = [0; 4];
    from.read_exact(&mut size)?;
    let size = u32::from_be_bytes(size) as usize;
    if size > MAX_FRAME {
        return Err(odd());
    }
    let mut frame = vec![0; size];
    from.read_exact(&mut frame)?;
    let (tag, mut rest) = frame.split_first().ok_or_else(odd)?;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (size, behind) = rest.split_first_chunk().ok_or_else(odd)?;
        let size = u32::from_be_bytes(*size) as usize;
        fields.push(behind.get(..size).ok_or_else(odd)?.to_vec());
        rest = &behind[size..];
    }
    Ok((*tag, fields))
}

fn odd() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a frame that nobody writes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> [Order; 3] {
        let (exchange, service) = (7, "imap".to_owned());
        [
            Order::Take { exchange, service: service.clone(), token: b"\0\xffx".to_vec() },
            Order::Take { exchange: u64::MAX, service, token: Vec::new() },
            Order::Forget { exchange },
        ]
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let mut wire = Vec::new();
        orders().iter().for_each(|order| order.write(&mut wire).unwrap());
        let mut from = &wire[..];
        for order in orders() {
            assert_eq!(Order::read(&mut from).unwrap(), Some(order));
        }
        assert_eq!(Order::read(&mut from).unwrap(), None);
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let user: Box<[u8]> = (*b"mrose").into();
        for answer in [
            Ok(Advice::Token(b"t".to_vec())),
            Ok(Advice::Token(Vec::new())),
            Ok(Advice::Known { user: user.clone(), authzid: None }),
            Ok(Advice::Known { user, authzid: Some((*b"kurt").into()) }),
            Err(Error::Refused("no".to_owned())),
            Err(Error::Unable("not now".to_owned())),
        ] {
            let mut wire = Vec::new();
            write_answer(&answer, &mut wire).unwrap();
            let read = read_answer(&mut &wire[..]).unwrap();
            assert_eq!(format!("{read:?}"), format!("{answer:?}"));
        }
    }

    #[test]
    fn nonsense_is_an_error_and_takes_no_memory() {
        for wrong in [
            &b"\0\0\0\0"[..],
            b"\0\0\0\x01?",
            b"\xff\xff\xff\xff",
            b"\0\0\0\x05R\0\0\0\x09",
            b"\0\0\0\x03R\0\0",
            b"\0\0\0\x0af\0\0\0\x05aaaaa",
        ] {
            assert!(read_answer(&mut &wrong[..]).is_err(), "{wrong:?}");
            assert!(Order::read(&mut &wrong[..]).is_err(), "{wrong:?}");
        }
        let long = Order::Take { exchange: 1, service: String::new(), token: vec![0; MAX_FRAME] };
        assert!(long.write(&mut Vec::new()).is_err());
    }
}
