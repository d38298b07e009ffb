//! # throttle: how much may one client have at once, and how often may it fail?
//!
//! How often somebody may fail to log in is the matter of [`logins`], which has a page of its own, and
//! when a failure is answered that of `pace`. The rest of this page is about sessions.
//!
//! Counts sessions by whatever a configuration names (`limit_conn_zone`, `limit_conn`: the client's
//! address, its network, the login, the server) and rules on the next one. It never speaks to a client
//! and knows no protocol: the caller turns an [`Over`] into that protocol's words.
//!
//! **In and out.** [`directives::Settings`] are read from blocks; with the [`Zones`] that outlive a
//! reload they become a server's [`Connections`]. [`Connections::admit`] takes a session's access line
//! and gives a [`Guard`], which counts until it is dropped. It is asked twice: when the client has
//! connected, and when it has said who it is ([`Stage`]).
//!
//! **Promises.**
//! - Counts are shared by all workers, and live on across reloads for as long as any session is
//!   counted: a zone is the same if its name and its key are.
//! - What has been counted is taken back however the session ends; a refused session counts nowhere.
//! - A zone keeps no more keys than fit into its size; a key that finds no room is refused, never let in
//!   uncounted.
//! - Letters' case makes no second login: `Mrose` and `mrose` are counted as one.
//!
//! **Limits.** Each gatepost counts for itself. A key of more than [`key::LONGEST`] bytes is counted by
//! its beginning. With another key a zone of the same name begins anew: sessions that are open
//! then do not count in it.

mod connections;
pub mod directives;
mod key;
pub mod logins;
mod pace;
mod zone;

pub use connections::{Connections, Guard, Over, Stage};
pub use directives::DIRECTIVES;
pub use key::Names;
#[doc(hidden)]
pub use key::hold_for_any;
pub use zone::Zones;
