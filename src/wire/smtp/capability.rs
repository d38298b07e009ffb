//! What an upstream lists in its answer to EHLO or LHLO (RFC 5321 §4.1.1.1).

use super::reply::Reply;
use super::xclient::Attribute;

/// What an upstream can do, of what matters to us, and all the rest for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// There was a list: what it does not name is not there. A reply of one line says nothing.
    pub listed: bool,
    pub starttls: bool,
    pub pipelining: bool,
    /// SASL names, in upper case.
    pub auth: Vec<String>,
    /// The attributes that XCLIENT takes, those we know, in the upstream's order.
    pub xclient: Option<Vec<Attribute>>,
    /// Keywords with their parameters, as they came, but for AUTH, STARTTLS and XCLIENT: those are
    /// between the upstream and us. Printable ASCII.
    pub offers: Vec<String>,
}

impl Capabilities {
    /// An upstream that knows no extensions: it has answered HELO.
    pub fn none() -> Self {
        Self { listed: true, ..Self::default() }
    }

    /// Takes note of each line behind the first, which is a greeting.
    pub fn read(reply: &Reply<'_>) -> Self {
        let mut known = Self::default();
        for line in reply.lines().skip(1) {
            known.listed = true;
            known.note(line.trim_ascii());
        }
        known
    }

    fn note(&mut self, line: &[u8]) {
        // `AUTH=LOGIN`: from before the standard, and still on the air beside `AUTH LOGIN`.
        let separates = |byte: &u8| matches!(byte, b' ' | b'=');
        let end = line.iter().position(separates).unwrap_or(line.len());
        let keyword = line[..end].to_ascii_uppercase();
        let parameters = line.get(end + 1..).unwrap_or_default();
        let words = parameters.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        match keyword.as_slice() {
            b"STARTTLS" => self.starttls = true,
            b"AUTH" => {
                for word in words {
                    let name = String::from_utf8_lossy(word).to_ascii_uppercase();
                    if !self.auth.contains(&name) {
                        self.auth.push(name);
                    }
                }
            }
            b"XCLIENT" => {
                let attributes = self.xclient.get_or_insert_default();
                for attribute in words.filter_map(Attribute::by_name) {
                    if !attributes.contains(&attribute) {
                        attributes.push(attribute);
                    }
                }
            }
            _ => {
                self.pipelining |= keyword == b"PIPELINING";
                let printable = line.iter().all(|byte| matches!(byte, b' '..=b'~'));
                if let (Ok(text), true, false) = (str::from_utf8(line), printable, line.is_empty())
                {
                    self.offers.push(text.to_owned());
                }
            }
        }
    }

    /// Whether AUTH takes the mechanism of that name; true where nothing was listed.
    pub fn may_auth(&self, name: &str) -> bool {
        !self.listed || self.auth.iter().any(|own| own == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Parsed;
    use crate::wire::smtp::reply;

    fn read(text: &str) -> Capabilities {
        let Parsed::Whole(reply, _) = reply::parse(text.as_bytes()) else { panic!("{text:?}") };
        Capabilities::read(&reply)
    }

    #[test]
    fn keywords_are_read_in_any_case() {
        let known = read(
            "250-mx.example says STARTTLS\r\n250-size 10240000\r\n250-Pipelining\r\n\
             250-auth plain LOGIN\r\n250-AUTH=LOGIN XOAUTH2\r\n250-StartTLS\r\n\
             250-XCLIENT name ADDR FUTURE port ADDR\r\n250 DSN\r\n",
        );
        let want = Capabilities {
            listed: true,
            starttls: true,
            pipelining: true,
            auth: ["PLAIN", "LOGIN", "XOAUTH2"].map(str::to_owned).into(),
            xclient: Some(vec![Attribute::Name, Attribute::Addr, Attribute::Port]),
            offers: ["size 10240000", "Pipelining", "DSN"].map(str::to_owned).into(),
        };
        assert_eq!(known, want);
        assert!(known.may_auth("PLAIN") && !known.may_auth("CRAM-MD5"));
    }

    #[test]
    fn an_upstream_that_lists_nothing_does_not_say_what_it_lacks() {
        assert!(read("250 hello ok\r\n").may_auth("PLAIN"));
        assert!(!read("250-hello\r\n250 SIZE\r\n").may_auth("PLAIN"));
        assert!(!Capabilities::none().may_auth("PLAIN"));
    }

    #[test]
    fn what_cannot_be_passed_on_is_left_out() {
        assert_eq!(read("250-hello\r\n250-A\tB\r\n250-\r\n250 \u{fc}\r\n").offers.len(), 0);
        assert_eq!(read("250-hello\r\n250 XCLIENT\r\n").xclient, Some(vec![]));
    }
}
