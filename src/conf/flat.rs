//! A configuration with all that it includes in one text.

use std::fs;
use std::path::{Path, PathBuf};

/// How it is printed: zmnginxconf's flags.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// `# begin:FILE` and `# end:FILE` around what is included.
    pub markers: bool,
    /// What is included stands as far in as its `include`.
    pub indent: bool,
    pub no_comments: bool,
    pub no_empty: bool,
}

/// Files within files.
const DEEPEST: usize = 32;
/// All of it.
const LONGEST: usize = 64 << 20;

/// The text of `path`, each `include FILE;` that has a line to itself replaced by the file. One that
/// cannot be read leaves a comment which says so.
pub fn flat(path: &Path, shape: Shape) -> String {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut text = String::new();
    Flat { folder, shape, text: &mut text }.file(path, "", 0);
    text
}

struct Flat<'a> {
    folder: PathBuf,
    shape: Shape,
    text: &'a mut String,
}

impl Flat<'_> {
    fn line(&mut self, indent: &str, line: &str) {
        if !line.is_empty() {
            self.text.push_str(indent);
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn file(&mut self, path: &Path, indent: &str, depth: usize) {
        let shown: String =
            path.display().to_string().chars().flat_map(char::escape_debug).collect();
        if depth > DEEPEST || self.text.len() > LONGEST {
            return self.line(indent, &format!("# cannot open {shown}: too deep or too long"));
        }
        let content = match fs::read(path) {
            Ok(content) => String::from_utf8_lossy(&content).into_owned(),
            Err(error) => return self.line(indent, &format!("# cannot open {shown}: {error}")),
        };
        if self.shape.markers {
            self.line(indent, &format!("# begin:{shown}"));
        }
        for line in content.lines() {
            let bare = line.trim();
            if let Some(pattern) = included(bare) {
                let mut deeper = indent.to_owned();
                if self.shape.indent {
                    deeper.push_str(&line[..line.len() - line.trim_start().len()]);
                }
                for path in self.matching(pattern) {
                    self.file(&path, &deeper, depth + 1);
                }
            } else if !(self.shape.no_comments && bare.starts_with('#')
                || self.shape.no_empty && bare.is_empty())
            {
                self.line(indent, line);
            }
        }
        if self.shape.markers {
            self.line(indent, &format!("# end:{shown}"));
        }
    }

    fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        let path = self.folder.join(pattern);
        if !pattern.contains(['*', '?', '[']) {
            return vec![path];
        }
        let mut found: Vec<_> =
            glob::glob(&path.to_string_lossy()).into_iter().flatten().flatten().collect();
        found.sort();
        found
    }
}

/// The file of `include FILE;`.
fn included(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("include")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let (name, after) = rest.split_once(';')?;
    let name = name.trim().trim_matches(['"', '\'']);
    let is_alone = after.trim().is_empty() || after.trim_start().starts_with('#');
    (is_alone && !name.is_empty() && !name.contains([' ', '\t'])).then_some(name)
}
