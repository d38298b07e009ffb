//! An entry that was found: its name and its attributes' values. Pure.

use ldap3::asn1::{PL, StructureTag, TagClass};

use super::super::answer::Row;
use super::super::fault::Flaw;

/// RFC 4511 §4.5.2: `SearchResultEntry`.
const ENTRY: u64 = 4;
/// RFC 4511 §4.2.2 and §4.12: the code of a result, whatever it is of.
const ENUMERATED: u64 = 10;

/// `attribute`, `user_attribute`, `port_attribute`: what goes where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub server: String,
    pub login: Option<String>,
    pub port: Option<String>,
}

impl Attributes {
    /// What the directory is asked for.
    pub fn names(&self) -> Vec<String> {
        let more = [&self.login, &self.port].into_iter().flatten();
        [&self.server].into_iter().chain(more).cloned().collect()
    }
}

/// `SearchResultEntry ::= [APPLICATION 4] SEQUENCE { objectName, attributes }`, as far as it is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    attributes: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

impl Entry {
    pub fn read(tag: StructureTag) -> Option<Self> {
        if tag.id != ENTRY {
            return None;
        }
        let [name, attributes] = <[_; 2]>::try_from(tag.expect_constructed()?).ok()?;
        name.expect_primitive()?;
        let attribute = |tag: StructureTag| {
            let [kind, values] = <[_; 2]>::try_from(tag.expect_constructed()?).ok()?;
            let values = values.expect_constructed()?.into_iter();
            let values = values.map(StructureTag::expect_primitive).collect::<Option<_>>()?;
            Some((kind.expect_primitive()?, values))
        };
        let attributes = attributes.expect_constructed()?.into_iter();
        Some(Self { attributes: attributes.map(attribute).collect::<Option<_>>()? })
    }

    /// The row that it makes, with `port` where the entry has none of its own.
    pub fn row(&self, wanted: &Attributes, port: Option<u16>) -> Result<Row, Flaw> {
        let one = |name: &Option<String>| match name {
            Some(name) => self.value(name),
            None => Ok(None),
        };
        let own = one(&wanted.port)?;
        Ok(Row {
            server: self.value(&wanted.server)?,
            login: one(&wanted.login)?,
            port: own.or_else(|| port.map(|port| port.to_string())),
            ..Row::default()
        })
    }

    /// The one value of an attribute. Names of attributes are the same in either case.
    fn value(&self, name: &str) -> Result<Option<String>, Flaw> {
        let is_it = |(kind, _): &&(Vec<u8>, _)| kind.eq_ignore_ascii_case(name.as_bytes());
        // Some directories give the values of one attribute in several parts.
        let found = self.attributes.iter().filter(is_it);
        let values: Vec<_> = found.flat_map(|(_, values)| values).collect();
        match values.as_slice() {
            [] => Ok(None),
            [one] => match std::str::from_utf8(one) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(Flaw::Shape(format!("attribute \"{name}\" is no UTF-8"))),
            },
            _ => Err(Flaw::Ambiguous("more than one value of an attribute")),
        }
    }
}

/// The code of a response's result, of a message that the guard has let through.
pub fn result_code(message: StructureTag) -> Option<u8> {
    let op = message.expect_constructed()?.into_iter().nth(1)?;
    let code = op.expect_constructed()?.into_iter().next()?;
    match (code.class, code.id, code.payload) {
        (TagClass::Universal, ENUMERATED, PL::P(code)) => match code.as_slice() {
            [code] => Some(*code),
            _ => None,
        },
        _ => None,
    }
}

/// What must hold for any message that the guard lets through.
#[doc(hidden)]
pub fn hold_for(message: StructureTag) {
    let _ = result_code(message.clone());
    let op = message.expect_constructed().and_then(|parts| parts.into_iter().nth(1));
    if let Some(entry) = op.and_then(Entry::read) {
        let name = entry.attributes.first().map(|(kind, _)| String::from_utf8_lossy(kind));
        let server = name.unwrap_or_default().into_owned();
        let _ = entry.row(&Attributes { server, ..Attributes::default() }, Some(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(id: u64, bytes: &[u8]) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload: PL::P(bytes.to_vec()) }
    }

    fn node(id: u64, inside: Vec<StructureTag>) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload: PL::C(inside) }
    }

    fn entry(attributes: &[(&str, &[&[u8]])]) -> Option<Entry> {
        let attribute = |(name, values): &(&str, &[&[u8]])| {
            let values = values.iter().map(|value| leaf(4, value)).collect();
            node(16, vec![leaf(4, name.as_bytes()), node(17, values)])
        };
        let attributes = attributes.iter().map(attribute).collect();
        Entry::read(node(ENTRY, vec![leaf(4, b"uid=a"), node(16, attributes)]))
    }

    #[test]
    fn an_entry_becomes_a_row() {
        let wanted = Attributes {
            server: "zimbraMailHost".to_owned(),
            login: Some("uid".to_owned()),
            port: Some("port".to_owned()),
        };
        assert_eq!(wanted.names(), ["zimbraMailHost", "uid", "port"]);
        let row = |attributes: &[(&str, &[&[u8]])]| {
            let row = entry(attributes).unwrap().row(&wanted, Some(143));
            match row {
                Ok(Row { server, login, port, .. }) => format!("{server:?} {login:?} {port:?}"),
                Err(flaw) => flaw.to_string(),
            }
        };
        assert_eq!(
            row(&[("ZIMBRAmailhost", &[b"mbox1"]), ("uid", &[b"m"]), ("port", &[b"7143"])]),
            "Some(\"mbox1\") Some(\"m\") Some(\"7143\")"
        );
        assert_eq!(row(&[("other", &[b"x"])]), "None None Some(\"143\")");
        assert_eq!(row(&[("zimbraMailHost", &[])]), "None None Some(\"143\")");
        assert_eq!(
            row(&[("zimbraMailHost", &[b"a", b"b"])]),
            "more than one value of an attribute for one login: let there be one"
        );
        assert_eq!(
            row(&[("zimbraMailHost", &[b"a"]), ("ZimbraMailHost", &[b"b"])]),
            "more than one value of an attribute for one login: let there be one"
        );
        assert_eq!(row(&[("uid", &[b"\xff"])]), "attribute \"uid\" is no UTF-8");
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for tag in [
            node(5, vec![]),
            leaf(ENTRY, b"a"),
            node(ENTRY, vec![leaf(4, b"a")]),
            node(ENTRY, vec![leaf(4, b"a"), leaf(4, b"b")]),
            node(ENTRY, vec![leaf(4, b"a"), node(16, vec![leaf(4, b"b")])]),
            node(ENTRY, vec![leaf(4, b"a"), node(16, vec![node(16, vec![])])]),
        ] {
            assert_eq!(Entry::read(tag), None);
        }
    }
}
