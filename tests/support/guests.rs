//! The guests of guests/, built from source once a test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    add_target();
    // cargo locks the directory: test programs that start together wait.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target", TARGET])
        .current_dir(&guests)
        // Settings for the server's own build are none for the guests'.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "the guests do not build:\n{}", String::from_utf8_lossy(&built.stderr));
    guests.join("target").join(TARGET).join("release")
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
