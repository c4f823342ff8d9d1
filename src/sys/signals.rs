//! Signals as readable events; no handler ever runs.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

/// Signals that arrive as data on a descriptor.
///
/// A child inherits that they are blocked, and loses none that come before it has
/// a queue of its own; one that makes none hears no such signal.
#[derive(Debug)]
pub struct SignalQueue {
    fd: SignalFd,
}

impl SignalQueue {
    /// Blocks `signals` for this thread and queues them instead.
    ///
    /// # Errors
    /// `signalfd(2)` or `sigprocmask(2)` fails.
    pub fn new(signals: &[Signal]) -> nix::Result<Self> {
        let mask: SigSet = signals.iter().copied().collect();
        mask.thread_block()?;
        for asked in signals {
            // A shell has its background jobs ignore INT and QUIT, nohup has them
            // ignore HUP, and what is ignored is not queued either.
            // SAFETY: SIG_DFL runs no code of ours.
            unsafe { signal(*asked, SigHandler::SigDfl)? };
        }
        let fd = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// The next queued signal, if any.
    ///
    /// # Errors
    /// `read(2)` fails.
    pub fn next(&self) -> nix::Result<Option<Signal>> {
        Ok(self.next_from()?.map(|(signal, _)| signal))
    }

    /// The same, with the process that sent it; 0 if that is outside of this one's
    /// namespace.
    ///
    /// # Errors
    /// `read(2)` fails.
    pub fn next_from(&self) -> nix::Result<Option<(Signal, Pid)>> {
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        let sender = Pid::from_raw(info.ssi_pid as i32);
        Ok(Signal::try_from(info.ssi_signo as i32).ok().map(|signal| (signal, sender)))
    }
}

impl super::fd::Owner for SignalQueue {}

impl AsRawFd for SignalQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
