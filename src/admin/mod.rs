//! # admin: what an admin asks of a gatepost that runs
