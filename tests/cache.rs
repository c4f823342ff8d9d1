//! The cache of compiled components: used when it can be trusted, rebuilt when
//! it cannot.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::client::get;
use support::guests::guest_arg;
use support::{Server, run, wasgun};
use tempfile::TempDir;

fn private_dir() -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn command(cache: &Path) -> Command {
    let mut command = wasgun();
    command.args([&*guest_arg("hello"), "-w", "1", "--bind", "127.0.0.1:0", "--cache-dir"]).arg(cache);
    command
}

/// Starts a server with this cache, which must serve.
#[track_caller]
fn serve(cache: &Path) -> Server {
    let server = Server::spawn(command(cache));
    let hello = get(&server.address, "/");
    assert_eq!((hello.status, hello.text().as_str()), (200, "Hello, world!\n"));
    server
}

fn compilations(server: &Server) -> usize {
    server.count_log("compiling ")
}

/// The files of a cache whose name ends so.
fn files(cache: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

/// The one artifact of a cache.
#[track_caller]
fn artifact(cache: &Path) -> PathBuf {
    let found = files(cache, ".cwasm");
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// Asserts that the artifact in `cache` is told to be bad, made again, and good then.
#[track_caller]
fn assert_rebuilt(cache: &Path, what: &str) {
    let path = artifact(cache);
    let mut server = serve(cache);
    assert_eq!(compilations(&server), 1, "{what}");
    let warning = server.wait_for_log(" WARN ");
    assert!(warning.contains(path.to_str().unwrap()) && warning.contains("made again"), "{what}: {warning}");
    drop(server);
    let server = serve(cache);
    assert_eq!(compilations(&server), 0, "{what}: it is good now");
    assert_eq!(server.count_log(" WARN "), 0, "{what}");
}

#[test]
fn a_component_is_compiled_once_and_loaded_from_then_on() {
    let cache = private_dir();
    let mut first = serve(cache.path());
    assert_eq!(compilations(&first), 1);
    first.wait_for_log("kept in the cache");
    let made = fs::metadata(artifact(cache.path())).unwrap();
    drop(first);
    let second = serve(cache.path());
    assert_eq!(compilations(&second), 0);
    let kept = fs::metadata(artifact(cache.path())).unwrap();
    assert_eq!((made.ino(), made.mtime_nsec()), (kept.ino(), kept.mtime_nsec()));
}

#[test]
fn a_component_is_known_by_its_content_not_by_its_name() {
    let (cache, dir) = (private_dir(), private_dir());
    drop(serve(cache.path()));
    let copy = dir.path().join("another-name.wasm");
    let start = || {
        let mut command = wasgun();
        command.arg(&copy).args(["-w", "1", "--bind", "127.0.0.1:0", "--cache-dir"]).arg(cache.path());
        Server::spawn(command)
    };
    fs::copy(guest_arg("hello"), &copy).unwrap();
    assert_eq!(compilations(&start()), 0);
    fs::copy(guest_arg("hello_p3"), &copy).unwrap();
    assert_eq!(compilations(&start()), 1);
    assert_eq!(files(cache.path(), ".cwasm").len(), 2);
}

#[test]
fn an_entry_with_a_flipped_bit_is_made_again() {
    let cache = private_dir();
    drop(serve(cache.path()));
    let path = artifact(cache.path());
    let length = fs::read(&path).unwrap().len();
    // In the code, in what is known of it, and in the seal.
    for at in [0, length / 2, length - 60, length - 20, length - 1] {
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_rebuilt(cache.path(), &format!("byte {at} of {length}"));
    }
}

#[test]
fn an_entry_that_is_cut_is_made_again() {
    let cache = private_dir();
    drop(serve(cache.path()));
    let path = artifact(cache.path());
    for keep in [0, 10, 4096] {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..keep]).unwrap();
        assert_rebuilt(cache.path(), &format!("{keep} bytes left"));
    }
}

