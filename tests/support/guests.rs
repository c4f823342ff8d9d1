//! The guests of guests/: their sources, and what is built of them once a test run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

const TARGET: &str = "wasm32-wasip2";

/// The component of a crate in guests/: `hello`, `echo_p3`.
#[track_caller]
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(build).join(format!("{name}.wasm"));
    assert!(path.exists(), "guests/ has no {name}");
    path
}

/// The same as text, for an argument.
#[track_caller]
pub fn guest_arg(name: &str) -> String {
    guest(name).into_os_string().into_string().unwrap()
}

fn build() -> PathBuf {
    add_target();
    build_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("guests"))
}

/// Builds what is in `dir`; where the components are.
#[track_caller]
fn build_in(dir: &Path) -> PathBuf {
    // cargo locks the directory: test programs that start together wait.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target", TARGET])
        .current_dir(dir)
        // Settings for the server's own build are none for the guests'.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    assert!(
        built.status.success(),
        "{} does not build:\n{}",
        dir.display(),
        String::from_utf8_lossy(&built.stderr)
    );
    dir.join("target").join(TARGET).join("release")
}

fn add_target() {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    if installed
        .is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == TARGET))
    {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "run this, then the tests again: rustup target add {TARGET}"
    );
}

/// The component `file` of a guest that is a package of its own, as its README builds it.
#[track_caller]
pub fn lone_guest(name: &str, file: &str) -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let _lock = LOCK.lock();
    add_target();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name);
    build_in(&dir).join(file)
}

/// The files of a folder and of those that are links there, by their paths in it; not what
/// building it makes.
pub fn folder(path: &str) -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let ignored = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    // The patterns that are used there: a name, an ending, and with a slash a name in that folder alone.
    let is_ignored = |dir: &Path, name: &str| {
        ignored.lines().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_prefix('/')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(own)) => dir == root && name == own,
            _ => name == pattern,
        })
    };
    let (mut files, mut dirs) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            if is_ignored(&dir, &path.file_name().unwrap().to_string_lossy()) {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else {
                let bytes =
                    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                files.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

/// A component whose compilation takes one core several seconds.
pub fn slow_component(dir: &Path) -> PathBuf {
    let step = "(if (local.get 0) (then (local.set 0 (i32.mul (local.get 1) (local.get 0))) \
                (local.set 1 (i32.add (local.get 1) (local.get 0)))))";
    let wat = format!(
        "(component (core module (func (param i32 i32) {})) (instance $h) \
         (export \"wasi:http/incoming-handler@0.2.0\" (instance $h)))",
        step.repeat(30_000)
    );
    super::file(dir, "slow.wat", wat.as_bytes())
}
