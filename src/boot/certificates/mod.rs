//! Certificates as an admin sees them: what the configuration leads to, read anew, and a new one put
//! in its place. No gatepost need run.

mod deploy;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub use deploy::{Fresh, deploy};

use super::Options;
use super::model::{Faults, Kept, Plan};
use crate::tls::certs::audit::{self, Pairing, Roots};

const DAY: i64 = 86_400;

/// One certificate in the configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Shown {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub names: Vec<String>,
    pub issuer: String,
    /// Seconds since 1970; none where it cannot be read.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// Whole days; below 0 when it has ended.
    pub days_left: Option<i64>,
    /// The addresses of the servers that show it.
    pub listens: Vec<String>,
    /// What keeps it from serving, or clients from accepting it.
    pub faults: Vec<String>,
    pub notes: Vec<String>,
}

/// All of them, each once, and what is wrong with the folders themselves. `now` in seconds since
/// 1970.
pub fn survey(options: &Options, now: i64) -> Result<(Vec<Shown>, Vec<String>), Faults> {
    let plan = Plan::read(options, &Kept::new())?;
    let roots = Roots::of_system();
    let (mut all, mut problems) = (BTreeMap::new(), Vec::<String>::new());
    for (settings, listens) in plan.shown() {
        let (pairings, faults) = audit::pairings(settings);
        for fault in faults.iter().map(ToString::to_string) {
            if !problems.contains(&fault) {
                problems.push(fault);
            }
        }
        for pairing in pairings {
            let files = (pairing.files.certificate.clone(), pairing.files.key.clone());
            let shown: &mut Shown =
                all.entry(files).or_insert_with(|| examined(&pairing, &roots, now));
            for listen in &listens {
                if !shown.listens.contains(listen) {
                    shown.listens.push(listen.clone());
                }
            }
        }
    }
    Ok((all.into_values().collect(), problems))
}

fn examined(pairing: &Pairing, roots: &Roots, now: i64) -> Shown {
    let report = audit::examine(pairing, roots, now);
    let (mut faults, mut notes) = (report.faults, report.notes);
    let (fault, note) = audit::readers(&pairing.files.key);
    faults.extend(fault);
    notes.extend(note);
    Shown {
        certificate: pairing.files.certificate.clone(),
        key: pairing.files.key.clone(),
        names: report.names,
        issuer: report.issuer,
        not_before: report.not_before,
        not_after: report.not_after,
        days_left: report.not_after.map(|end| end.saturating_sub(now).div_euclid(DAY)),
        listens: Vec::new(),
        faults,
        notes,
    }
}
