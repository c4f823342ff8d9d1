//! What the results are of: the machine, and the versions of what ran on it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::equipment::{Equipment, root, run};

/// Packages of benches/requirements.txt that answer requests.
const PYTHON: [&str; 6] = ["gunicorn", "uvicorn", "uvloop", "granian", "fastapi", "flask"];

/// A line about the machine.
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let virtual_machine = if info.contains(" hypervisor ") { ", a virtual machine" } else { "" };
    format!(
        "{} (family {}, model {}), {cores} cores{virtual_machine}; Linux {}",
        field("model name").unwrap_or_else(|| "a CPU without a name".to_owned()),
        field("cpu family").unwrap_or_default(),
        field("model\t").unwrap_or_default(),
        // Less what its builder calls it.
        kernel.trim().split('-').next().unwrap_or_default()
    )
}

/// The day, in UTC.
pub fn today() -> String {
    run(Command::new("date").args(["-u", "+%Y-%m-%d"])).map_or_else(|_| "an unknown day".to_owned(), trimmed)
}

/// Versions of all that was used, one entry each.
pub fn versions(equipment: &Equipment, wrk: Option<&Path>) -> Vec<String> {
    let commit = run(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root()));
    let mut versions = vec![format!(
        "wasgun {}{} (wasmtime {}, hyper {}, tokio {})",
        env!("CARGO_PKG_VERSION"),
        commit.map_or_else(|_| String::new(), |commit| format!(" at {}", commit.trim())),
        locked("wasmtime"),
        locked("hyper"),
        locked("tokio")
    )];
    // What says its version itself. wrk fails after it has.
    let mut ask = |command: &mut Command| {
        if let Some(said) =
            command.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            && let Some(line) = said.lines().next()
        {
            versions.push(line.split(" Copyright").next().unwrap_or(line).trim().to_owned());
        }
    };
    ask(Command::new("rustc").arg("--version"));
    if let Some(wrk) = wrk {
        ask(Command::new(wrk).arg("--version"));
    }
    if let Ok(wasmtime) = equipment.wasmtime() {
        ask(Command::new(wasmtime).arg("--version"));
    }
    if let Ok(python) = equipment.python("python") {
        ask(Command::new(&python).arg("--version"));
        let list = "import importlib.metadata as m, sys; [print(n, m.version(n)) for n in sys.argv[1:]]";
        let listed = run(Command::new(&python).args(["-c", list]).args(PYTHON));
        versions.extend(listed.unwrap_or_default().lines().map(str::to_owned));
    }
    versions
}

/// The version of a package in Cargo.lock.
fn locked(package: &str) -> String {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
    let entry = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next());
    version.unwrap_or("unknown").to_owned()
}

fn trimmed(text: String) -> String {
    text.trim().to_owned()
}
