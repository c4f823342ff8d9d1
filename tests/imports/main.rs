//! The shape of the source: imports point down, one module names the engine,
//! three places are unsafe, no file is long. ARCHITECTURE.md has the picture.

mod scan;

use std::path::{Path, PathBuf};

use scan::{SourceFile, names_of, without_comments_and_texts, word_at_start};

/// Modules by level: each may name those of the levels above it in this list.
const LEVELS: [&[&str]; 4] = [
    &["config", "sys"],
    &["listeners", "telemetry", "artifact", "sandbox", "control", "systemd", "templates"],
    &["handoff", "host"],
    &["master", "mold", "worker", "compiler"],
];

/// Where `unsafe` may be.
const UNSAFE: [&str; 3] = ["sys/", "host/load.rs", "host/memories.rs"];

const LONGEST_FILE: usize = 400;

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|modules| modules.contains(&module))
}

/// How many modules a file is below the root of the crate.
fn depth(path: &str) -> usize {
    path.split('/').filter(|part| *part != "mod.rs").count()
}

/// What is wrong with a file, by the rules above.
fn faults(file: &SourceFile) -> Vec<String> {
    let (path, code) = (&*file.path, without_comments_and_texts(&file.text));
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(format!("src/{path}: {text}"));
    let module = path.split('/').next().unwrap().trim_end_matches(".rs");
    match (level(module), path) {
        (Some(own), _) => {
            for name in names_of(&code, "crate") {
                match level(&name) {
                    Some(_) if name == module => {}
                    Some(other) if other < own => {}
                    Some(_) => fault(format!("{module} names {name}, which is not below it")),
                    None => fault(format!("{name} is on no level")),
                }
            }
            // `super` from here reaches the root of the crate as well.
            let above = vec!["super"; depth(path)].join("::");
            for name in names_of(&code, &above) {
                if level(&name).is_some_and(|other| other >= own) && name != module {
                    fault(format!("{module} names {name} by super, which is not below it"));
                }
            }
            if names_of(&code, "wasgun").iter().any(|name| level(name).is_some()) {
                fault("it names the crate from outside".into());
            }
        }
        (None, "main.rs" | "lib.rs") => {}
        (None, _) => fault(format!("{module} is on no level")),
    }
    if module != "host" && word_at_start(&code, "wasmtime") {
        fault("only host names wasmtime".into());
    }
    let allowed = UNSAFE.iter().any(|place| path.starts_with(place));
    if !allowed && code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
        fault("unsafe".into());
    }
    let lines = file.text.lines().count();
    if lines > LONGEST_FILE && !path.contains("/tests/") {
        fault(format!("{lines} lines"));
    }
    faults
}

/// Every Rust file below `dir`, by its path from `root`.
fn sources(root: &Path, dir: &Path, found: &mut Vec<SourceFile>) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(SourceFile {
                path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
                text,
            });
        }
    }
}

#[test]
fn imports_point_down_and_the_other_rules_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &root, &mut files);
    assert!(files.len() > 40, "{} files were found", files.len());
    for module in LEVELS.concat() {
        let has = |file: &SourceFile| {
            file.path.starts_with(&format!("{module}/")) || file.path == format!("{module}.rs")
        };
        assert!(files.iter().any(has), "there is no module {module}");
    }
    let faults: Vec<_> = files.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_main_names_several_modules_of_the_top() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = std::fs::read_to_string(root.join("main.rs")).unwrap();
    let named = names_of(&without_comments_and_texts(&text), "wasgun");
    let top: Vec<_> = named.iter().filter(|name| LEVELS[3].contains(&name.as_str())).collect();
    assert_eq!(top.len(), LEVELS[3].len(), "main ties them together: {named:?}");
}

#[test]
fn the_rules_find_what_breaks_them() {
    for (path, text, wanted) in [
        ("config/mod.rs", "use crate::sys::fd;", "config names sys"),
        ("sys/mod.rs", "fn f() -> crate::config::Config {}", "sys names config"),
        (
            "telemetry/log.rs",
            "use crate::{\n    config::LogConfig,\n    artifact::{Cache, Needs},\n};",
            "telemetry names artifact",
        ),
        ("host/app.rs", "use crate::{worker};", "host names worker"),
        ("worker/mod.rs", "let x = crate::master::run();", "worker names master"),
        ("worker/http1/mod.rs", "use crate::mold as other;", "worker names mold"),
        ("worker/http1/mod.rs", "use crate :: mold;", "worker names mold"),
        ("worker/a.rs", "use wasgun::mold;", "from outside"),
        ("worker/mod.rs", "use super::mold;", "worker names mold by super"),
        ("worker/a.rs", "use super::super::{mold, host};", "worker names mold by super"),
        ("worker/http1/mod.rs", "mod tests { use super::super::super::mold; }", "worker names mold by super"),
        ("config/mod.rs", "use crate::novel::Thing;", "novel is on no level"),
        ("novel/mod.rs", "", "novel is on no level"),
        ("worker/body.rs", "use wasmtime::Engine;", "only host names wasmtime"),
        ("worker/body.rs", "type B = ::wasmtime_wasi_http::WasiBody;", "only host names wasmtime"),
        ("worker/body.rs", "fn f() { unsafe { g() } }", "unsafe"),
        ("host/app.rs", "unsafe impl Send for App {}", "unsafe"),
        ("worker/long.rs", &"\n".repeat(LONGEST_FILE + 1), "401 lines"),
        ("main.rs", "fn f() { unsafe { g() } }", "unsafe"),
    ] {
        let found = faults(&SourceFile { path: path.into(), text: text.into() });
        assert!(
            found.len() == 1 && found[0].contains(wanted),
            "{text:?} in {path}: {found:?}, not {wanted:?}"
        );
    }
    for (path, text) in [
        ("worker/mod.rs", "use crate::host::{self, App};\nuse crate::worker::http1;\nuse super::super::x;"),
        ("worker/a.rs", "use super::mold;"),
        ("host/mod.rs", "use crate::{config, artifact::{Cache, worker}};"),
        ("worker/mod.rs", "// crate::master, wasmtime and unsafe\n/* crate::mold /* nested */ unsafe */"),
        (
            "worker/mod.rs",
            r##"let a = "crate::master \" unsafe"; let b = r#"unsafe " wasmtime::"#; let c = '"'; unsafely();"##,
        ),
        ("host/load.rs", "let x = unsafe { wasmtime::f() };"),
        ("sys/a.rs", "fn f<'a>(x: &'a str) { unsafe { g() } }"),
        ("main.rs", "use wasgun::{compiler, master, mold, worker};"),
        ("worker/http1/tests/mod.rs", &"\n".repeat(LONGEST_FILE + 1)),
    ] {
        let found = faults(&SourceFile { path: path.into(), text: text.into() });
        assert!(found.is_empty(), "{text:?} in {path}: {found:?}");
    }
}
