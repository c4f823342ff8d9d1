//! What came of it, for people.

use super::checks;

/// One project, one check.
#[derive(PartialEq)]
pub enum Cell {
    Passed,
    /// It does not do that, and says so.
    None,
    Failed(String),
}

/// One project.
pub struct Row {
    pub name: String,
    pub size: u64,
    pub cells: Vec<Cell>,
    pub note: String,
}

impl Row {
    /// Of a project whose toolchain is not there.
    pub fn skipped(name: &str, why: String) -> Self {
        Self { name: name.to_owned(), size: 0, cells: Vec::new(), note: format!("skipped: {why}") }
    }

    /// Of one that nothing can be asked.
    pub fn failed(name: &str, why: String) -> Self {
        Self { name: name.to_owned(), size: 0, cells: vec![Cell::Failed(why)], note: String::new() }
    }

    pub fn is_skipped(&self) -> bool {
        self.cells.is_empty()
    }

    pub fn has_failed(&self) -> bool {
        self.cells.iter().any(|cell| matches!(cell, Cell::Failed(_)))
    }
}

/// The table, and below it what failed.
pub fn render(rows: &[Row]) -> String {
    let mut text = format!("\n{:<12}", "");
    for check in checks::ALL {
        text.push_str(&format!(" {:<8}", check.name));
    }
    text.push_str("      KiB\n");
    let mut failures = String::new();
    for row in rows {
        text.push_str(&format!("{:<12}", row.name));
        for (at, check) in checks::ALL.iter().enumerate() {
            let shown = match row.cells.get(at) {
                Some(Cell::Passed) => "ok",
                Some(Cell::None) => "-",
                Some(Cell::Failed(_)) => "FAILED",
                None => "",
            };
            text.push_str(&format!(" {shown:<8}"));
            if let Some(Cell::Failed(why)) = row.cells.get(at) {
                failures.push_str(&format!("\n{}, {}: {why}\n", row.name, check.name));
            }
        }
        text.push_str(&format!(" {:>8} {}\n", row.size / 1024, row.note));
    }
    text + &failures
}
