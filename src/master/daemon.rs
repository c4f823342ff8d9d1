//! Going on in the background, once it is known that there is something to go on
//! with.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, dup2_stderr, pipe, setsid};

use crate::handoff::{Channel, Received};
use crate::sys::process::{self, Exit, Forked};

/// Which side one is on.
pub(super) enum Launched {
    /// The process that was started; it leaves with this code.
    Launcher(u8),
    /// The one that goes on, and the channel on which it says that it serves.
    Daemon(Channel),
}

/// Forks; the first process waits until the second one serves, or does not.
///
/// # Errors
/// There is no second one.
pub(super) fn launch() -> Result<Launched> {
    let (ours, theirs) = Channel::pair()?;
    let (said, say) = pipe().context("pipe")?;
    let launcher = Pid::this();
    match process::fork_single_threaded()? {
        Forked::Parent(child) => {
            drop((theirs, say));
            watch(&ours, said, child).map(Launched::Launcher)
        }
        Forked::Child => {
            drop((ours, said));
            // Ctrl-C, while the launcher waits, means this process too.
            process::die_with(launcher, None)?;
            setsid().context("setsid")?;
            // What is said until then is shown by the launcher; after that there is
            // nobody to read it.
            if io::stderr().is_terminal() {
                dup2_stderr(&say)?;
            }
            process::leave_terminal().context("/dev/null")?;
            Ok(Launched::Daemon(theirs))
        }
    }
}

/// Tells the launcher that the server serves.
pub(super) fn let_go(launcher: &Channel) {
    if let Err(errno) = set_pdeathsig(None::<Signal>) {
        tracing::error!("the tie to who started this server stays: {errno}");
    }
    if launcher.send(&()).is_err() {
        tracing::warn!("who started this server is gone");
    }
}

fn watch(channel: &Channel, said: OwnedFd, child: Pid) -> Result<u8> {
    let mut said = std::fs::File::from(said);
    let mut is_open = true;
    loop {
        let mut watched = vec![PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        if is_open {
            watched.push(PollFd::new(said.as_fd(), PollFlags::POLLIN));
        }
        if poll(&mut watched, PollTimeout::NONE).is_err() {
            continue;
        }
        let readable =
            |at: usize| watched.get(at).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
        let (heard, written) = (readable(0), readable(1));
        if written {
            let mut piece = [0; 4096];
            let length = said.read(&mut piece).unwrap_or(0);
            is_open = length > 0;
            drop(io::stderr().write_all(&piece[..length]));
            continue;
        }
        if !heard {
            continue;
        }
        return match channel.poll::<()>() {
            Ok(Received::Message(())) => {
                drop(writeln!(io::stderr(), "wasgun: ready, in the background as process {child}"));
                Ok(0)
            }
            Ok(Received::Nothing) => continue,
            Ok(Received::Closed) | Err(_) => Ok(match process::wait(child)? {
                Exit::Code(code) => u8::try_from(code).unwrap_or(1).max(1),
                Exit::Signal(_) => 1,
            }),
        };
    }
}
