//! The header of a template: what its lines are repeated for.

/// A header's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explode {
    /// For each virtual host; or only for those whose domain asks clients for certificates.
    Domains { with_client_certificates: bool },
    /// For each server that has this service.
    Servers(String),
}

/// The words within `!{…}`, if `line` has them, whatever stands beside them.
pub fn command(line: &str) -> Option<&str> {
    line.rmatch_indices("!{").find_map(|(at, _)| {
        let inner = &line[at + 2..];
        inner.find('}').filter(|end| *end > 0).map(|end| &inner[..end])
    })
}

/// What a header's words order.
///
/// # Errors
/// Why they are no header.
pub fn read(words: &str) -> Result<Explode, String> {
    let words = words.trim();
    let argument = match words.split_once([' ', '\t']) {
        Some(("explode", argument)) => argument.trim(),
        _ => return Err("the one command is \"explode\"".to_owned()),
    };
    if argument == "vhn_vip_ssl" {
        return Ok(Explode::Domains { with_client_certificates: false });
    }
    let call = argument.strip_suffix(')').and_then(|call| call.split_once('('));
    let arguments = call
        .map(|(_, list)| list.split(',').map(str::trim).collect::<Vec<_>>())
        .unwrap_or_default();
    match (call.map(|(what, _)| what.trim()), arguments.as_slice()) {
        (Some("domain"), ["vhn"]) => Ok(Explode::Domains { with_client_certificates: false }),
        (Some("domain"), ["vhn", "sso"] | ["sso", "vhn"]) => {
            Ok(Explode::Domains { with_client_certificates: true })
        }
        (Some("domain"), _) => Err("a domain has \"vhn\" or \"vhn, sso\"".to_owned()),
        (Some("server"), [service]) if !service.is_empty() => {
            Ok(Explode::Servers((*service).to_owned()))
        }
        (Some("server"), _) => Err("a server has one service".to_owned()),
        _ => Err("it explodes domain(…), server(…) or vhn_vip_ssl".to_owned()),
    }
}
