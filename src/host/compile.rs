//! Ahead-of-time compilation; only ever called in a short-lived child.

use std::borrow::Cow;

use anyhow::{Context, Result, anyhow};
use wasmtime::component::Component;

use super::engine::WASM_PAGE;
use super::inspect::{Wasi, inspect, to_binary};
use super::snapshot::{self, Snapshot};
use super::{engine, source, weave};
use crate::artifact::{Afterwards, Content, Draft, Needs};
use crate::config::AppSource;

/// A component that was read, and not looked into.
pub struct Uncompiled {
    shown: String,
    bytes: Vec<u8>,
}

impl Uncompiled {
    /// Reads a component.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(source: &AppSource) -> Result<Self> {
        Ok(Self { shown: source::shown(source), bytes: source::read(source)? })
    }

    /// How messages call it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What its artifact is called in a cache.
    ///
    /// # Errors
    /// The runtime does not support this machine.
    pub fn fingerprint(&self) -> Result<blake3::Hash> {
        engine::fingerprint(&self.bytes[..])
    }

    /// Compiles it, and writes that.
    ///
    /// # Errors
    /// It is no component that can be served, or cannot be compiled or written.
    pub fn compile(&self, to: &Draft) -> Result<()> {
        let (wasi, binary) = examine(&self.bytes)?;
        to.write(&compile(&engine::compiling(wasi)?, wasi, &binary)?.content())
    }
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
