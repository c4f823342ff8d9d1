//! Loading compiled components, once per generation, in the mold.

#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};
use wasmtime_wasi_http::{p2, p3};

use super::guest::Guest;
use super::inspect::Wasi;
use super::memories::Memories;
use super::reuse::Reuse;
use super::rewind::Rewindable;
use super::{engine, requests, source};
use crate::artifact::{Afterwards, Artifact, Cache, Fingerprint};
use crate::config::{AppConfig, AppSource, ByteSize, Config, DirAccess, PoolConfig};
use crate::sys::memory::Image;

/// A component ready to be instantiated in any process forked from this one.
pub struct LoadedApp {
    pub(super) config: Arc<AppConfig>,
    /// The app's, for its log.
    pub(super) name: Arc<str>,
    pub(super) engine: Engine,
    pub(super) pre: Pre,
    /// The preopened directories, opened once: a request's context clones them.
    pub(super) files: WasiFilesystemCtx,
    /// Where its instances have their memory from, if that is not the engine.
    pub(super) memories: Option<Arc<Memories>>,
    /// How they are put back between two requests, if they can be.
    pub(super) rewindable: Option<Rewindable>,
    /// Whether they answer more than one, as far as is known.
    pub(super) reuse: Reuse,
    fingerprint: Fingerprint,
}

/// A component with its imports resolved.
pub(super) enum Pre {
    V02(InstancePre<Guest>, p2::bindings::ProxyIndices),
    V03(p3::bindings::ServicePre<Guest>),
}

impl LoadedApp {
    /// Loads `app`, if it is compiled; `None` if it has to be compiled first. With
    /// `pinned` it is that artifact, whatever the component's file holds by now.
    ///
    /// # Errors
    /// The component cannot be read or served.
    pub fn load(app: &AppConfig, config: &Config, pinned: Option<&str>) -> Result<Option<Self>> {
        let (artifact, fingerprint) = match &app.source {
            AppSource::Precompiled(path) => {
                let artifact = Artifact::open_exported(path)?;
                let name = artifact.mac.to_string();
                if pinned.is_some_and(|pinned| pinned != name) {
                    bail!(
                        "{} has changed since it was loaded; reload to serve it as it is now",
                        path.display()
                    );
                }
                (artifact, name)
            }
            source => {
                let cache = Cache::open(config.cache_dir.as_deref())?;
                let name = match pinned {
                    Some(name) => name.parse()?,
                    None => source::fingerprint(source, &app.middleware)?,
                };
                match (cache.find(&name), pinned) {
                    (Some(artifact), _) => (artifact, name.to_string()),
                    (None, None) => return Ok(None),
                    (None, Some(_)) => {
                        bail!("what it runs has gone from the cache; reload to compile it again")
                    }
                }
            }
        };
        Self::from_artifact(app, &config.pool, &artifact, fingerprint)
            .map(Some)
            .with_context(|| format!("cannot serve {}", app.source))
    }

    /// The name of its artifact.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn from_artifact(
        app: &AppConfig,
        pool: &PoolConfig,
        artifact: &Artifact,
        fingerprint: Fingerprint,
    ) -> Result<Self> {
        let needs = &artifact.needs;
        let wasi = match needs.generation {
            2 => Wasi::V02,
            3 => Wasi::V03,
            other => bail!("it is for wasi generation {other}, which this version does not know"),
        };
        if needs.initial_memory > app.memory_limit {
            bail!(
                "its memory starts with {}, more than --memory-limit allows ({}); raise that",
                ByteSize(needs.initial_memory),
                ByteSize(app.memory_limit)
            );
        }
        let initial = usize::try_from(needs.initial_memory)?;
        let memories = match &artifact.memory {
            Some(memory) => {
                if needs.memories != 1 || initial == 0 || memory.length > needs.initial_memory {
                    bail!("its memory is not what it was compiled with");
                }
                let image = Image::new(&artifact.file, memory.offset, usize::try_from(memory.length)?);
                Some(Arc::new(Memories::new(image.context("cannot map its memory")?, initial)))
            }
            None => None,
        };
        let engine = engine::running(needs, wasi, pool, app, memories.as_ref())?;
        // By descriptor, so that what is mapped is what was verified.
        let path = format!("/proc/self/fd/{}", artifact.file.as_raw_fd());
        // SAFETY: the file is the unchanged output of `Component::serialize`:
        // its MAC was verified under the key of a directory that only this user
        // can enter, or the operator vouched for it with --allow-precompiled and
        // this is a sealed copy. So nobody else writes to it while it is mapped.
        let component = unsafe { Component::deserialize_file(&engine, path)? };
        let pre = linker(&engine, wasi)?.instantiate_pre(&component)?;
        let rewindable = match (&needs.afterwards, &memories) {
            (Afterwards::PutBack, Some(memories)) => Some(Rewindable::new(&component, memories)?),
            (Afterwards::PutBack, None) => bail!("its memory is not what it was compiled with"),
            (Afterwards::MadeAnew(why), _) => {
                tracing::debug!(app = app.name, "instances are not put back, but made anew: {why}");
                None
            }
        };
        let pre = match wasi {
            Wasi::V02 => {
                let indices = p2::bindings::ProxyIndices::new(&pre)?;
                Pre::V02(pre, indices)
            }
            Wasi::V03 => Pre::V03(p3::bindings::ServicePre::new(pre)?),
        };
        let (config, name) = (Arc::new(app.clone()), app.name.as_str().into());
        let files = open_dirs(app)?;
        let reuse = Reuse::new().context("no memory to share with the workers")?;
        Ok(Self { config, name, engine, pre, files, memories, rewindable, reuse, fingerprint })
    }
}

/// Everything a component may import: all of wasi:cli and what it builds on,
/// and wasi:http. A 0.3 component also imports interfaces of 0.2.
fn linker(engine: &Engine, wasi: Wasi) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    p2::add_only_http_to_linker_async(&mut linker)?;
    if wasi == Wasi::V03 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        p3::add_to_linker(&mut linker)?;
    }
    requests::limit(&mut linker, wasi)?;
    Ok(linker)
}

fn open_dirs(app: &AppConfig) -> Result<WasiFilesystemCtx> {
    let mut builder = WasiCtxBuilder::new();
    for dir in &app.dirs {
        let perms = match dir.access {
            DirAccess::ReadOnly => FsPerms::ReadOnly,
            DirAccess::ReadWrite => FsPerms::ReadWrite,
        };
        builder
            .preopened_dir(&dir.host, &dir.guest, perms)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("--dir: cannot open {}", dir.host.display()))?;
    }
    Ok(builder.build().filesystem().clone())
}
