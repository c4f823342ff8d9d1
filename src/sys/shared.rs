//! Memory shared between processes.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

/// Makes `count` zeroed words that this process shares with all its later
/// children, and with whom it gives the descriptor to. Never unmapped: it lives as
/// long as the server.
///
/// # Errors
/// There is no room.
pub fn words(count: usize) -> io::Result<(&'static [AtomicU64], OwnedFd)> {
    let fd = memfd_create(c"board", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    ftruncate(&fd, (count * size_of::<AtomicU64>()) as i64)?;
    // Nobody can pull the pages from under those who have them mapped.
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok((map(&fd, count)?, fd))
}

/// Maps words that another process has made.
///
/// # Errors
/// They are not `count` ones, or might become fewer.
pub fn words_of(fd: &OwnedFd, count: usize) -> io::Result<&'static [AtomicU64]> {
    let seals = SealFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GET_SEALS)?);
    let is_whole = fstat(fd)?.st_size == (count * size_of::<AtomicU64>()) as i64;
    if !is_whole || !seals.contains(SealFlag::F_SEAL_SHRINK) {
        return Err(io::Error::other("it is of another size, or not sealed"));
    }
    map(fd, count)
}

fn map(fd: &OwnedFd, count: usize) -> io::Result<&'static [AtomicU64]> {
    let bytes =
        NonZeroUsize::new(count * size_of::<AtomicU64>()).ok_or(io::Error::other("no words at all"))?;
    // SAFETY: a new mapping, at an address that the kernel chooses, aliases nothing
    // of this process.
    let start = unsafe {
        mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, fd, 0)?
    };
    // SAFETY: the mapping is page aligned, `bytes` long by a file that is sealed
    // against shrinking, holds valid AtomicU64s whatever its bits are, is never
    // unmapped, and is only ever reached through atomics, which stay sound when
    // several processes write.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<AtomicU64>(), count) })
}
