//! Who the client really is, as an upstream is told by ID.

use crate::login::Ask;

/// Our own name, where the client gave none.
const NAME: &str = "gatepost";

/// The pairs of our ID command, whose values `id::write` makes fit.
///
/// Zimbra takes `X-ORIGINATING-IP` and `X-VIA`; Dovecot takes `x-originating-ip` and the rest,
/// from its trusted networks. Both pass over keys that they do not know, so every upstream is told
/// the session and the hops left: it may be a gatepost itself, which then finds a loop.
pub fn pairs(ask: &Ask) -> Vec<(&'static str, String)> {
    let who = &ask.identity;
    let client_ip = who.client.ip().to_canonical().to_string();
    // What the client said of itself, as one word of `X-VIA`.
    let mut via = String::new();
    if let Some(agent) = &who.agent {
        via.push_str(agent);
        if let Some(version) = &who.agent_version {
            via.extend(["/", version]);
        }
        via.push(',');
    }
    via.push_str(&format!("{}({NAME})", who.via.to_canonical()));

    let mut pairs = Vec::with_capacity(9);
    if ask.dovecot {
        pairs.extend([
            ("x-originating-ip", client_ip),
            ("x-originating-port", who.client.port().to_string()),
            ("x-connected-ip", who.local.ip().to_canonical().to_string()),
            ("x-connected-port", who.local.port().to_string()),
        ]);
    } else {
        pairs.push(("X-ORIGINATING-IP", client_ip));
    }
    match (&who.agent, &who.agent_version) {
        (Some(agent), version) => {
            pairs.push(("name", agent.clone()));
            pairs.extend(version.clone().map(|version| ("version", version)));
        }
        (None, _) => pairs
            .extend([("name", NAME.to_owned()), ("version", env!("CARGO_PKG_VERSION").to_owned())]),
    }
    pairs.extend([
        ("X-VIA", via),
        ("x-session-id", who.session.clone()),
        // Whoever reads this is one of the proxies that may follow.
        ("x-proxy-ttl", who.ttl.to_string()),
    ]);
    pairs
}
