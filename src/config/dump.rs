//! `-T`: what was read, file by file.

use super::include::Source;

/// Every file once, each after a line that names it, as nginx writes them.
pub fn dump(sources: &[Source]) -> String {
    let mut text = String::new();
    for source in sources {
        let Some(content) = &source.content else { continue };
        text.push_str("# configuration file ");
        text.push_str(&source.path);
        text.push_str(":\n");
        text.push_str(&String::from_utf8_lossy(content));
        text.push('\n');
    }
    text
}
