//! The results, for the terminal and for benches/RESULTS.md.

use std::fmt::Write;

use crate::args::Args;
use crate::load::Sample;
use crate::plot::{Bar, Panel};
use crate::results::{Missing, Results, Row, short};
use crate::targets::Target;

const COLUMNS: [&str; 7] = ["", "server", "requests/s", "CPU µs a request", "p50 ms", "p99 ms", "PSS MiB"];

/// What the figures are, above them.
pub struct Heading {
    pub machine: String,
    pub versions: Vec<String>,
    pub date: String,
}

/// The results as text for a terminal; of a part, what it says nothing about is
/// left out.
pub fn plain(args: &Args, results: &Results, targets: &[Target]) -> String {
    let mut text = if results.rows.is_empty() { String::new() } else { aligned(&table(results)) };
    let told: Vec<_> = targets.iter().filter(|target| args.is_full || target.is_met.is_some()).collect();
    if !told.is_empty() {
        let _ = write!(text, "\n{}", aligned(&judged(told)));
    }
    for (name, missing) in results.missing() {
        let _ = write!(text, "\n{name} {missing}");
    }
    text
}

/// The results as a document.
pub fn markdown(heading: &Heading, args: &Args, results: &Results, targets: &[Target]) -> String {
    let mut text = format!(
        "# Results\n\nWritten by `cargo bench --bench compare` on {}.\n\n* {}\n* {}\n\n",
        heading.date,
        heading.machine,
        heading.versions.join("; ")
    );
    let _ = writeln!(
        text,
        "One worker on one core, its load (wrk, 32 connections that are kept; 64 for 2 workers, 4 for 10 MiB) on another, in turns: \
         medians of {} rounds of {} s. CPU is user and system time of all processes of the server; PSS is their \
         memory late in a run. \"Fresh\" is an instance a request, \"reused\" one for a million. Rows that name more \
         workers run on both cores, beside their load, so that their requests/s are less \
         than they could do. gunicorn's sync worker closes each connection after its answer.\n",
        args.rounds,
        args.time.as_secs()
    );
    text.push_str("![CPU time a request](results.svg)\n\n");
    text.push_str(&piped(&table(results)));
    text.push_str("\n## Targets\n\n");
    text.push_str(&piped(&judged(targets.iter())));
    if results.missing().next().is_some() {
        text.push_str("\n## Without a result\n\n");
    }
    for (name, missing) in results.missing() {
        let _ = writeln!(text, "* {name} {missing}");
    }
    text
}

/// CPU time a request, a panel for each group; what runs on several cores is left
/// out, since its cost is that of another place.
pub fn panels(results: &Results) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for row in results.rows.iter().filter(|row| !row.server.contains("workers")) {
        let Ok(sample) = &row.measured else { continue };
        if panels.last().is_none_or(|panel| panel.title != row.group) {
            panels.push(Panel { title: row.group.to_owned(), bars: Vec::new() });
        }
        let bar = Bar {
            label: row.server.to_owned(),
            value: sample.cpu_micros,
            is_ours: row.server.starts_with("wasgun"),
        };
        panels.last_mut().expect("one was pushed").bars.push(bar);
    }
    panels
}

type Table = Vec<Vec<String>>;

fn table(results: &Results) -> Table {
    let mut table = vec![COLUMNS.map(str::to_owned).to_vec()];
    let mut group = "";
    for row in &results.rows {
        let first = if row.group == group { "" } else { row.group };
        group = row.group;
        table.push(cells(first, row));
    }
    table
}

fn cells(group: &str, row: &Row) -> Vec<String> {
    let mut cells = vec![group.to_owned(), row.server.to_owned()];
    match &row.measured {
        Ok(sample) => cells.extend(numbers(sample)),
        Err(Missing::Absent(_)) => cells.extend(["not run", "", "", "", ""].map(str::to_owned)),
        Err(Missing::Failed(_)) => cells.extend(["FAILED", "", "", "", ""].map(str::to_owned)),
    }
    cells
}

fn numbers(sample: &Sample) -> [String; 5] {
    [
        sample.requests_per_second,
        sample.cpu_micros,
        sample.p50_micros / 1000.0,
        sample.p99_micros / 1000.0,
        sample.pss_mib,
    ]
    .map(short)
}

fn judged<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Table {
    let mut table = vec![["target", "wanted", "measured", ""].map(str::to_owned).to_vec()];
    table.extend(targets.into_iter().map(|target| {
        let verdict = match target.is_met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "?",
        };
        vec![target.what.clone(), target.wanted.clone(), target.measured.clone(), verdict.to_owned()]
    }));
    table
}

/// Columns below each other, numbers to the right.
fn aligned(table: &Table) -> String {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in table {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            if is_number(table, column) {
                format!("{cell:>width$}", width = widths[column])
            } else {
                format!("{cell:<width$}", width = widths[column])
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn piped(table: &Table) -> String {
    let mut text = String::new();
    for (index, row) in table.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if index == 0 {
            let rules = (0..row.len()).map(|column| if is_number(table, column) { "---:" } else { "---" });
            let _ = writeln!(text, "| {} |", rules.collect::<Vec<_>>().join(" | "));
        }
    }
    text
}

fn is_number(table: &Table, column: usize) -> bool {
    table.iter().skip(1).any(|row| row[column].starts_with(|first: char| first.is_ascii_digit()))
        && table[0].len() == COLUMNS.len()
}
