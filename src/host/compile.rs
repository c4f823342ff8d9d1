//! Ahead-of-time compilation; only ever called in a short-lived child.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use wasmtime::component::Component;

use super::compose::{self, Middleware};
use super::engine::WASM_PAGE;
use super::inspect::Wasi;
use super::snapshot::{self, Snapshot};
use super::{engine, source, weave};
use crate::artifact::{Afterwards, Content, Draft, Needs};
use crate::config::AppSource;

/// An app and what is in front of it, read and not looked into.
pub struct Uncompiled {
    shown: String,
    app: Vec<u8>,
    middleware: Vec<Middleware>,
}

impl Uncompiled {
    /// Reads the component of an app, and those in front of it.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(source: &AppSource, middleware: &[PathBuf]) -> Result<Self> {
        let read = |path: &PathBuf| {
            Ok(Middleware { shown: path.display().to_string(), bytes: source::read_middleware(path)? })
        };
        Ok(Self {
            shown: source.to_string(),
            app: source::read(source)?,
            middleware: middleware.iter().map(read).collect::<Result<_>>()?,
        })
    }

    /// How messages call the app.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What its artifact is called in a cache.
    ///
    /// # Errors
    /// The runtime does not support this machine.
    pub fn fingerprint(&self) -> Result<blake3::Hash> {
        let middleware = self.middleware.iter().map(|component| &component.bytes[..]);
        engine::fingerprint(std::iter::once(&self.app[..]).chain(middleware))
    }

    /// Composes and compiles it, and writes that.
    ///
    /// # Errors
    /// It is no component that can be served, or cannot be composed, compiled or written.
    pub fn compile(&self, to: &Draft) -> Result<()> {
        let (wasi, binary) = compose::compose(&self.app, &self.middleware)?;
        to.write(&compile(&engine::compiling(wasi)?, wasi, &binary)?.content())
    }
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
