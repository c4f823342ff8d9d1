//! An instance that has answered goes back to where it began, which costs less than
//! making another: what it holds, what it knows and how it counts is then what it was
//! when it was ready for its first request. See `weave` for what the component does.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance, TypedFunc};

use super::engine::WASM_PAGE;
use super::guest::{Guest, Left};
use super::memories::{Lease, Memories};
use super::weave::{REWIND, SAVE};

/// An app whose instances can be put back.
pub(super) struct Rewindable {
    save: ComponentExportIndex,
    rewind: ComponentExportIndex,
    memories: Arc<Memories>,
}

/// Where an instance began.
pub(super) struct Beginning {
    memory: Lease,
    /// Bytes of its budget that it had taken.
    used: usize,
    save: TypedFunc<(), ()>,
    rewind: TypedFunc<(u32, u32, u32), (u32,)>,
}

impl Rewindable {
    /// Of a component that the compiler has woven: any other may export these names too.
    ///
    /// # Errors
    /// It lacks the functions, so it is not what the compiler makes.
    pub fn new(component: &Component, memories: &Arc<Memories>) -> Result<Self> {
        let function =
            |name| component.get_export_index(None, name).with_context(|| format!("it lacks {name}"));
        Ok(Self { save: function(SAVE)?, rewind: function(REWIND)?, memories: memories.clone() })
    }

    /// Whether instances can be put back here: the kernel has to say what they have written.
    pub fn is_possible(&self) -> bool {
        self.memories.keep_their_pages()
    }

    /// To be noted before an instance is made.
    pub fn before(&self) -> u64 {
        self.memories.lent()
    }

    /// Where an instance begins that was made since `before`; to be saved.
    ///
    /// # Errors
    /// It cannot be put back there. One that has asked the host for anything already
    /// cannot: another one would have got another answer.
    pub fn beginning(&self, before: u64, store: &mut Store<Guest>, instance: &Instance) -> Result<Beginning> {
        ensure!(!store.data().has_asked(), "it has called the host while it was made");
        let save = instance.get_typed_func(&mut *store, self.save)?;
        let rewind = instance.get_typed_func(&mut *store, self.rewind)?;
        Ok(Beginning { memory: self.memories.lease(before)?, used: store.data().used(), save, rewind })
    }
}

impl Beginning {
    /// Has the instance note what the host cannot.
    ///
    /// # Errors
    /// It has failed, and answers no request.
    pub async fn save(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        self.save.call_async(store, ()).await
    }

    /// Puts the instance back, with `guest` for what the last request had.
    ///
    /// # Errors
    /// It cannot be put back, and must not be used any more.
    pub async fn rewind(&self, store: &mut Store<Guest>, guest: Guest) -> Result<()> {
        let Left { handles, request, fields } = store.data_mut().renew(guest, self.used)?;
        self.memory.rewind()?;
        let arguments = (handles, u32::from(request), fields);
        let (pages,) = self.rewind.call_async(&mut *store, arguments).await?;
        store.data_mut().forget_table()?;
        let size = u64::from(pages) * WASM_PAGE;
        ensure!(size == self.memory.size() as u64, "its memory has {size} bytes");
        Ok(())
    }

    /// Notes that the next request begins.
    pub fn resume(&self, store: &mut Store<Guest>) {
        self.memory.resume();
        store.data_mut().start_clocks();
    }
}
