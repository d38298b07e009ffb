//! From a host name to its addresses: the seam between those who ask and the resolver that knows.

use std::fmt::Debug;
use std::future::ready;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::net::dns::{Ask, Error, Host, Resolver};

/// Whoever knows the addresses of a name, and for how long they hold. Tests have their own.
pub trait Resolve: Debug + Send + Sync {
    fn resolve<'a>(&'a self, name: &'a str) -> Answer<'a>;

    /// What DNS calls the client at `ip`.
    fn host_of(&self, ip: IpAddr) -> Pin<Box<dyn Future<Output = Host> + Send + '_>> {
        Box::pin(ready(Host::Unavailable(Error::NotFound(ip.to_string()))))
    }
}

/// The addresses in the order they are to be tried; never none.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Arc<[IpAddr]>, Error>> + Send + 'a>>;

/// A resolver that many share.
pub type Names = Arc<dyn Resolve>;

impl<A: Ask> Resolve for Resolver<A>
where
    Self: Debug,
{
    fn resolve<'a>(&'a self, name: &'a str) -> Answer<'a> {
        Box::pin(Self::resolve(self, name))
    }

    fn host_of(&self, ip: IpAddr) -> Pin<Box<dyn Future<Output = Host> + Send + '_>> {
        Box::pin(Self::host_of(self, ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dns::Settings;

    #[tokio::test]
    async fn the_resolver_itself_may_be_asked() {
        let names: Names = Arc::new(Resolver::new(Settings::default(), drop));
        let found = names.resolve("192.0.2.1").await.unwrap();
        assert_eq!(*found, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    }
}
