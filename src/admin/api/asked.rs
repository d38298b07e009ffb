//! Reading a question: a query string or a JSON body, from whoever reaches the listener.

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{MOST_ROWS, Problem, ROWS};

/// The longest body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The longest text in a question, in bytes.
const MAX_TEXT: usize = 1024;

/// A question, not yet understood.
#[derive(Clone, Debug)]
pub enum Asked {
    Query(String),
    Body(Bytes),
}

/// What can be asked. Fields that it does not have are refused.
pub trait Ask: DeserializeOwned {
    /// What its fields must be besides what their types say.
    fn check(&self) -> Result<(), Problem> {
        Ok(())
    }
}

impl Asked {
    pub fn read<T: Ask>(&self) -> Result<T, Problem> {
        let value = match self {
            Self::Query(query) => from_query(query)?,
            // Who has nothing to say may leave the body out.
            Self::Body(body) if body.is_empty() => Value::Object(Map::new()),
            Self::Body(body) => serde_json::from_slice(body)
                .map_err(|error| Problem::bad(format!("the body is no JSON: {error}")))?,
        };
        if !value.is_object() {
            return Err(Problem::bad("the body must be a JSON object"));
        }
        check_texts(&value)?;
        let ask: T = serde_json::from_value(value).map_err(|error| {
            let (text, mut problem) = (error.to_string(), Problem::bad(""));
            if text.starts_with("unknown field") {
                problem.code = "unknown_field";
            }
            Problem { text, ..problem }
        })?;
        ask.check()?;
        Ok(ask)
    }
}

/// `a=b&c=d` as an object of texts. A key that is given twice is refused: which one was meant?
fn from_query(query: &str) -> Result<Value, Problem> {
    let mut fields = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key)?, decoded(value)?);
        if fields.contains_key(&key) {
            return Err(Problem::bad("a field is given twice in the query"));
        }
        fields.insert(key, Value::String(value));
    }
    Ok(Value::Object(fields))
}

fn decoded(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::bad("the query is not percent-encoded UTF-8");
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = rest.split_at_checked(2).ok_or_else(wrong)?;
                let hex = std::str::from_utf8(digits.0).map_err(|_| wrong())?;
                // `from_str_radix` takes a sign.
                if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return Err(wrong());
                }
                out.push(u8::from_str_radix(hex, 16).map_err(|_| wrong())?);
                rest = digits.1;
            }
            byte => out.push(*byte),
        }
    }
    String::from_utf8(out).map_err(|_| wrong())
}

/// What is asked ends up in logs, keys and answers: no text may be long or steer a terminal.
fn check_texts(value: &Value) -> Result<(), Problem> {
    match value {
        Value::String(text) => check_text(text),
        Value::Array(all) => all.iter().try_for_each(check_texts),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            check_text(key)?;
            check_texts(value)
        }),
        _ => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), Problem> {
    if text.len() > MAX_TEXT {
        return Err(Problem::bad(format!("a text is longer than {MAX_TEXT} bytes")));
    }
    if text.contains(char::is_control) {
        return Err(Problem::bad("a text has a control character in it"));
    }
    Ok(())
}

/// A number, also as the text that a query has.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Option::<Written>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Number(number)) => Ok(Some(number)),
        Some(Written::Text(text)) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(D::Error::custom(format!("\"{text}\" is no number"))),
        },
    }
}

/// How many rows are wanted: 1 to [`MOST_ROWS`].
pub fn check_limit(limit: Option<u64>) -> Result<(), Problem> {
    match limit.unwrap_or(ROWS) {
        1..=MOST_ROWS => Ok(()),
        _ => Err(Problem::bad(format!("\"limit\" must be from 1 to {MOST_ROWS}"))),
    }
}

pub fn check_named(what: &str, text: &str) -> Result<(), Problem> {
    match text.is_empty() {
        true => Err(Problem::bad(format!("\"{what}\" is empty"))),
        false => Ok(()),
    }
}

/// What must hold for any bytes at all: a question is understood, within its bounds, or refused in a
/// line that can be shown.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    use super::{
        DoctorAsk, EndAsk, ForgiveAsk, HandlerAsk, ListAsk, MaintainAsk, MoveAsk, OffendersAsk,
        PurgeAsk, ReportAsk, ServersAsk, SessionsAsk, UserAsk,
    };
    fn hold<T: Ask>(asked: &Asked) {
        if let Err(problem) = asked.read::<T>() {
            assert!(!problem.text.contains(char::is_control), "{:?}", problem.text);
            assert!(problem.text.len() < 4 * MAX_TEXT, "{} bytes", problem.text.len());
            assert_eq!(problem.status, hyper::StatusCode::BAD_REQUEST);
        }
    }
    let mut asked = vec![Asked::Body(Bytes::copy_from_slice(input))];
    if let Ok(text) = std::str::from_utf8(input) {
        asked.push(Asked::Query(text.to_owned()));
    }
    for asked in &asked {
        hold::<SessionsAsk>(asked);
        hold::<UserAsk>(asked);
        hold::<MoveAsk>(asked);
        hold::<ServersAsk>(asked);
        hold::<HandlerAsk>(asked);
        hold::<PurgeAsk>(asked);
        hold::<ListAsk>(asked);
        hold::<OffendersAsk>(asked);
        hold::<ForgiveAsk>(asked);
        hold::<MaintainAsk>(asked);
        hold::<EndAsk>(asked);
        hold::<ReportAsk>(asked);
        hold::<DoctorAsk>(asked);
    }
}
