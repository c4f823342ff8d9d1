//! Descriptors that reach us as bare numbers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch when `owner`'s descriptor can be read.
///
/// # Errors
/// The descriptor cannot be registered.
pub fn watch<T: Owner>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: an `Owner` keeps one descriptor open for as long as it lives, and
    // the runtime's registration ends before it is dropped.
    unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) }.map_err(io::Error::from)
}

/// A type that owns one descriptor, the same from its making to its end, and
/// never closes it in between.
pub trait Owner: AsRawFd {}

impl<T: Owner> Owner for std::sync::Arc<T> {}

/// The descriptors that this process was started with, standard streams aside;
/// to be asked before it opens any of its own.
///
/// # Errors
/// /proc is not mounted.
pub fn handed_down() -> io::Result<Vec<RawFd>> {
    // The listing's own descriptor was among them, and is closed by now.
    Ok(open_numbers()?.into_iter().filter(|number| duplicate(*number).is_ok()).collect())
}

/// Closes every descriptor that is not in `kept`, standard streams aside: for a
/// child that never goes back to the code that owns the others, whose copies
/// would keep sockets and channels open that everybody else has closed.
///
/// # Errors
/// /proc is not mounted.
pub fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let others: Vec<_> = open_numbers()?.into_iter().filter(|number| !kept.contains(number)).collect();
    close_all(&others);
    Ok(())
}

/// Closes descriptors that this process has as numbers alone.
pub fn close_all(numbers: &[RawFd]) {
    for number in numbers {
        // Fails for one that is closed already, such as that of a listing.
        let _ = nix::unistd::close(*number);
    }
}

/// The descriptors that are open, standard streams aside.
fn open_numbers() -> io::Result<Vec<RawFd>> {
    let listed = std::fs::read_dir("/proc/self/fd")?;
    let numbers = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.filter(|number| *number > 2).collect())
}

/// Another descriptor for what `fd` is open on, kept on exec: for a program that
/// is about to be started.
///
/// # Errors
/// No descriptor is left.
pub fn inheritable(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // Above the low numbers, which somebody may have named in the configuration.
    let copy = fcntl(fd, FcntlArg::F_DUPFD(64))?;
    // SAFETY: fcntl has just made it, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Takes over a descriptor that this process was started with, closed on exec from
/// here on.
///
/// # Errors
/// It is not open.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    let own = duplicate(number)?;
    close_all(&[number]);
    Ok(own)
}

/// Another descriptor for what `number` is open on, closed on exec.
///
/// # Errors
/// It is not open.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for one fcntl, which fails if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let copy = fcntl(borrowed, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has just made it, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
