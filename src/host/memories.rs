//! Linear memories that are used again: each begins as a mapping of the snapshot, and
//! after an instance only the pages that it wrote are put back.
//!
//! The runtime's own pool does that too, but gives up when a guest has written to more
//! than 32 places, and then each request pays for page faults all over again; a
//! Python guest writes to hundreds.

#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType, StackCreator, StackMemory};

use crate::config::ByteSize;
use crate::sys::memory::{GRAIN, Image, Region};
use crate::sys::page_map::PageMap;

/// Bytes of their own that the memories of a worker keep while nobody uses them.
const WARM: usize = 8 << 20;

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
    /// Sum of what these have for their own.
    resident: usize,
}

struct Kept {
    region: Region,
    resident: usize,
    uses: u32,
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
            Err(error) => tracing::debug!("memories are given back after each use: no page map: {error}"),
        }
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
        if let Some(kept) = idle.memories.pop() {
            idle.resident -= kept.resident;
            return Ok(kept);
        }
        drop(idle);
        let region = Region::new(reserved, self.initial, Some(&self.image))?;
        Ok(Kept { region, resident: 0, uses: 0 })
    }

    fn give_back(&self, mut kept: Kept) {
        let mut idle = self.idle();
        kept.uses += 1;
        let room = WARM.saturating_sub(idle.resident);
        let map = self.map.get().filter(|_| !kept.uses.is_multiple_of(FORGET));
        match kept.region.restore(Some(&self.image), self.initial, map, room) {
            Ok(resident) => {
                kept.resident = resident;
                idle.resident += resident;
                idle.memories.push(kept);
            }
            // It goes, and nobody sees what is in it.
            Err(error) => tracing::error!("a memory cannot be used again: {error}"),
        }
    }
}

/// What the runtime gets hold of.
pub(super) struct Creator(pub Arc<Memories>);

/// The memory of one instance.
struct Memory {
    /// None once it was given back.
    kept: Option<Kept>,
    size: usize,
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
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.or(maximum).unwrap_or(minimum).max(minimum);
        let room = (reserved + guard).next_multiple_of(GRAIN);
        let text = |error: std::io::Error| {
            format!(
                "no memory can be made, which takes {} of address space (ulimit -v, vm.max_map_count): {error}",
                ByteSize(room as u64)
            )
        };
        if minimum == self.0.initial && !ty.is_64() && !ty.is_shared() {
            let kept = Some(self.0.take(room).map_err(text)?);
            let memories = self.0.clone();
            return Ok(Box::new(Memory { kept, size: minimum, reserved, memories }));
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
// is made to the time it is dropped.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        let Some(kept) = &mut self.kept else { wasmtime::bail!("the memory is gone") };
        grow(&mut kept.region, &mut self.size, self.reserved, new_size)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.kept.as_ref().map_or(std::ptr::null_mut(), |kept| kept.region.base())
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
        if let Some(kept) = self.kept.take() {
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
