//! Ahead-of-time compilation; only ever called in a short-lived child.

use std::borrow::Cow;

use anyhow::{Context, Result, anyhow};
use wasmtime::component::Component;

use super::engine::WASM_PAGE;
use super::inspect::{Wasi, inspect, to_binary};
use super::snapshot::{self, Snapshot};
use super::{engine, source, weave};
use crate::artifact::{Afterwards, Artifact, Cache, Content, Needs};
use crate::config::AppConfig;

/// Makes sure that `app` is in the cache; another process that compiles the
/// same component is waited for.
///
/// # Errors
/// The component cannot be read, compiled or served.
pub fn compile_to_cache(app: &AppConfig, cache: &Cache) -> Result<()> {
    let bytes = source::read(&app.source)?;
    let context = || format!("cannot serve {}", source::shown(&app.source));
    let (wasi, binary) = examine(&bytes).with_context(context)?;
    let name = engine::fingerprint(&bytes[..])?;
    let _lock = cache.lock(&name)?;
    if cache.find(&name).is_none() {
        let compiled = compile(&engine::compiling(wasi)?, wasi, &binary).with_context(context)?;
        cache.store(&name, &compiled.content())?;
    }
    Ok(())
}

/// Compiles the component at `app` into the file `out`.
///
/// # Errors
/// As [`compile_to_cache`], or `out` cannot be written.
pub fn compile_to_file(app: &std::path::Path, out: &std::path::Path) -> Result<()> {
    let bytes = std::fs::read(app).with_context(|| format!("cannot read {}", app.display()))?;
    let context = || format!("cannot compile {}", app.display());
    let (wasi, binary) = examine(&bytes).with_context(context)?;
    let compiled = compile(&engine::compiling(wasi)?, wasi, &binary).with_context(context)?;
    Artifact::export(out, &compiled.content())
}

fn examine(bytes: &[u8]) -> Result<(Wasi, std::borrow::Cow<'_, [u8]>)> {
    let binary = to_binary(bytes)?;
    Ok((inspect(&binary)?, binary))
}

struct Compiled {
    image: Vec<u8>,
    memory: Vec<u8>,
    needs: Needs,
}

impl Compiled {
    fn content(&self) -> Content<'_> {
        Content { image: &self.image, memory: &self.memory, needs: &self.needs }
    }
}

fn compile(engine: &wasmtime::Engine, wasi: Wasi, binary: &[u8]) -> Result<Compiled> {
    let (binary, memory, afterwards) = match snapshot::take(binary) {
        None => (binary.into(), Vec::new(), Afterwards::MadeAnew("its memory is the runtime's".to_owned())),
        Some(Snapshot { component, memory }) => {
            let woven = match wasi {
                Wasi::V02 => weave::weave(&component),
                Wasi::V03 => Err(anyhow!("it is of generation 0.3")),
            };
            match woven {
                Ok(woven) => (Cow::Owned(woven), memory, Afterwards::PutBack),
                Err(why) => (component.into(), memory, Afterwards::MadeAnew(format!("{why:#}"))),
            }
        }
    };
    let component = Component::from_binary(engine, &binary)?;
    let required = component
        .resources_required()
        .context("it instantiates modules that it imports, which wasgun does not support")?;
    let needs = Needs {
        generation: match wasi {
            Wasi::V02 => 2,
            Wasi::V03 => 3,
        },
        memories: required.num_memories,
        initial_memory: required.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE),
        tables: required.num_tables,
        initial_table: required.max_initial_table_size.unwrap_or(0),
        afterwards,
    };
    Ok(Compiled { image: component.serialize()?, memory, needs })
}
