//! The table, and what was promised.

use std::fmt::Write;
use std::time::Duration;

use crate::tally::Totals;

/// Longer cells are cut in the table.
const WIDTH: usize = 58;

/// Remarks that are printed, and how much of each.
const REMARKS: usize = 60;
const REMARK: usize = 400;

/// Failures of a load that are shown in words.
const EXAMPLES: usize = 8;

/// Whether a promise can be broken by a machine that is busy with other things.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Count,
    Chance,
}

struct Promise {
    kind: Kind,
    text: String,
    held: bool,
}

/// What is known about one server.
#[derive(Default)]
pub struct Column {
    rows: Vec<(String, String)>,
    promises: Vec<Promise>,
    remarks: Vec<String>,
    doubts: Vec<String>,
}

impl Column {
    /// A row of the table.
    pub fn say(&mut self, what: &str, value: String) {
        self.rows.push((what.to_owned(), value));
    }

    /// A promise without a row.
    pub fn promise(&mut self, what: &str, promised: &str, measured: &str, held: bool) {
        self.judge(Kind::Count, what, promised, measured, held);
    }

    /// A row that is a promise which no slow machine breaks.
    pub fn count(&mut self, what: &str, promised: &str, measured: &str, held: bool) {
        self.say(what, measured.to_owned());
        self.judge(Kind::Count, what, promised, measured, held);
    }

    /// A row that is a promise which a busy machine may break.
    pub fn chance(&mut self, what: &str, promised: &str, measured: &str, held: bool) {
        self.say(what, measured.to_owned());
        self.judge(Kind::Chance, what, promised, measured, held);
    }

    /// The same about a time.
    pub fn time(&mut self, what: &str, promised: Duration, measured: Duration) {
        let text = format!("at most {}", millis(promised));
        self.chance(what, &text, &millis(measured), measured <= promised);
    }

    fn judge(&mut self, kind: Kind, what: &str, promised: &str, measured: &str, held: bool) {
        let measured = one_line(measured);
        let text = format!("{what}: promised {promised}; measured {measured}");
        self.promises.push(Promise { kind, text, held });
    }

    /// Something worth reading.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// The first failures of a load in words.
    pub fn examples(&mut self, when: &str, totals: &Totals) {
        self.remarks
            .extend(totals.notes.examples.iter().take(EXAMPLES).map(|text| format!("{when}: {text}")));
    }

    /// What is wrong with the count of a load, if anything is.
    pub fn doubts(&mut self, when: &str, totals: &Totals) {
        self.doubts.extend(totals.doubts().into_iter().map(|text| format!("{when}: {text}")));
    }

    fn value(&self, what: &str) -> Option<&str> {
        self.rows.iter().find(|(row, _)| row == what).map(|(_, value)| value.as_str())
    }
}

/// Prints all; whether wasgun has kept its promises, and the count can be relied on.
pub fn print(wasgun: &Column, gunicorn: Option<&Result<Column, String>>, strict: bool) -> bool {
    println!("\n{}", table(wasgun, gunicorn));
    remarks("wasgun", wasgun);
    match gunicorn {
        Some(Ok(column)) => remarks("gunicorn", column),
        Some(Err(error)) => println!("gunicorn: {error}"),
        None => println!("gunicorn was not asked for (--gunicorn)"),
    }
    println!();
    let mut kept = wasgun.doubts.is_empty();
    for promise in &wasgun.promises {
        let counts = strict || promise.kind == Kind::Count;
        let word = match (promise.held, counts) {
            (true, _) => "kept",
            (false, true) => "BROKEN",
            (false, false) => "not kept, which counts with --strict",
        };
        kept &= promise.held || !counts;
        println!("{word}: {}", promise.text);
    }
    kept
}

fn table(wasgun: &Column, gunicorn: Option<&Result<Column, String>>) -> String {
    let mut text = String::new();
    let mut line = |what: &str, left: &str, right: Option<&str>| {
        let right = right.map_or_else(String::new, |right| format!(" | {}", cut(right)));
        let _ = writeln!(text, "{what:<38} | {:<WIDTH$}{right}", cut(left));
    };
    line("", "wasgun", gunicorn.map(|_| "gunicorn 27"));
    for (what, value) in &wasgun.rows {
        let other = gunicorn.map(|other| match other {
            Ok(column) => column.value(what).unwrap_or("-"),
            Err(_) => "not installed",
        });
        line(what, value, other);
    }
    text
}

fn cut(text: &str) -> String {
    let text = one_line(text);
    if text.chars().count() <= WIDTH { text } else { text.chars().take(WIDTH - 1).chain(['…']).collect() }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn remarks(name: &str, column: &Column) {
    for remark in column.remarks.iter().take(REMARKS) {
        println!("{name}: {}", remark.chars().take(REMARK).collect::<String>());
    }
    if column.remarks.len() > REMARKS {
        println!("{name}: and {} more", column.remarks.len() - REMARKS);
    }
    for doubt in &column.doubts {
        println!("{name}: THE COUNT IS WRONG: {doubt}");
    }
}

/// `4.2 ms`.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
