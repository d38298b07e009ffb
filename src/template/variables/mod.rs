//! # The variables of Zimbra's templates
pub const OF_A_DOMAIN: &[&str] = &["vhn"];
pub const OF_A_SERVER: &[&str] = &["server_id"];
