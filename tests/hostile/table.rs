//! What came of the attacks, as the table that SECURITY.md has.

use std::path::Path;
use std::time::Duration;

const BEGIN: &str = "<!-- attacks -->\n";
const END: &str = "<!-- end of attacks -->";

/// One row.
pub struct Row {
    pub what: String,
    pub path: String,
    pub result: String,
    pub polite: usize,
    pub p99: Duration,
    pub back_after: Duration,
}

/// The table in Markdown, with what the polite client sees without an attack.
pub fn markdown(quiet: Duration, rows: &[Row]) -> String {
    let mut text = format!(
        "| attack, four at a time | its client sees | the polite client's p99, {} without | memory back after |\n\
         | --- | --- | --- | --- |\n",
        millis(quiet)
    );
    for row in rows {
        text += &format!(
            "| {} | {} | {} | {} |\n",
            row.what,
            row.result,
            millis(row.p99),
            millis(row.back_after)
        );
    }
    text
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn security_md() -> (std::path::PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

/// Keeps the table of a generation in SECURITY.md, where `UPDATE_SECURITY` is set; else
/// sees to it that the one there is about the same attacks, with the same results.
pub fn keep(heading: &str, table: &str) {
    let (path, text) = security_md();
    let begin = text.find(&format!("{heading}\n\n{BEGIN}")).expect("SECURITY.md has a place for it");
    let begin = begin + heading.len() + 2 + BEGIN.len();
    let end = begin + text[begin..].find(END).unwrap();
    if std::env::var_os("UPDATE_SECURITY").is_some() {
        std::fs::write(path, format!("{}{table}{}", &text[..begin], &text[end..])).unwrap();
        return;
    }
    let essence = |table: &str| -> Vec<String> {
        let cells =
            table.lines().skip(2).map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" | "));
        cells.collect()
    };
    assert_eq!(
        essence(&text[begin..end]),
        essence(table),
        "SECURITY.md has another table; after a look at the difference: \
         UPDATE_SECURITY=1 cargo test --test hostile"
    );
}
