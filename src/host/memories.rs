//! Linear memories that are used again: each begins as a mapping of the snapshot, and
//! after an instance, or between two requests of one, only the pages that were written
//! are put back.
//!
//! The runtime's own pool does that too, but gives up when a guest has written to more
//! than 32 places, and then each request pays for page faults all over again; a
//! Python guest writes to hundreds.

#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use anyhow::{Context, Result, bail, ensure};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType, StackCreator, StackMemory};

use crate::config::ByteSize;
use crate::sys::memory::{GRAIN, Image, Piece, Region};
use crate::sys::page_map::PageMap;

/// Bytes of their own that the memories of a worker keep while nobody uses them.
const WARM: usize = 8 << 20;

/// Bytes that an instance may change while it is made, to be put back to where it was then:
/// they are kept for each one, and written each time.
const MOST_CHANGES: usize = 256 << 10;

/// A memory forgets which pages were ever written after so many uses: all of these
/// are overwritten each time, whether they were written this time or not.
const FORGET: u32 = 1024;

/// The memories of one app in one process, and the stacks that its guests run on.
pub(super) struct Memories {
    image: Image,
    /// Bytes a memory starts with.
    initial: usize,
    /// None where pages may be swapped out, or in a process that will fork.
    map: OnceLock<PageMap>,
    idle: Mutex<Idle>,
    stacks: Mutex<Vec<Region>>,
}

#[derive(Default)]
struct Idle {
    memories: Vec<Kept>,
    /// Sum of what these have for their own, and those of instances that wait.
    resident: usize,
    /// Memories that instances have got.
    lent: u64,
    last_lent: Weak<Mutex<Lent>>,
}

struct Kept {
    region: Region,
    /// Bytes of its own while nobody uses it.
    resident: usize,
    uses: u32,
}

/// A memory that an instance has.
struct Lent {
    /// None once it was given back.
    kept: Option<Kept>,
    size: usize,
}

/// The memory of an instance that is put back between two requests.
pub(super) struct Lease {
    lent: Arc<Mutex<Lent>>,
    /// What the instance had made of it when it was ready for its first request.
    changes: Vec<Piece>,
    memories: Arc<Memories>,
}

impl Memories {
    /// Memories that begin with `image` and have `initial` bytes.
    pub fn new(image: Image, initial: usize) -> Self {
        Self { image, initial, map: OnceLock::new(), idle: Mutex::default(), stacks: Mutex::default() }
    }

    /// Allows memories to keep their pages. To be called in the process that uses
    /// them, since a child has other pages than its parent.
    pub fn keep_pages(&self) {
        match PageMap::of_this_process() {
            Ok(map) => drop(self.map.set(map)),
            Err(error) => {
                tracing::debug!("no instance is put back, and memories are given back: no page map: {error}");
            }
        }
    }

    /// Whether they do.
    pub fn keep_their_pages(&self) -> bool {
        self.map.get().is_some()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stacks(&self) -> MutexGuard<'_, Vec<Region>> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one used last, since it is in the caches; or a new one.
    fn take(&self, reserved: usize) -> std::io::Result<Kept> {
        let mut idle = self.idle();
        if let Some(mut kept) = idle.memories.pop() {
            idle.in_use(&mut kept);
            return Ok(kept);
        }
        drop(idle);
        let region = Region::new(reserved, self.initial, Some(&self.image))?;
        Ok(Kept { region, resident: 0, uses: 0 })
    }

    fn lend(&self, kept: Kept) -> Arc<Mutex<Lent>> {
        let lent = Arc::new(Mutex::new(Lent { kept: Some(kept), size: self.initial }));
        let mut idle = self.idle();
        idle.lent += 1;
        idle.last_lent = Arc::downgrade(&lent);
        lent
    }

    /// Puts back what it held at first; it may keep pages of its own, which are counted.
    fn restore(&self, kept: &mut Kept, idle: &mut Idle) -> std::io::Result<()> {
        idle.in_use(kept);
        kept.uses += 1;
        let room = WARM.saturating_sub(idle.resident);
        let map = self.map.get().filter(|_| !kept.uses.is_multiple_of(FORGET));
        kept.resident = kept.region.restore(Some(&self.image), self.initial, map, room)?;
        idle.resident += kept.resident;
        Ok(())
    }

    fn give_back(&self, mut kept: Kept) {
        let mut idle = self.idle();
        match self.restore(&mut kept, &mut idle) {
            Ok(()) => idle.memories.push(kept),
            // It goes, and nobody sees what is in it.
            Err(error) => tracing::error!("a memory cannot be used again: {error}"),
        }
    }

    /// Gives back what waits for instances to come.
    pub fn rest(&self) {
        let mut idle = self.idle();
        for mut kept in std::mem::take(&mut idle.memories) {
            idle.in_use(&mut kept);
        }
        drop(idle);
        self.stacks().clear();
    }

    /// How many memories instances have got.
    pub fn lent(&self) -> u64 {
        self.idle().lent
    }

    /// The memory of the instance that has just been made: the only one since so many
    /// were `lent`.
    ///
    /// # Errors
    /// It is not the only one, it has grown already, or the kernel does not say what was
    /// written to it.
    pub fn lease(self: &Arc<Self>, lent: u64) -> Result<Lease> {
        let map = self.map.get().context("the kernel does not say what it has written")?;
        let idle = self.idle();
        let last = idle.last_lent.upgrade().filter(|_| idle.lent == lent + 1);
        let last = last.context("others were made at the same time")?;
        drop(idle);
        let mut found = lock(&last);
        let Lent { kept: Some(kept), size } = &mut *found else { bail!("its memory is gone") };
        ensure!(*size == self.initial, "its memory has grown while it was made");
        let changes = kept.region.changes(&self.image, map, MOST_CHANGES)?;
        drop(found);
        Ok(Lease { lent: last, changes, memories: self.clone() })
    }
}

impl Idle {
    /// Counts what it has no longer: somebody uses it.
    fn in_use(&mut self, kept: &mut Kept) {
        self.resident -= std::mem::take(&mut kept.resident);
    }
}

fn lock(lent: &Mutex<Lent>) -> MutexGuard<'_, Lent> {
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lease {
    /// Makes the memory what it was when the instance was ready for its first request;
    /// whoever calls this sees to it that the instance does not run. The runtime asks for
    /// its size when it grows the next time.
    ///
    /// # Errors
    /// The kernel refuses, or it is gone.
    pub fn rewind(&self) -> std::io::Result<()> {
        let mut lent = lock(&self.lent);
        let Lent { kept, size } = &mut *lent;
        let kept = kept.as_mut().ok_or(std::io::Error::other("the memory is gone"))?;
        self.memories.restore(kept, &mut self.memories.idle())?;
        kept.region.write(&self.changes);
        *size = self.memories.initial;
        Ok(())
    }

    /// Notes that the instance runs again.
    pub fn resume(&self) {
        if let Some(kept) = &mut lock(&self.lent).kept {
            self.memories.idle().in_use(kept);
        }
    }

    /// Bytes it has then.
    pub fn size(&self) -> usize {
        self.memories.initial
    }
}

/// What the runtime gets hold of.
pub(super) struct Creator(pub Arc<Memories>);

/// The memory of one instance.
struct Memory {
    lent: Arc<Mutex<Lent>>,
    reserved: usize,
    memories: Arc<Memories>,
}

/// A memory of another kind: the heap of a guest that has its garbage collected.
struct Plain {
    region: Region,
    size: usize,
    reserved: usize,
}

// SAFETY: what it creates has `minimum` accessible bytes, lies in a reservation of the
// bytes asked for and the guard behind them, never moves, and is the instance's alone
// until it is dropped. It holds the snapshot instead of zeros only for the memory
// whose data segments the snapshot was made of (see `snapshot`): the only one of its
// component. A heap is never taken for that: it starts with nothing (see `engine`).
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> std::result::Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.or(maximum).unwrap_or(minimum).max(minimum);
        let room = (reserved + guard).next_multiple_of(GRAIN);
        let text = |error: std::io::Error| {
            format!(
                "no memory can be made, which takes {} of address space (ulimit -v, vm.max_map_count): {error}",
                ByteSize(room as u64)
            )
        };
        if minimum == self.0.initial && !ty.is_64() && !ty.is_shared() {
            let lent = self.0.lend(self.0.take(room).map_err(text)?);
            return Ok(Box::new(Memory { lent, reserved, memories: self.0.clone() }));
        }
        let region = Region::new(room, minimum.next_multiple_of(GRAIN), None).map_err(text)?;
        Ok(Box::new(Plain { region, size: minimum, reserved }))
    }
}

