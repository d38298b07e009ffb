//! From a host name to its addresses: the seam between those who ask and the resolver that knows.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Whoever knows the addresses of a name, and for how long they hold. Tests have their own.
pub trait Resolve: Debug + Send + Sync {
    fn resolve<'a>(&'a self, name: &'a str) -> Answer<'a>;
}

/// The addresses in the order they are to be tried; never an empty list.
pub type Answer<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// A resolver that many share.
pub type Names = Arc<dyn Resolve>;
