//! Compiling, its limits, and files that were compiled before.

use std::path::{Path, PathBuf};

use super::support::client::get;
use super::support::guests::{guest_arg, slow_component};
use super::support::{Finished, Server, file, run, wasgun};
use super::{AT_START, IN_CONFIGURATION, assert_ended, started_with, text};

/// `wasgun compile ...`
#[track_caller]
fn compile(args: &[&str]) -> Finished {
    let mut command = wasgun();
    command.arg("compile").args(args);
    run(command)
}

#[track_caller]
fn compiled(dir: &Path, guest: &str) -> PathBuf {
    let out = dir.join("app.cwasm");
    let finished = compile(&[&guest_arg(guest), "-o", text(&out)]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stdout.contains("compiled") && finished.stdout.contains(text(&out)),
        "{}",
        finished.stdout
    );
    out
}

#[test]
fn a_compiled_component_is_served_to_who_allows_it() {
    for guest in ["hello", "hello_p3"] {
        let dir = tempfile::tempdir().unwrap();
        let out = compiled(dir.path(), guest);
        let server = Server::start(&[text(&out), "--allow-precompiled", "-w", "1"]);
        let hello = get(&server.address, "/");
        assert_eq!((hello.status, hello.text().as_str()), (200, "Hello, world!\n"));
        assert_eq!(server.count_log("compiling"), 0);
    }
}

#[test]
fn a_compiled_component_is_refused_to_who_does_not_allow_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = compiled(dir.path(), "hello");
    assert_ended(
        &started_with(&[text(&out)]),
        IN_CONFIGURATION,
        &["APP", text(&out), "--allow-precompiled", "trust"],
    );
    // Another name does not make it another file.
    let renamed = dir.path().join("app.wasm");
    std::fs::rename(&out, &renamed).unwrap();
    assert_ended(
        &started_with(&[text(&renamed)]),
        AT_START,
        &["cannot start: ", text(&renamed), "not WebAssembly"],
    );
}

#[test]
fn a_compiled_component_that_is_damaged_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = compiled(dir.path(), "hello");
    let good = std::fs::read(&out).unwrap();
    for at in [0, 100, good.len() / 2, good.len() - 60, good.len() - 20] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&out, bad).unwrap();
        let finished = started_with(&[text(&out), "--allow-precompiled"]);
        assert_ended(&finished, AT_START, &["cannot start: ", text(&out), "damaged"]);
    }
    std::fs::write(&out, &good[..good.len() / 2]).unwrap();
    assert_ended(
        &started_with(&[text(&out), "--allow-precompiled"]),
        AT_START,
        &["cannot start: ", text(&out)],
    );
}

#[test]
fn a_compiled_component_that_wasgun_did_not_make_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content, said) in [
        ("other.cwasm", b"\x7fELF".repeat(100), "not made by `wasgun compile`"),
        ("short.cwasm", b"x".to_vec(), "too short"),
        ("empty.cwasm", Vec::new(), "too short"),
        ("source.cwasm", std::fs::read(guest_arg("hello")).unwrap(), "not made by `wasgun compile`"),
    ] {
        let path = file(dir.path(), name, &content);
        let finished = started_with(&[text(&path), "--allow-precompiled"]);
        assert_ended(&finished, AT_START, &["cannot start: ", text(&path), said]);
    }
}

#[test]
fn compile_says_what_is_wrong_with_its_input_and_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let module = file(dir.path(), "core.wat", b"(module)");
    let out = dir.path().join("out.cwasm");
    assert_ended(&compile(&[text(&module), "-o", text(&out)]), AT_START, &[text(&module), "core module"]);
    assert!(!out.exists());
    let nowhere = dir.path().join("nowhere/out.cwasm");
    assert_ended(
        &compile(&[&guest_arg("hello"), "-o", text(&nowhere)]),
        IN_CONFIGURATION,
        &["--output", "no such directory"],
    );
    assert_ended(&compile(&[&guest_arg("hello")]), IN_CONFIGURATION, &["--output"]);
    assert_ended(
        &compile(&["missing.wasm", "-o", text(&out)]),
        IN_CONFIGURATION,
        &["missing.wasm", "no such file"],
    );
}

#[test]
fn a_server_that_may_not_use_enough_memory_to_compile_says_which_option_to_raise() {
    let (cache, app) = (tempfile::tempdir().unwrap(), guest_arg("probe"));
    std::fs::set_permissions(cache.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let finished = started_with(&[&app, "--compile-memory", "64MiB", "--cache-dir", text(cache.path())]);
    assert_ended(&finished, AT_START, &["cannot start: ", &app, "--compile-memory"]);
}

#[test]
fn a_server_that_may_not_take_enough_time_to_compile_says_which_option_to_raise() {
    let dir = tempfile::tempdir().unwrap();
    let app = slow_component(dir.path());
    let finished = started_with(&[text(&app), "--compile-timeout", "1s"]);
    assert_ended(&finished, AT_START, &["cannot start: ", text(&app), "--compile-timeout"]);
}

#[test]
fn compile_says_which_option_to_raise_when_memory_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let (app, out) = (guest_arg("probe"), dir.path().join("out.cwasm"));
    let finished = compile(&[&app, "-o", text(&out), "--compile-memory", "64MiB"]);
    assert_ended(&finished, AT_START, &[&app, "--compile-memory"]);
    assert!(!out.exists());
}

#[test]
fn compile_says_which_option_to_raise_when_time_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let (app, out) = (slow_component(dir.path()), dir.path().join("out.cwasm"));
    let finished = compile(&[text(&app), "-o", text(&out), "--compile-timeout", "1s"]);
    assert_ended(&finished, AT_START, &[text(&app), "--compile-timeout"]);
    assert!(!out.exists());
}

#[test]
fn a_compiled_component_that_is_written_over_harms_nobody_until_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let app = compiled(dir.path(), "probe");
    let server = Server::start(&[text(&app), "--allow-precompiled", "-w", "1"]);
    // In place, as `cp` does it.
    std::fs::write(&app, b"not finished").unwrap();
    assert_eq!(get(&server.address, "/hello").status, 200);
    assert_eq!(get(&server.address, "/headers?n=3").status, 200);
    assert_eq!(server.count_log("died"), 0);
}

#[test]
fn a_compiled_component_needs_no_cache() {
    let dir = tempfile::tempdir().unwrap();
    let app = compiled(dir.path(), "hello");
    let server =
        Server::start(&[text(&app), "--allow-precompiled", "-w", "1", "--cache-dir", "/proc/nowhere"]);
    assert_eq!(get(&server.address, "/").status, 200);
}

#[test]
fn compile_replaces_files_and_nothing_else() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    assert_ended(
        &compile(&[&guest_arg("hello"), "-o", "/dev/full"]),
        IN_CONFIGURATION,
        &["--output: /dev/full is not a regular file"],
    );
    assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device());

    // Of a link what it leads to, which anybody may read as far as the umask says.
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (file(dir.path(), "real", b"old"), dir.path().join("link"));
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let server = wasgun();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(server.get_program());
    command.args(["compile", &guest_arg("hello"), "-o", text(&link)]);
    assert_eq!(run(command).code, Some(0));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let made = std::fs::metadata(&real).unwrap();
    assert!(made.len() > 1000 && made.mode() & 0o777 == 0o644, "{made:?}");
}
