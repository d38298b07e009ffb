//! `conf/examples/haproxy.cfg`: HAProxy takes it.

use std::path::Path;
use std::process::Command;

use crate::support::run;

#[test]
fn haproxy_takes_the_configuration_that_is_shown() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/examples/haproxy.cfg");
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg("-c").arg("-f").arg(file);
    let said = run(&mut command, "").worked();
    assert!(!said.said().contains("[WARNING]"), "{}", said.said());
}
