//! The listing of variables, as zmproxyconfgen prints it with `-d` and `-D`.

use std::fmt::{self, Display, Write as _};

use crate::settings::{Data, Format};

use super::Piece;

/// One variable with what it is and what it has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub keyword: String,
    pub description: String,
    /// `BOOLEAN`, `ENABLER`, `TIME`, `INTEGER`, `LONG`, `STRING` or `CUSTOM`.
    pub kind: &'static str,
    /// Zimbra's attribute; empty where no single one decides.
    pub attribute: &'static str,
    pub default: String,
    pub current: String,
    /// What a template gets.
    pub text: String,
}

impl Listed {
    pub(super) fn new(
        keyword: &str,
        description: &str,
        kind: &'static str,
        attribute: &'static str,
        default: String,
        current: String,
    ) -> Self {
        let (keyword, description) = (keyword.to_owned(), description.to_owned());
        Self { keyword, description, kind, attribute, default, current, text: String::new() }
    }

    pub(super) fn with(self, piece: &Piece) -> Self {
        Self { text: piece.show(), ..self }
    }
}

/// The block, with an empty line after it. Further lines of a value stand below its first.
impl Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attribute = if self.attribute.is_empty() { "(none)" } else { self.attribute };
        for (label, value) in [
            ("NGINX Keyword:", self.keyword.as_str()),
            ("Description:", &self.description),
            ("Value Type:", self.kind),
            ("Controlling Attribute:", attribute),
            ("Default Value:", &self.default),
            ("Current Value:", &self.current),
            ("Config Text:", &self.text),
        ] {
            let value = value.replace('\n', &format!("\n{:25}", ""));
            writeln!(f, "{}", format!("  {label:22} {value}").trim_end())?;
        }
        writeln!(f)
    }
}

/// Zimbra's word for a format.
pub(super) fn kind(format: Format) -> &'static str {
    match format {
        Format::Flag => "BOOLEAN",
        Format::Enabler | Format::Disabler => "ENABLER",
        Format::Milliseconds | Format::Seconds => "TIME",
        Format::Integer => "INTEGER",
        Format::Bytes => "LONG",
        Format::Text => "STRING",
        Format::List | Format::Words => "CUSTOM",
    }
}

/// A value before it is formatted.
pub(super) fn plain(data: &Data) -> String {
    match data {
        Data::Flag(flag) => flag.to_string(),
        other => other.to_string(),
    }
}

/// The table of all variables, for docs/templates.md.
pub fn markdown() -> String {
    let (_, _, listed) = super::values(&Default::default(), None, &[]);
    let mut text = "| variable | type | by default | what it is | Zimbra's attribute |\n|---|---|---|---|---|\n".to_owned();
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    for entry in listed {
        let Listed { keyword, description, kind, attribute, text: config, .. } = entry;
        let code = |text: &str| match text {
            "" => "–".to_owned(),
            text => format!("`{}`", cell(text)),
        };
        let (config, attribute) = (code(&config), code(attribute));
        let _ = writeln!(
            text,
            "| `{keyword}` | {} | {config} | {} | {attribute} |",
            kind.to_ascii_lowercase(),
            cell(&description)
        );
    }
    text
}
