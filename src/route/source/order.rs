//! `route_order NAME…`: who is asked after whom. Pure.

use std::sync::Arc;

use super::SOURCES;
use crate::config::Block;

/// One step of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The `route` table.
    Table,
    /// The handler at `auth_http`.
    AuthHttp,
    /// A `route_file`, `route_sql` or `route_ldap`, or a `lookup` block.
    Named(String),
}

const TABLE: &str = "table";
const AUTH_HTTP: &str = "auth_http";

/// What names stand for something else, and cannot be a source's.
pub const RESERVED: [&str; 2] = [TABLE, AUTH_HTTP];

/// The order where none is given: the table, every source as it is written, the handler.
pub fn usual(names: &[String]) -> Vec<Step> {
    let named = names.iter().cloned().map(Step::Named);
    [Step::Table].into_iter().chain(named).chain([Step::AuthHttp]).collect()
}

/// Reads the words of `route_order`, of which `names` are known.
pub fn parse(words: &[String], names: &[String]) -> Result<Vec<Step>, String> {
    let mut steps = Vec::with_capacity(words.len());
    for word in words {
        let step = match word.as_str() {
            TABLE => Step::Table,
            AUTH_HTTP => Step::AuthHttp,
            name if names.iter().any(|known| known == name) => Step::Named(name.to_owned()),
            name => return Err(unknown(name, names)),
        };
        if steps.contains(&step) {
            return Err(format!("\"{word}\" stands twice in route_order"));
        }
        steps.push(step);
    }
    Ok(steps)
}

fn unknown(name: &str, names: &[String]) -> String {
    let known = RESERVED.into_iter().chain(names.iter().map(String::as_str));
    let near = known.clone().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match near {
        Some((distance, near)) if distance <= 2.max(name.chars().count() / 3) => {
            format!("no source \"{name}\" in route_order, did you mean \"{near}\"?")
        }
        _ => {
            let known: Vec<_> = known.map(|known| format!("\"{known}\"")).collect();
            format!("no source \"{name}\" in route_order; there are {}", known.join(", "))
        }
    }
}

/// The names of all sources of `block`, as they are written.
pub fn names(block: &Block) -> Arc<[String]> {
    let all = block.all_of(&SOURCES).into_iter();
    all.filter_map(|at| at.arg(0)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_is_read_or_told() {
        let names = ["people", "legacy"].map(str::to_owned);
        let parse = |text: &str| {
            let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            match parse(&words, &names) {
                Ok(steps) => format!("{steps:?}"),
                Err(fault) => fault,
            }
        };
        assert_eq!(parse("legacy auth_http table"), "[Named(\"legacy\"), AuthHttp, Table]");
        assert_eq!(
            format!("{:?}", usual(&names)),
            "[Table, Named(\"people\"), Named(\"legacy\"), AuthHttp]"
        );
        assert_eq!(
            parse("poeple"),
            "no source \"poeple\" in route_order, did you mean \"people\"?"
        );
        assert_eq!(
            parse("table somebody"),
            "no source \"somebody\" in route_order; there are \"table\", \"auth_http\", \"people\", \"legacy\""
        );
        assert_eq!(parse("table table"), "\"table\" stands twice in route_order");
    }
}
