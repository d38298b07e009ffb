//! Columns that stand below each other.

use std::fmt::Write as _;

use super::human;

/// How something is, which a terminal may show by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Plain,
    Good,
    Bad,
}

#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    is_number: bool,
    mood: Mood,
}

impl Cell {
    pub fn moody(text: impl AsRef<str>, mood: Mood) -> Self {
        Self { mood, ..Self::from(text.as_ref()) }
    }

    /// Aligned to the right.
    pub fn number(text: impl ToString) -> Self {
        Self { text: text.to_string(), is_number: true, mood: Mood::Plain }
    }

    pub fn none() -> Self {
        Self::from("-")
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: human::text(text), is_number: false, mood: Mood::Plain }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(&*text)
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::from(&**text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::number(number)
    }
}

/// What is not known is a dash.
impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Self {
        cell.map_or_else(Self::none, Into::into)
    }
}

/// Rows below a head.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As lines, each begun with `indent`; without colours unless asked for.
    pub fn written(&self, indent: &str, colour: bool) -> String {
        let width = |text: &str| text.chars().count();
        let widths: Vec<_> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| width(&cell.text)).max().unwrap_or(0);
                widest.max(width(self.head[column]))
            })
            .collect();
        // A column is as its figures are: where there are any it is right-aligned, head and dashes
        // too.
        let is_number: Vec<_> = (0..self.head.len())
            .map(|column| {
                let mut cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.any(|cell| cell.is_number)
            })
            .collect();
        let mut out = String::new();
        let heads = self.head.iter().map(|head| Cell::from(*head)).collect();
        for row in [heads].iter().chain(&self.rows) {
            out.push_str(indent);
            let mut owed = 0;
            for (column, cell) in row.iter().enumerate() {
                let room = widths.get(column).copied().unwrap_or(0);
                if cell.text.is_empty() {
                    owed += room + 2;
                    continue;
                }
                let pad = room.saturating_sub(width(&cell.text));
                let (before, after) =
                    if is_number.get(column) == Some(&true) { (pad, 0) } else { (0, pad) };
                // Blanks are written when something follows them, so that no line ends in any.
                let _ = write!(out, "{:1$}", "", owed + before);
                match (colour, cell.mood) {
                    (true, Mood::Good) => drop(write!(out, "\x1b[32m{}\x1b[0m", cell.text)),
                    (true, Mood::Bad) => drop(write!(out, "\x1b[31m{}\x1b[0m", cell.text)),
                    _ => out.push_str(&cell.text),
                }
                owed = after + 2;
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(&["NAME", "COUNT", "STATE"]);
        table.row(["a".into(), 5_u64.into(), Cell::moody("up", Mood::Good)]);
        table.row(["longer\n".into(), 1234_u64.into(), Cell::moody("down", Mood::Bad)]);
        table.row(["é".into(), Cell::none(), Cell::from("")]);
        let plain = "  NAME        COUNT  STATE\n  a               5  up\n  longer\\x0A   1234  down\n  é               -\n";
        assert_eq!(table.written("  ", false), plain);
        let coloured = table.written("  ", true);
        assert!(coloured.contains("\x1b[31mdown\x1b[0m\n"), "{coloured}");
    }
}
