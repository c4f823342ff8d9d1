//! Apps in every language: each project that `wasgun new` writes is built by the commands
//! that it names, served, and asked for all that guests/README.md says it answers.
//!
//!     cargo test --test languages
//!     cargo test --test languages -- flask go
//!
//! What lacks its toolchain is skipped, and named. With `LANGUAGES=all` in the environment
//! that is a failure: `guests/toolchains` installs them.

#[path = "../support/mod.rs"]
mod support;

mod checks;
mod project;
mod table;
mod toolchain;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use project::{Origin, Project};
use table::{Cell, Row};

fn main() -> ExitCode {
    let (mut wanted, mut skipped, mut list, mut ignored) = (Vec::new(), Vec::new(), false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match &*arg {
            "--list" => list = true,
            "--ignored" => ignored = true,
            "--skip" => skipped.extend(args.next()),
            // What test programs are told, and what means nothing here.
            "--test-threads" | "--format" | "--color" | "-Z" => drop(args.next()),
            _ if arg.starts_with('-') => {}
            _ => wanted.push(arg),
        }
    }
    let is_meant = |name: &str, filters: &[String]| filters.iter().any(|filter| name.contains(&**filter));
    let is_wanted = |origin: &Origin| {
        let name = format!("languages::{}", origin.name());
        (wanted.is_empty() || is_meant(&name, &wanted)) && !is_meant(&name, &skipped) && !ignored
    };
    let origins: Vec<_> = project::all().into_iter().filter(is_wanted).collect();
    if list {
        origins.iter().for_each(|origin| println!("languages::{}: test", origin.name()));
        return ExitCode::SUCCESS;
    }
    if origins.is_empty() {
        return ExitCode::SUCCESS;
    }
    // One that fails in an unforeseen way is no reason to hear nothing of the others.
    let rows = origins.iter().map(|origin| {
        let row = catch_unwind(AssertUnwindSafe(|| row(origin)));
        row.unwrap_or_else(|_| Row::failed(origin.name(), "it panicked; see above".to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    print!("{}", table::render(&rows));
    let must_run = std::env::var("LANGUAGES").is_ok_and(|value| value == "all");
    let failed = rows.iter().any(|row| row.has_failed() || (must_run && row.is_skipped()));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What becomes of a project, from its files to its answers.
fn row(origin: &Origin) -> Row {
    let name = origin.name();
    if let Some(missing) = toolchain::missing(name) {
        return Row::skipped(name, format!("there is no {missing}"));
    }
    eprintln!("languages: {name}");
    let project = match Project::build(origin) {
        Ok(project) => project,
        Err(error) => return Row::failed(name, error),
    };
    let cells = checks::ALL.iter().map(|check| match check.applies_to(name) {
        true => [1, 100].into_iter().find_map(|reuse| project.fails(check, reuse)).unwrap_or(Cell::Passed),
        false => Cell::None,
    });
    let cells = cells.collect();
    Row { name: name.to_owned(), size: project.size(), cells, note: project.note() }
}
