//! Mistakes of operators: each ends with a status, and with a text that says
//! what is wrong and what to do.

#[path = "../support/mod.rs"]
mod support;

mod compiled;
mod components;
mod configuration;

use std::path::Path;

use support::{Finished, run, wasgun};

/// What shows when the server starts.
const AT_START: Option<i32> = Some(1);
/// What shows in the words themselves: nothing is started.
const IN_CONFIGURATION: Option<i32> = Some(2);

/// Runs the program with these arguments, on any port.
#[track_caller]
fn started_with(args: &[&str]) -> Finished {
    let mut command = wasgun();
    command.args(args).args(["--bind", "127.0.0.1:0"]);
    run(command)
}

/// Asserts how it ended, and that it said each of these.
#[track_caller]
fn assert_ended(finished: &Finished, code: Option<i32>, texts: &[&str]) {
    let Finished { code: ended, stderr, .. } = finished;
    assert_eq!(*ended, code, "{stderr}");
    for text in texts {
        assert!(stderr.contains(text), "no {text:?} in:\n{stderr}");
    }
    assert!(!stderr.contains("ready: generation"), "it served:\n{stderr}");
    for internal in ["panicked", "RUST_BACKTRACE", "src/"] {
        assert!(!stderr.contains(internal), "{stderr}");
    }
    if code == IN_CONFIGURATION {
        assert!(!stderr.contains("listening"), "it started:\n{stderr}");
        assert!(stderr.starts_with("wasgun: "), "{stderr}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
