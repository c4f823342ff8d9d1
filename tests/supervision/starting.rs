//! A first start that fails leaves a reason and nothing else.

use std::process::Command;

use crate::support::processes::descendants;
use crate::support::{Server, cache_dir, eventually, file, is_alive, wasgun};

/// Starts `wasgun ARGS`, which must end with status 1 and say `reason`.
#[track_caller]
fn fails_to_start(args: &[&str], reason: &str) {
    let mut command = wasgun();
    command.args(args).args(["--bind", "127.0.0.1:0"]);
    assert_fails(command, reason);
}

#[track_caller]
fn assert_fails(command: Command, reason: &str) {
    let mut server = Server::launch(command);
    let mut seen = Vec::new();
    // Also after its end, when there are none but those that outlive it.
    eventually("it ends", || {
        seen.extend(descendants(server.pid()));
        !is_alive(server.pid())
    });
    assert_eq!(server.wait().code(), Some(1), "{:?}", server.log());
    let log = server.log().join("\n");
    assert!(log.contains(reason), "not because of {reason:?}:\n{log}");
    eventually("nothing is left", || !seen.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn a_file_that_is_no_component_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content, reason) in [
        ("garbage.wasm", &b"garbage"[..], "it is not WebAssembly"),
        ("empty.wasm", b"", "cannot serve"),
        ("module.wasm", b"\0asm\x01\0\0\0", "module"),
        ("cut.wasm", b"\0asm\x0d\0\x01\0\x07", "cannot serve"),
        ("handles-nothing.wat", b"(component)", "it exports neither"),
    ] {
        let path = file(dir.path(), name, content);
        fails_to_start(&[path.to_str().unwrap()], reason);
    }
}

#[test]
fn workers_that_cannot_start_end_the_server() {
    // A file that only the master has, as descriptor 9: the workers find nothing.
    let server = wasgun();
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$@" 9>>/dev/null"#, "sh"]).arg(server.get_program());
    command.args(["--demo", "-w", "2", "--bind", "127.0.0.1:0", "--access-log", "/proc/self/fd/9"]);
    command.env("WASGUN_CACHE_DIR", cache_dir());
    assert_fails(command, "cannot start: --access-log /proc/self/fd/9");
}

#[test]
fn a_pid_file_of_a_living_server_is_respected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    let args = ["--demo", "--pid", path.to_str().unwrap()];
    let first = Server::start(&args);
    fails_to_start(&args, &format!("it is held by process {}, which is running", first.pid()));
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), first.pid().to_string());
}
