//! Which programs a project is built with.

use std::path::PathBuf;

/// Programs by the name of the project; what is not here needs what the tests
/// themselves need.
const PROGRAMS: [(&str, &[&str]); 12] = [
    ("python", &["componentize-py", "python3"]),
    ("flask", &["componentize-py", "python3"]),
    ("starlette", &["componentize-py", "python3"]),
    ("fastapi", &["componentize-py", "python3"]),
    ("wsgi", &["componentize-py"]),
    ("javascript", &["npm"]),
    ("typescript", &["npm"]),
    ("quickjs", &["npm"]),
    ("fetch-event", &["npm"]),
    ("go", &["go", "wasm-tools", "make"]),
    ("c", &["zig", "wasm-tools", "make"]),
    ("zig", &["zig", "wasm-tools"]),
];

/// The first program that a project needs and is not there.
pub fn missing(name: &str) -> Option<&'static str> {
    let (_, programs) = PROGRAMS.iter().find(|(project, _)| *project == name)?;
    programs.iter().find(|program| !is_there(program)).copied()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir: PathBuf| dir.join(program)).any(|file| file.is_file())
}
