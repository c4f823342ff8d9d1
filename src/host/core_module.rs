//! A core module in place of a component: where it comes from, and what its author is
//! to do. It is what toolchains make that do not know components, or whose last step was
//! left out.

use std::collections::BTreeSet;

use wasmparser::{KnownCustom, Parser, Payload};

/// Who asks its host for what, by the name of the module that it imports from, or the
/// beginning of a name that it imports from there.
const ELSEWHERE: [(&str, &str, &str); 7] = [
    ("wbg", "", "it was made by wasm-bindgen, for browsers: with Rust use `--target wasm32-wasip2`"),
    (
        "__wbindgen_placeholder__",
        "",
        "it was made for wasm-bindgen, for browsers: with Rust use `--target wasm32-wasip2`",
    ),
    (
        "gojs",
        "",
        "it was made by Go for browsers (GOOS=js): `wasgun new go DIR` shows how to build a component",
    ),
    ("wasix_32v1", "", "it is for WASIX, which only Wasmer provides"),
    ("env", "emscripten", "it was made by Emscripten, for browsers: use clang with WASI's libc, or `zig cc`"),
    (
        "env",
        "_emscripten",
        "it was made by Emscripten, for browsers: use clang with WASI's libc, or `zig cc`",
    ),
    ("env", "invoke_", "it was made by Emscripten, for browsers: use clang with WASI's libc, or `zig cc`"),
];

/// What languages do about it, by the beginning of how producers call them: the C library is in many.
const LANGUAGES: [(&str, &str); 5] = [
    ("Rust", "with Rust use `--target wasm32-wasip2`"),
    ("Go", "`wasgun new go DIR` shows how for Go"),
    ("Zig", "`wasgun new zig DIR` shows how for Zig"),
    ("C_plus_plus", "`wasgun new c DIR` shows how for C, and C++ is built the same way"),
    ("C", "`wasgun new c DIR` shows how for C"),
];

#[derive(Default)]
struct Traces {
    /// What it imports: modules and names.
    imports: Vec<(String, String)>,
    /// It says which component it wants to be.
    has_component_type: bool,
    /// The languages of its sources.
    languages: BTreeSet<String>,
}

/// Says that it is a core module, and what to do about that.
pub(super) fn explain(binary: &[u8]) -> String {
    // What is damaged tells less.
    let traces = look_at(binary).unwrap_or_default();
    let imports = |module: &str, name: &str| {
        traces.imports.iter().any(|(from, what)| from == module && what.starts_with(name))
    };
    let elsewhere = ELSEWHERE.iter().find(|(module, name, _)| imports(module, name));
    let adapt = match imports("wasi_snapshot_preview1", "") {
        true => " --adapt wasi_snapshot_preview1=wasi_snapshot_preview1.reactor.wasm",
        false => "",
    };
    let what_to_do = match elsewhere {
        Some((_, _, text)) => (*text).to_owned(),
        None if traces.has_component_type => {
            format!("its last step is missing, `wasm-tools component new CORE{adapt} -o APP`")
        }
        None => {
            let known = |(name, _): &&(&str, &str)| {
                traces.languages.iter().any(|language| language.starts_with(name))
            };
            let language = LANGUAGES.iter().find(known).map_or_else(
                || "with Rust `--target wasm32-wasip2`, for other languages see `wasgun new`".to_owned(),
                |(_, text)| (*text).to_owned(),
            );
            match adapt {
                "" => format!("build a component: {language}"),
                _ => format!("it is for WASI preview 1, which knows no HTTP; build a component: {language}"),
            }
        }
    };
    format!("it is a core module, not a component; {what_to_do}")
}

fn look_at(binary: &[u8]) -> wasmparser::Result<Traces> {
    let mut traces = Traces::default();
    for payload in Parser::new(0).parse_all(binary) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    traces.imports.push((import.module.to_owned(), import.name.to_owned()));
                }
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                traces.has_component_type = true;
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Producers(producers) = section.as_known() else { continue };
                for field in producers {
                    let field = field?;
                    if field.name == "language" {
                        for value in field.values {
                            traces.languages.insert(value?.name.to_owned());
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(module: &str) -> String {
        explain(&wat::parse_str(module).unwrap())
    }

    #[test]
    fn a_core_module_is_told_what_its_toolchain_leaves_out() {
        for (module, wanted) in [
            ("(module)", "wasgun new"),
            (r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#, "WASI preview 1"),
            (r#"(module (import "wbg" "__wbg_now" (func)))"#, "wasm-bindgen"),
            (r#"(module (import "gojs" "runtime.wasmExit" (func)))"#, "GOOS=js"),
            (r#"(module (import "wasix_32v1" "futex_wait" (func)))"#, "Wasmer"),
            (r#"(module (import "env" "emscripten_resize_heap" (func)))"#, "Emscripten"),
            (r#"(module (@custom "component-type:app" "x"))"#, "`wasm-tools component new CORE -o APP`"),
            (r#"(module (@producers (language "Go" "1.27")))"#, "wasgun new go"),
            (r#"(module (@producers (language "Rust" "")))"#, "wasm32-wasip2"),
            (r#"(module (@producers (language "C11" "") (language "C_plus_plus_14" "")))"#, "C++"),
            (r#"(module (@producers (language "C99" "")))"#, "shows how for C"),
        ] {
            let text = explained(module);
            assert!(text.starts_with("it is a core module") && text.contains(wanted), "{module}: {text}");
        }
    }

    #[test]
    fn the_last_step_names_the_adapter_where_one_is_needed() {
        let text = explained(
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (@custom "component-type:app" "x"))"#,
        );
        assert!(text.contains("component new CORE --adapt wasi_snapshot_preview1="), "{text}");
    }

    #[test]
    fn a_damaged_one_is_still_called_a_core_module() {
        let mut binary = wat::parse_str("(module (memory 1))").unwrap();
        binary.truncate(10);
        assert!(explain(&binary).starts_with("it is a core module"));
    }
}
