//! Files that are no HTTP application.

use std::os::unix::fs::PermissionsExt;

use super::support::client::get;
use super::support::{Server, file};
use super::{AT_START, IN_CONFIGURATION, assert_ended, started_with, text};

/// Serves a file of this name and content, which must not work.
#[track_caller]
fn assert_refused(name: &str, content: &[u8], texts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), name, content);
    let finished = started_with(&[text(&path)]);
    assert_ended(&finished, AT_START, &[&["cannot start: ", text(&path)], texts].concat());
}

#[test]
fn without_an_app_it_says_how_to_name_one() {
    assert_ended(&started_with(&[]), IN_CONFIGURATION, &["APP", "wasgun app.wasm", "--demo", "--help"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing.wasm");
    assert_ended(&started_with(&[text(&path)]), IN_CONFIGURATION, &["APP", text(&path), "no such file"]);
}

#[test]
fn a_directory_is_no_component() {
    let dir = tempfile::tempdir().unwrap();
    assert_ended(
        &started_with(&[text(dir.path())]),
        IN_CONFIGURATION,
        &["APP", text(dir.path()), "directory"],
    );
}

#[test]
fn a_pipe_or_device_is_no_component() {
    assert_ended(&started_with(&["/dev/null"]), IN_CONFIGURATION, &["APP", "/dev/null", "regular file"]);
}

#[test]
fn an_unreadable_file_is_named_which_root_cannot_test() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "secret.wasm", b"(component)");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        eprintln!("skipped: root reads everything");
        return;
    }
    assert_ended(&started_with(&[text(&path)]), IN_CONFIGURATION, &["APP", text(&path), "permission denied"]);
}

#[test]
fn bytes_that_are_neither_wasm_nor_text_are_refused() {
    let garbage: Vec<u8> = (0..500_u32).map(|n| (n * 37 % 256) as u8 | 0x80).collect();
    assert_refused("garbage.wasm", &garbage, &["not WebAssembly"]);
    assert_refused("picture.wasm", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &["not WebAssembly"]);
}

#[test]
fn an_empty_file_is_refused() {
    assert_refused("empty.wasm", b"", &["not WebAssembly"]);
}

#[test]
fn text_that_is_not_wat_is_refused() {
    assert_refused("hello.wasm", b"hello there", &["not WebAssembly", "hello there"]);
    assert_refused("hello.wat", b"(component (import))", &["does not parse"]);
}

#[test]
fn a_component_that_is_cut_is_refused() {
    let whole = std::fs::read(super::support::guests::guest("hello")).unwrap();
    assert_refused("cut.wasm", &whole[..whole.len() / 2], &["damaged"]);
    assert_refused("stub.wasm", b"\0asm\x0d\0\x01\0garbage", &["damaged"]);
}

#[test]
fn a_core_module_is_refused_with_the_way_to_make_a_component() {
    let texts = ["core module", "wasm32-wasip2", "wasgun new"];
    assert_refused("core.wasm", b"\0asm\x01\0\0\0", &texts);
    assert_refused("core.wat", b"(module)", &texts);
    let unfinished =
        br#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (@custom "component-type:app" "x"))"#;
    assert_refused("go.wat", unfinished, &["core module", "`wasm-tools component new CORE --adapt "]);
}

#[test]
fn a_command_is_refused_with_what_to_export_instead() {
    let wat = br#"(component (instance $run) (export "wasi:cli/run@0.2.0" (instance $run)))"#;
    assert_refused(
        "command.wat",
        wat,
        &["command", "wasi:cli/run", "wasi:http/incoming-handler", "wasi:http/handler"],
    );
}

#[test]
fn a_component_that_exports_something_else_is_refused_with_its_exports() {
    let wat = br#"(component (instance $x) (export "my:own/thing@1.0.0" (instance $x)))"#;
    assert_refused(
        "other.wat",
        wat,
        &["wasi:http/incoming-handler", "wasi:http/handler", "my:own/thing@1.0.0"],
    );
    assert_refused("nothing.wat", b"(component)", &["wasi:http/incoming-handler", "none"]);
}

#[test]
fn imports_that_nobody_provides_are_listed_with_who_would() {
    let wat = br#"(component
        (import "fermyon:spin/key-value@2.0.0" (instance))
        (import "spin:postgres/postgres@3.0.0" (instance))
        (import "wasi:keyvalue/store@0.2.0" (instance))
        (import "wasi:io/poll@0.2.0" (instance))
        (import "my:own/thing@1.0.0" (instance))
        (instance $h) (export "wasi:http/incoming-handler@0.2.0" (instance $h)))"#;
    let texts = [
        "fermyon:spin/key-value@2.0.0 (provided by Spin",
        "spin:postgres/postgres@3.0.0 (provided by Spin",
        "wasi:keyvalue/store@0.2.0 (provided by a host with a key-value store",
        "my:own/thing@1.0.0\n",
    ];
    // A line break after the last, so that all can be looked for in one way.
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "spin.wat", wat);
    let mut finished = started_with(&[text(&path)]);
    finished.stderr.push('\n');
    assert_ended(&finished, AT_START, &[&["cannot start: ", text(&path)], &texts[..]].concat());
    assert!(!finished.stderr.contains("wasi:io/poll"), "that one is provided:\n{}", finished.stderr);
}

#[test]
fn a_release_candidate_is_told_from_the_release() {
    let wat = br#"(component (import "wasi:http/types@0.3.0-rc-2025-09-16" (instance))
        (instance $h) (export "wasi:http/handler@0.3.0-rc-2025-09-16" (instance $h)))"#;
    assert_refused("candidate.wat", wat, &["0.3.0-rc-2025-09-16", "release candidate"]);
}

#[test]
fn an_app_that_starts_with_more_memory_than_it_may_have_is_told_which_option_to_raise() {
    let finished = started_with(&[&super::support::guests::guest_arg("probe"), "--memory-limit", "1MiB"]);
    assert_ended(&finished, AT_START, &["--memory-limit", "raise"]);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_ended(
        &started_with(&["--demo", "--bind", &address]),
        AT_START,
        &["cannot listen on", &address, "in use"],
    );
}

#[test]
fn the_demo_needs_no_file() {
    let server = Server::start(&["--demo", "-w", "1"]);
    let page = get(&server.address, "/");
    assert!(page.status == 200 && page.text().to_ascii_lowercase().contains("<html"), "{}", page.text());
    assert!(
        page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")),
        "{:?}",
        page.headers
    );
    let now: serde_json::Value = serde_json::from_slice(&get(&server.address, "/now").body).unwrap();
    assert!(now["request"].is_string() && now["answered"].is_u64() && now["ns"].is_u64(), "{now}");
    let hello = get(&server.address, "/hello");
    assert!(hello.status == 200 && hello.text().contains("Hello"), "{}", hello.text());
    assert_eq!(get(&server.address, "/nothing").status, 404);
}
