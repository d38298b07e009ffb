//! `-c name=value`: what the command line puts in a variable's place.

use super::super::quote::Place;
use super::{OF_A_DOMAIN, OF_A_SERVER, Piece, made};
use crate::settings;

/// Text of the configuration, if it stays within its directive.
pub fn piece(text: &str) -> Piece {
    let is_bare = |mut rest: &str| {
        let mut place = Place::Between;
        while let Some(letter) = rest.chars().next() {
            let step =
                super::super::fill::variable(rest).map_or(letter.len_utf8(), |name| name.len() + 3);
            let is_variable = step != letter.len_utf8();
            let is_outside = !matches!(place, Place::Quoted(_));
            if is_outside && !is_variable && matches!(letter, ';' | '{' | '}') {
                return false;
            }
            // A backslash belongs to what follows it.
            let step = match letter {
                '\\' => step + rest[step..].chars().next().map_or(0, char::len_utf8),
                _ => step,
            };
            place = place.after(&rest[..step], &[]);
            rest = &rest[step..];
        }
        matches!(place, Place::Between | Place::Word) && !text.ends_with('\\')
    };
    if text.chars().any(char::is_control) {
        return Piece::Refused("what -c sets has a control character".to_owned());
    }
    if text == "#" || is_bare(text) {
        return Piece::Code(text.to_owned());
    }
    Piece::Refused("what -c sets would end its directive or leave a quote open".to_owned())
}

/// The names among `overrides` that are no variable of Zimbra's or ours. An admin's own templates
/// may have them, so this is no error.
pub fn unknown(overrides: &[(String, String)]) -> Vec<&str> {
    let is_known = |name: &str| {
        let name = [".set", ".unset", ".said"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        OF_A_DOMAIN.contains(&name)
            || OF_A_SERVER.contains(&name)
            || made().any(|made| made.name == name)
            || settings::all().any(|key| {
                key.name == name || key.variables.iter().any(|variable| variable.name == name)
            })
    };
    overrides.iter().map(|(name, _)| name.as_str()).filter(|name| !is_known(name)).collect()
}