#[test]
fn an_entry_of_another_cache_is_not_believed() {
    let (cache, other) = (private_dir(), private_dir());
    drop(serve(cache.path()));
    drop(serve(other.path()));
    let path = artifact(cache.path());
    assert_eq!(path.file_name(), artifact(other.path()).file_name(), "it has the same name");
    fs::copy(artifact(other.path()), &path).unwrap();
    assert_rebuilt(cache.path(), "foreign");
}

#[test]
fn an_entry_that_compile_made_is_not_believed() {
    let cache = private_dir();
    drop(serve(cache.path()));
    let path = artifact(cache.path());
    let mut command = wasgun();
    command.args(["compile", &guest_arg("hello"), "-o"]).arg(&path);
    assert_eq!(run(command).code, Some(0));
    assert_rebuilt(cache.path(), "exported");
}

#[test]
fn a_directory_that_others_may_enter_is_refused_with_what_to_do() {
    let cache = private_dir();
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let finished = run(command(cache.path()));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    for text in ["cannot start: ", cache.path().to_str().unwrap(), "755", "chmod 700", "--cache-dir"] {
        assert!(finished.stderr.contains(text), "no {text}: {}", finished.stderr);
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "nothing is left there");
}

#[test]
fn a_cache_that_is_no_directory_is_refused() {
    let dir = private_dir();
    let path = support::file(dir.path(), "cache", b"");
    let finished = run(command(&path));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("not a directory") && finished.stderr.contains("--cache-dir"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_key_that_is_damaged_is_named() {
    let cache = private_dir();
    drop(serve(cache.path()));
    let key = cache.path().join("key");
    fs::write(&key, b"short").unwrap();
    let finished = run(command(cache.path()));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let wanted = format!("{}: it is damaged; remove it", key.display());
    assert!(finished.stderr.contains(&wanted), "{}", finished.stderr);
    fs::remove_file(&key).unwrap();
    assert_rebuilt(cache.path(), "with a new key");
}

#[test]
fn the_directory_and_what_is_in_it_are_for_its_user_alone() {
    let dir = private_dir();
    let cache = dir.path().join("made/by/the/server");
    drop(serve(&cache));
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    for path in files(&cache, "") {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn servers_that_start_at_once_compile_once() {
    for round in 0..3 {
        let cache = private_dir();
        let mut servers: Vec<_> = (0..3).map(|_| Server::launch(command(cache.path()))).collect();
        let mut made = BTreeSet::new();
        support::eventually("all are ready", || {
            for path in files(cache.path(), ".cwasm") {
                let entry = fs::metadata(&path).unwrap();
                made.insert((path, entry.ino(), entry.mtime(), entry.mtime_nsec()));
            }
            servers.iter().all(|server| server.count_log("ready: generation 1") == 1)
        });
        assert_eq!(made.len(), 1, "round {round}: it was made more than once");
        for server in &mut servers {
            assert_eq!(server.count_log(" WARN "), 0, "round {round}: {:#?}", server.log());
        }
        assert_eq!(files(cache.path(), ".tmp"), Vec::<PathBuf>::new());
        drop(serve(cache.path()));
    }
}

#[test]
fn an_entry_under_the_name_of_another_is_not_believed() {
    let cache = private_dir();
    let start = |guest: &str| {
        let mut command = wasgun();
        command
            .args([&*guest_arg(guest), "-w", "1", "--bind", "127.0.0.1:0", "--cache-dir"])
            .arg(cache.path());
        Server::spawn(command)
    };
    drop(serve(cache.path()));
    let hello = artifact(cache.path());
    drop(start("echo"));
    let echo = files(cache.path(), ".cwasm").into_iter().find(|path| *path != hello).unwrap();
    fs::copy(&echo, &hello).unwrap();
    let mut server = serve(cache.path());
    assert!(server.wait_for_log(" WARN ").contains("made again"));
}
