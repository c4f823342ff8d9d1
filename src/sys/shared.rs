//! Memory shared with every process forked later.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// Maps `count` zeroed words that this process and all its later children
/// share. Never unmapped: it lives as long as the server.
///
/// # Errors
/// `mmap(2)` has no room.
pub fn words(count: usize) -> nix::Result<&'static [AtomicU64]> {
    let bytes = NonZeroUsize::new(count * size_of::<AtomicU64>()).ok_or(nix::errno::Errno::EINVAL)?;
    // SAFETY: a fresh anonymous mapping aliases nothing.
    let start = unsafe {
        mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)?
    };
    // SAFETY: the mapping is page aligned, `bytes` long, zeroed (a valid
    // AtomicU64), never unmapped, and only ever reached through atomics, which
    // stay sound when several processes write.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<AtomicU64>(), count) })
}
