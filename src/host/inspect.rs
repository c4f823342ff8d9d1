//! A look at a component before it is compiled: is it one, what does it
//! export, and does it import what no host of this kind has.

use std::borrow::Cow;

use super::core_module;
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

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// The generation that it is of.
    pub wasi: Wasi,
    /// It needs an app behind it: it imports the very interface that it exports.
    pub is_middleware: bool,
}

impl Wasi {
    /// The interface that an app of this generation exports.
    pub fn handler(self) -> &'static str {
        match self {
            Self::V02 => "wasi:http/incoming-handler",
            Self::V03 => "wasi:http/handler",
        }
    }

    /// Its number.
    pub fn number(self) -> &'static str {
        match self {
            Self::V02 => "0.2",
            Self::V03 => "0.3",
        }
    }

    fn is_handler(self, name: &str) -> bool {
        is(name, self.handler(), self.number())
    }
}

/// Finds out which generation a component is of, and whether it wants an app behind it.
///
/// # Errors
/// It is no component, exports no HTTP handler, or imports what is not provided;
/// the text says what to do.
pub fn inspect(binary: &[u8]) -> Result<Role> {
    let names = top_level_names(binary)?;
    let missing: Vec<_> = names.imports.iter().filter(|name| !provided(name)).collect();
    if !missing.is_empty() {
        let mut text = String::from("it imports what wasgun does not provide:");
        for name in missing {
            text.push_str(&format!("\n  {name}{}", elsewhere(name)));
        }
        bail!(text);
    }
    let wasi = [Wasi::V03, Wasi::V02];
    let wasi = wasi.into_iter().find(|wasi| names.exports.iter().any(|name| wasi.is_handler(name)));
    let Some(wasi) = wasi else { bail!(names.without_handler()) };
    let is_middleware = names.imports.iter().any(|name| wasi.is_handler(name));
    Ok(Role { wasi, is_middleware })
}

struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Names {
    /// Why it cannot be served.
    fn without_handler(&self) -> String {
        if self.exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
            return "it is a command (it exports wasi:cli/run), which runs once and ends, not an HTTP app: \
                    export wasi:http/incoming-handler (0.2) or wasi:http/handler (0.3), as a project \
                    by `wasgun new` does"
                .to_owned();
        }
        let exports = match &self.exports[..] {
            [] => "none".to_owned(),
            exports => exports.join(", "),
        };
        let candidate =
            self.exports.iter().find(|name| name.starts_with("wasi:http/") && name.contains("-rc"));
        let hint = candidate
            .map_or("", |_| "; that is a release candidate: rebuild it with tools for the released version");
        format!(
            "it exports neither wasi:http/incoming-handler@0.2 nor wasi:http/handler@0.3 (its exports: {exports}){hint}"
        )
    }
}

fn top_level_names(binary: &[u8]) -> Result<Names> {
    let mut names = Names { imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(binary) {
        match payload.context("it is damaged")? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                bail!(core_module::explain(binary))
            }
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
            let role = inspect(&component(&["wasi:io/streams@0.2.6"], &[export])).unwrap();
            assert_eq!(role, Role { wasi, is_middleware: false });
        }
        for export in
            ["wasi:http/handler@0.3.0-rc-2026-03-15", "wasi:http/handler@0.4.0", "wasi:http/handler@0.30.0"]
        {
            assert!(refused(&component(&[], &[export])).contains("exports neither"), "{export}");
        }
        let candidate = refused(&component(&[], &["wasi:http/handler@0.3.0-rc-2026-03-15"]));
        assert!(candidate.contains("release candidate"), "{candidate}");
    }

    #[test]
    fn who_imports_the_handler_of_its_own_generation_is_a_middleware() {
        for (import, export, is_middleware) in [
            ("wasi:http/incoming-handler@0.2.3", "wasi:http/incoming-handler@0.2.12", true),
            ("wasi:http/handler@0.3.0", "wasi:http/handler@0.3.2", true),
            ("wasi:http/outgoing-handler@0.2.3", "wasi:http/incoming-handler@0.2.12", false),
            ("wasi:http/client@0.3.0", "wasi:http/handler@0.3.0", false),
        ] {
            assert_eq!(
                inspect(&component(&[import], &[export])).unwrap().is_middleware,
                is_middleware,
                "{import}"
            );
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
