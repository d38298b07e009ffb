//! `addresses`: which of this machine's addresses serves what.

use super::Running;
use crate::admin::api::{Addresses, Problem, assign};
use crate::admin::local;
use crate::net::errno;

impl Running {
    pub(super) async fn list_addresses(&self) -> Result<Addresses, Problem> {
        let local = local::addresses().map_err(|error| {
            Problem::unavailable(format!("getifaddrs() failed ({})", errno(&error)))
        })?;
        Ok(assign(local, &self.serving().listens))
    }
}
