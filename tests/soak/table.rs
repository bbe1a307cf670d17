//! What a soak test shows while it runs and when it has ended.

use std::fmt::Display;

/// Rows of a name, what was measured, and what was promised.
pub(crate) struct Table {
    title: &'static str,
    rows: Vec<[String; 3]>,
}

impl Table {
    pub(crate) fn new(title: &'static str) -> Self {
        Self {
            title,
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, name: &str, measured: impl Display, promised: impl Display) {
        self.rows
            .push([name.to_owned(), measured.to_string(), promised.to_string()]);
    }

    /// Prints it, with columns as wide as their longest text.
    pub(crate) fn print(&self) {
        let width = |column: usize| self.rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let (names, measured) = (width(0), width(1));
        println!("\n{}", self.title);
        for [name, number, promised] in &self.rows {
            println!("  {name:<names$}  {number:>measured$}  {promised}");
        }
        println!();
    }
}
