//! One connection to one address of a server, counted while it lives.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::ward::Ward;
use crate::net::Endpoint;
use crate::route::group::Server;

/// A place at a server: whoever is connected there holds it until the connection is closed.
pub struct Slot {
    ward: Arc<Ward>,
    /// Shared: a slot lives as long as its session, and there are many.
    servers: Arc<[Server]>,
    index: u32,
    port: u16,
    endpoint: Endpoint,
    began: Instant,
}

impl Slot {
    pub(super) fn new(
        ward: Arc<Ward>,
        servers: Arc<[Server]>,
        index: usize,
        port: u16,
        endpoint: Endpoint,
    ) -> Self {
        let index = u32::try_from(index).expect("a group has no 2^32 servers");
        Self { ward, servers, index, port, endpoint, began: Instant::now() }
    }

    fn server(&self) -> &Server {
        &self.servers[self.index as usize]
    }

    /// It could not be reached, or has not come as far as an answer to the login. To be said before the
    /// next target is asked for. A login that it has refused is answered.
    pub fn failed(&self, cause: impl fmt::Display) {
        self.ward.failed(self.server(), self.port, &self.endpoint, &cause.to_string());
    }

    /// It has answered the login, one way or the other, with nonsense too. How long that took is
    /// remembered.
    pub fn works(&self) {
        self.ward.works(self.server(), self.port, &self.endpoint, Some(self.began.elapsed()));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.ward.left(self.server(), self.port, &self.endpoint);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({} at {})", self.server(), self.endpoint)
    }
}
