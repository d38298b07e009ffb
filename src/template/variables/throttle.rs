//! `mail.whitelistip.*`: who is not counted.

use super::{Made, lines};

pub(super) const MADE: &[Made] = &[Made {
    name: "mail.whitelistip.:servers",
    doc: "A line \"mail_whitelist_ip NETWORK;\" for each address or network that is not counted.",
    kind: "CUSTOM",
    attribute: "zimbraReverseProxyIPThrottleWhitelist",
    make: |site| lines("mail_whitelist_ip ", &site.words("throttle.whitelist"), ";"),
}];
