//! Columns as `kubectl` prints them: left-aligned, three spaces apart, no lines.

use super::style::{Style, Tone};

/// One field of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone: Some(tone),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            tone: None,
        }
    }
}

/// Rows under headings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

const GAP: usize = 3;

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with as many cells as there are headings.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.headings.len(), "a cell for every heading");
        self.rows.push(row);
    }

    pub(crate) fn render(&self, style: Style) -> String {
        let width = |text: &str| text.chars().count();
        let columns = self.headings.iter().enumerate().map(|(column, heading)| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| width(&cell.text))
                .max()
                .unwrap_or(0)
                .max(width(heading))
        });
        let widths: Vec<usize> = columns.collect();
        let headings = self.headings.iter().map(|h| Cell::from(*h)).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let last = row.len().saturating_sub(1);
            for (column, cell) in row.iter().enumerate() {
                match cell.tone {
                    Some(tone) => text.push_str(&style.paint(tone, &cell.text)),
                    None => text.push_str(&cell.text),
                }
                if column < last {
                    let fill = widths[column] - width(&cell.text) + GAP;
                    text.extend(std::iter::repeat_n(' ', fill));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }
}
