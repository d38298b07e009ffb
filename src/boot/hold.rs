//! What must hold for any configuration at all. For fuzz/ and tests/corpus.rs.

use std::cell::Cell;
use std::path::PathBuf;

use super::model::{Kept, Plan};
use super::{Options, registry};
use crate::config::{self, Block, Statement};
use crate::net::listen::Listen;

/// Whatever is wrong with it is told a line each.
///
/// It opens certificates at most, and relative ones where there are none. Text that could include
/// other files, open a device, or ask name servers is left alone.
pub fn hold_for_any(input: &[u8]) {
    let says = |part: &[u8]| input.windows(part.len()).any(|window| window == part);
    if [&b"include"[..], b"/dev", b"/proc", b"/sys"].into_iter().any(says) {
        return;
    }
    let prefix = PathBuf::from("/nowhere");
    let configuration = prefix.join("any");
    let Ok(tree) = config::load_text(input, &configuration, &registry::registry()) else { return };
    if names_a_host(tree.root()) {
        return;
    }
    let options = Options { prefix, configuration, directives: None, error_log: None };
    let plan = Plan::of(tree, &options, &Kept::new());
    let faults = plan.tree.finish().err().into_iter().flatten().map(|fault| fault.to_string());
    // `-t` shows these as they are. The notes go to the log alone, which escapes what it writes.
    for line in faults.chain(plan.complaints) {
        assert!(!line.contains(char::is_control), "more than one line: {line:?}");
    }
}

/// Whether to read this is to ask the system for a host's address.
fn names_a_host(main: &Block) -> bool {
    let mut mails = main.blocks("mail");
    let servers: Vec<_> = mails.iter().flat_map(|mail| mail.blocks("server")).collect();
    mails.extend(servers);
    let is_name = |statement: &Statement| {
        let asked = Cell::new(false);
        let place = statement.arg(0).into_iter().collect::<Vec<_>>();
        let _ = Listen::parse_with(&place, None, |_| {
            asked.set(true);
            Ok(Vec::new())
        });
        asked.get()
    };
    let listens = mails.iter().flat_map(|block| block.all("listen"));
    let mut networks = mails.iter().flat_map(|block| block.all("set_real_ip_from"));
    listens.chain(main.all("metrics")).any(is_name)
        || networks.any(|at| at.arg(0).is_none_or(|net| config::value::cidr(net).is_none()))
}
