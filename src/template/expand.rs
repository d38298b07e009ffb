//! A whole template: its header, its lines, its copies.

use super::explode::{self, Explode};
use super::fault::{Fault, shown};
use super::fill::Line;
use super::limits::{MAX_FAULTS, MAX_HEADER, MAX_TEXT};
use super::quote::Place;
use super::values::{Copies, Values};

/// What becomes of a name that no value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    Refuse,
    /// Nothing is written, as Zimbra does it, and a note says so.
    Lenient,
}

/// An expanded template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// What was let through and may not be meant. Not an error.
    pub notes: Vec<Fault>,
}

/// Expands the template `text`.
///
/// A copy's own values go before `values`. Every line ends with LF, whatever ended it in `text`.
///
/// # Errors
/// Every fault, with its line of the template; of copies that have the same faults, the first's.
pub fn expand(
    text: &str,
    values: &Values,
    copies: &Copies,
    unknown: Unknown,
) -> Result<Expanded, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut page = Page { unknown, text: String::new(), notes: Vec::new(), faults: Vec::new() };
    let lines: Vec<(usize, &str)> = text.lines().zip(1..).map(|(line, n)| (n, line)).collect();
    match header(&lines) {
        Err(fault) => page.faults.push(fault),
        Ok(None) => page.copy(&lines, &[values]),
        Ok(Some(explode)) => {
            let lines = &lines[1..];
            let owns: Vec<&Values> = match &explode {
                Explode::Domains { with_client_certificates } => {
                    let domains = copies.domains.iter();
                    let domains = domains.filter(|domain| {
                        !with_client_certificates || domain.has_client_certificates
                    });
                    domains.map(|domain| &domain.values).collect()
                }
                Explode::Servers(service) => {
                    copies.servers.get(service).into_iter().flatten().collect()
                }
            };
            if let Explode::Servers(service) = &explode
                && owns.is_empty()
            {
                let what = format!("no server has the service \"{}\"", shown(service));
                page.note(Fault::new(1, what));
            }
            // A comment is for people, who read it once.
            let bare: Vec<_> =
                lines.iter().copied().filter(|(_, line)| !is_comment(line)).collect();
            for (nth, own) in owns.into_iter().enumerate() {
                page.copy(if nth == 0 { lines } else { &bare }, &[own, values]);
                if !page.faults.is_empty() {
                    break;
                }
            }
        }
    }
    if page.faults.is_empty() {
        return Ok(Expanded { text: page.text, notes: page.notes });
    }
    page.faults.truncate(MAX_FAULTS);
    Err(page.faults)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The header, if the first line is one.
fn header(lines: &[(usize, &str)]) -> Result<Option<Explode>, Fault> {
    let Some((number, line)) = lines.first() else { return Ok(None) };
    let Some(command) = explode::command(line) else { return Ok(None) };
    if line.chars().count() > MAX_HEADER {
        let what = format!("a header of more than {MAX_HEADER} characters");
        return Err(Fault::new(*number, what));
    }
    explode::read(command).map(Some).map_err(|why| {
        let what = format!("illegal custom header command \"!{{{}}}\"", shown(command));
        Fault::new(*number, what).with_hint(why)
    })
}

/// A configuration file that is being written.
struct Page {
    unknown: Unknown,
    text: String,
    notes: Vec<Fault>,
    faults: Vec<Fault>,
}

impl Page {
    /// Writes `lines` once, with `values`, the innermost first.
    fn copy(&mut self, lines: &[(usize, &str)], values: &[&Values]) {
        // Quotes that are opened in a line may be closed in another.
        let mut place = Place::default();
        for &(number, source) in lines {
            if explode::command(source).is_some_and(|command| command.starts_with("explode"))
                && !is_comment(source)
            {
                let what = "an \"!{explode …}\" below the first line is no header";
                self.note(Fault::new(number, what));
            }
            let filled = match (Line { number, values, place }).fill(source) {
                Ok(filled) => filled,
                Err(fault) => {
                    self.faults.push(fault);
                    continue;
                }
            };
            for name in &filled.unknown {
                let fault = stranger(number, name, values);
                match self.unknown {
                    Unknown::Refuse => self.faults.push(fault),
                    Unknown::Lenient => self.note(fault),
                }
            }
            if self.text.len() + filled.text.len() >= MAX_TEXT {
                self.faults.push(Fault::new(number, "the file becomes too long"));
            }
            if self.faults.len() >= MAX_FAULTS || self.text.len() + filled.text.len() >= MAX_TEXT {
                return;
            }
            self.text.push_str(&filled.text);
            self.text.push('\n');
            place = place.after(&filled.text, &[]).after("\n", &[]);
        }
    }

    /// Keeps a note; the copies of one line have it once.
    fn note(&mut self, note: Fault) {
        if self.notes.len() < MAX_FAULTS && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// An unknown name, and what may have been meant.
fn stranger(number: usize, name: &str, values: &[&Values]) -> Fault {
    let fault = Fault::new(number, format!("unknown variable \"{}\"", shown(name)));
    if super::variables::OF_A_DOMAIN.contains(&name) {
        return fault.with_hint("it is set in templates that begin with !{explode domain(vhn)}");
    }
    if super::variables::OF_A_SERVER.contains(&name) {
        return fault.with_hint("it is set in templates that begin with !{explode server(…)}");
    }
    // A name as long as a page is nobody's typing error.
    if name.len() > 128 {
        return fault;
    }
    let known = values.iter().flat_map(|values| values.names());
    let near = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match near {
        Some((far, near)) if far <= name.len() / 3 + 1 => {
            fault.with_hint(format!("did you mean \"{near}\"?"))
        }
        _ => fault,
    }
}
