//! A look at a component before it is compiled: is it one, what does it
//! export, and does it import what no host of this kind has.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

/// Generation of `wasi:http` that an app exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wasi {
    /// `wasi:http/incoming-handler@0.2.*`
    V02,
    /// `wasi:http/handler@0.3.*`
    V03,
}

/// Packages of each generation that the host provides.
const PROVIDED: [(&str, &[&str]); 2] = [
    ("0.2", &["cli", "clocks", "filesystem", "http", "io", "random", "sockets"]),
    ("0.3", &["cli", "clocks", "filesystem", "http", "random", "sockets"]),
];

/// Who provides what wasgun does not, by the start of the interface's name.
const ELSEWHERE: [(&str, &str); 9] = [
    ("spin:", "Spin (`spin up`)"),
    ("fermyon:", "Spin (`spin up`)"),
    ("fastly:", "Fastly Compute"),
    ("wasmcloud:", "wasmCloud"),
    ("wasi:keyvalue", "a host with a key-value store, such as wasmCloud or Spin"),
    ("wasi:blobstore", "a host with a blob store, such as wasmCloud"),
    ("wasi:messaging", "a host with a message broker, such as wasmCloud"),
    ("wasi:config", "a host with wasi:config; here --env passes settings"),
    ("wasi:nn", "a host with wasi:nn, such as wasmtime with -S nn"),
];

/// Turns text (`.wat`) into a binary; a binary passes through.
///
/// # Errors
/// It is neither.
pub fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if bytes.is_empty() {
        bail!("it is not WebAssembly: it is empty");
    }
    if !bytes.starts_with(b"\0asm") && std::str::from_utf8(bytes).is_err() {
        bail!("it is not WebAssembly: it starts with neither the wasm magic nor text");
    }
    wat::parse_bytes(bytes).map_err(|error| {
        anyhow::anyhow!(
            "it is not WebAssembly: it lacks the wasm magic, and as text it does not parse: {error}"
        )
    })
}

/// Finds out which generation a component is of.
///
/// # Errors
/// It is no component, exports no HTTP handler, or imports what is not provided;
/// the text says what to do.
pub fn inspect(binary: &[u8]) -> Result<Wasi> {
    let names = top_level_names(binary)?;
    let missing: Vec<_> = names.imports.iter().filter(|name| !provided(name)).collect();
    if !missing.is_empty() {
        let mut text = String::from("it imports what wasgun does not provide:");
        for name in missing {
            text.push_str(&format!("\n  {name}{}", elsewhere(name)));
        }
        bail!(text);
    }
    if names.exports.iter().any(|name| is(name, "wasi:http/handler", "0.3")) {
        return Ok(Wasi::V03);
    }
    if names.exports.iter().any(|name| is(name, "wasi:http/incoming-handler", "0.2")) {
        return Ok(Wasi::V02);
    }
    if names.exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
        bail!(
            "it is a command (it exports wasi:cli/run), not an HTTP app: \
             export wasi:http/incoming-handler (0.2) or wasi:http/handler (0.3)"
        );
    }
    bail!(
        "it exports neither wasi:http/incoming-handler@0.2 nor wasi:http/handler@0.3 (its exports: {})",
        if names.exports.is_empty() { "none".to_owned() } else { names.exports.join(", ") }
    )
}

struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

fn top_level_names(binary: &[u8]) -> Result<Names> {
    let mut names = Names { imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(binary) {
        match payload.context("it is damaged")? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => bail!(
                "it is a core module; build a component: with Rust `--target wasm32-wasip2`, \
                 otherwise `wasm-tools component new` with the adapter of your toolchain"
            ),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    names.imports.push(import.context("it is damaged")?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.context("it is damaged")?;
                    if export.kind == ComponentExternalKind::Instance {
                        names.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Whether `name` is `interface` of a release of `generation` (`0.2`, `0.3`);
/// release candidates are other interfaces.
fn is(name: &str, interface: &str, generation: &str) -> bool {
    name.split_once('@').is_some_and(|(path, version)| {
        path == interface
            && version
                .strip_prefix(generation)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

fn provided(name: &str) -> bool {
    let interface = name.split('@').next().unwrap_or(name);
    let package = interface.strip_prefix("wasi:").and_then(|path| path.split('/').next());
    PROVIDED.iter().any(|(generation, packages)| {
        package.is_some_and(|package| packages.contains(&package)) && is(name, interface, generation)
    })
}

fn elsewhere(name: &str) -> String {
    if name.contains("-rc") {
        return " (a release candidate: rebuild it with tools for the released version)".to_owned();
    }
    ELSEWHERE
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map_or_else(String::new, |(_, host)| format!(" (provided by {host})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
        let mut text = String::from("(component ");
        for name in imports {
            text.push_str(&format!("(import \"{name}\" (instance)) "));
        }
        text.push_str("(instance $e) ");
        for name in exports {
            text.push_str(&format!("(export \"{name}\" (instance $e)) "));
        }
        wat::parse_str(text + ")").unwrap()
    }

    fn refused(binary: &[u8]) -> String {
        format!("{:#}", inspect(binary).unwrap_err())
    }

    #[test]
    fn generations_are_matched_by_range() {
        for (export, wasi) in [
            ("wasi:http/incoming-handler@0.2.0", Wasi::V02),
            ("wasi:http/incoming-handler@0.2.12", Wasi::V02),
            ("wasi:http/handler@0.3.0", Wasi::V03),
            ("wasi:http/handler@0.3.7", Wasi::V03),
        ] {
            assert_eq!(inspect(&component(&["wasi:io/streams@0.2.6"], &[export])).unwrap(), wasi);
        }
        for export in
            ["wasi:http/handler@0.3.0-rc-2026-03-15", "wasi:http/handler@0.4.0", "wasi:http/handler@0.30.0"]
        {
            assert!(refused(&component(&[], &[export])).contains("exports neither"), "{export}");
        }
    }

    #[test]
    fn what_is_missing_is_listed_with_who_has_it() {
        let text = refused(&component(
            &[
                "spin:key-value/key-value@2.0.0",
                "wasi:http/types@0.3.0-rc-2026-03-15",
                "wasi:io/poll@0.2.1",
                "acme:x/y",
            ],
            &["wasi:http/incoming-handler@0.2.0"],
        ));
        assert!(text.contains("spin:key-value/key-value@2.0.0 (provided by Spin"), "{text}");
        assert!(text.contains("0.3.0-rc-2026-03-15 (a release candidate"), "{text}");
        assert!(text.contains("acme:x/y"), "{text}");
        assert!(!text.contains("wasi:io"), "{text}");
    }

    #[test]
    fn other_kinds_explain_themselves() {
        assert!(refused(&wat::parse_str("(module)").unwrap()).contains("core module"));
        assert!(refused(&component(&[], &["wasi:cli/run@0.2.0"])).contains("it is a command"));
        assert!(refused(&component(&[], &[])).contains("its exports: none"));
        assert!(refused(b"\0asm").contains("damaged"));
        assert!(to_binary(b"\x7fELF\xff").is_err());
        assert!(to_binary(b"<html>").is_err());
    }
}