fn grow(region: &mut Region, size: &mut usize, reserved: usize, new_size: usize) -> wasmtime::Result<()> {
    if new_size > reserved {
        wasmtime::bail!("the memory has no room for {new_size} bytes");
    }
    region.set_accessible(new_size.next_multiple_of(GRAIN))?;
    *size = new_size;
    Ok(())
}

// SAFETY: the region stays where it is, and is accessible up to `size`, from the time it
// is made to the time it is dropped. It gets smaller only while no guest runs, and the
// guest is told before it runs again (see `rewind`).
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        lock(&self.lent).size
    }

    fn byte_capacity(&self) -> usize {
        self.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        let mut lent = lock(&self.lent);
        let Lent { kept, size } = &mut *lent;
        let Some(kept) = kept else { wasmtime::bail!("the memory is gone") };
        grow(&mut kept.region, size, self.reserved, new_size)
    }

    fn as_ptr(&self) -> *mut u8 {
        lock(&self.lent).kept.as_ref().map_or(std::ptr::null_mut(), |kept| kept.region.base())
    }
}

// SAFETY: as above.
unsafe impl LinearMemory for Plain {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        grow(&mut self.region, &mut self.size, self.reserved, new_size)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.region.base()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let kept = lock(&self.lent).kept.take();
        if let Some(kept) = kept {
            self.memories.give_back(kept);
        }
    }
}

/// A stack that guests of an app take turns on. It is the host's: no guest can look
/// at what another one left on it.
struct Stack {
    region: Option<Region>,
    size: usize,
    memories: Arc<Memories>,
}

// SAFETY: a stack has `size` bytes, all accessible, is page aligned, is used by one fiber
// at a time, and begins behind `GRAIN` bytes that are not accessible.
unsafe impl StackCreator for Creator {
    fn new_stack(&self, size: usize, zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        wasmtime::ensure!(!zeroed, "stacks are not zeroed");
        let size = size.next_multiple_of(GRAIN);
        let kept = self.0.stacks().pop();
        let region = match kept {
            Some(region) => region,
            None => Region::stack(size)?,
        };
        Ok(Box::new(Stack { region: Some(region), size, memories: self.0.clone() }))
    }
}

impl Stack {
    /// Where its guard ends.
    fn bottom(&self) -> *mut u8 {
        self.region.as_ref().map_or(std::ptr::null_mut(), |region| region.base().wrapping_add(GRAIN))
    }
}

// SAFETY: as above.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        self.bottom().wrapping_add(self.size)
    }

    fn range(&self) -> Range<usize> {
        let bottom = self.bottom() as usize;
        bottom..bottom + self.size
    }

    fn guard_range(&self) -> Range<*mut u8> {
        let bottom = self.bottom();
        bottom.wrapping_sub(GRAIN)..bottom
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.memories.stacks().extend(self.region.take());
    }
}
