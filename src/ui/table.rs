//! The table of queues at a daemon's start (D-135).

use std::fmt;

use crate::visible;

/// Columns with their rows; widths follow the text.
#[derive(Debug)]
pub struct Table<const N: usize> {
    header: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub fn new(header: [&'static str; N]) -> Self {
        Self {
            header,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.map(|cell| visible::line(&cell).into_owned()));
    }

    fn width(&self, column: usize) -> usize {
        let longest = self
            .rows
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0);
        longest
            .max(self.header[column].chars().count())
            .saturating_add(1)
            .max(3)
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..N).map(|column| self.width(column)).collect();
        let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let border = format!("+-{}-+", dashes.join("+-"));
        let line = |cells: Vec<&str>| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            format!("| {} |", padded.join("| "))
        };
        writeln!(f, "{border}\n{}\n{border}", line(self.header.to_vec()))?;
        for row in &self.rows {
            writeln!(f, "{}", line(row.iter().map(String::as_str).collect()))?;
        }
        writeln!(f, "{border}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-135
    #[test]
    fn the_table_is_that_of_the_reference() {
        let mut table = Table::new(["id", "name", "tags"]);
        table.row([
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
            "default".to_owned(),
            String::new(),
        ]);
        let expected = "\
+----------------------------------+---------+-------+
| id                               | name    | tags  |
+----------------------------------+---------+-------+
| aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | default |       |
+----------------------------------+---------+-------+
";
        assert_eq!(table.to_string(), expected);
    }
}
