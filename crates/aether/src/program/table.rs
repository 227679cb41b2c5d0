//! Columns of text: as wide as their widest cell, two spaces between, nothing behind the last.

use super::ink::{Ink, Tone};

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text that is about something.
    pub(super) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// A table with a head. The name of a column whose cells are numbers begins with `>`: they stand at the right.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// One with these columns; without any name there is no head.
    pub(super) fn new(head: impl IntoIterator<Item = &'static str>) -> Self {
        Self { head: head.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a line.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(cells.into_iter().collect());
        self
    }

    /// The whole of it, without a line break at the end.
    pub(super) fn shown(&self, ink: Ink) -> String {
        let names = self.head.iter().map(|name| Cell::from(name.trim_start_matches('>'))).collect::<Vec<_>>();
        let head = Some(&names).filter(|names| names.iter().any(|name| !name.text.is_empty()));
        let lines: Vec<_> = head.into_iter().chain(&self.rows).collect();
        let widths: Vec<_> = (0..self.head.len())
            .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| width(&cell.text)).max())
            .map(Option::unwrap_or_default)
            .collect();
        let lines = lines.into_iter().map(|line| self.line(line, &widths, ink));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, cells: &[Cell], widths: &[usize], ink: Ink) -> String {
        let mut line = String::new();
        for ((Cell { text, tone }, name), full) in cells.iter().zip(&self.head).zip(widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let (gap, shown) = (" ".repeat(full - width(text)), ink.paint(*tone, text));
            line.push_str(&if name.starts_with('>') { gap + &shown } else { shown + &gap });
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right_and_nothing_stands_behind_a_line() {
        let mut table = Table::new(["NODE", ">SHARDS", "WHICH"]);
        table.row(["n1".into(), "342".into(), "0-341".into()]).row(["länger".into(), "7".into(), "".into()]);
        assert_eq!(table.shown(Ink::NONE), "NODE    SHARDS  WHICH\nn1         342  0-341\nlänger       7");
    }

    #[test]
    fn without_names_there_is_no_head() {
        let mut table = Table::new(["", ">"]);
        table.row(["shard".into(), "7".into()]).row(["of".into(), "1024".into()]);
        assert_eq!(table.shown(Ink::NONE), "shard     7\nof     1024");
    }
}
