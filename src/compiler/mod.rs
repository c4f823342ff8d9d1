//! The compiler: a short-lived child with bounds on memory and time, since
//! compiling is the one step that a hostile component can make explode.
//!
//! It has a child of its own for each component, which has nothing but what was read of
//! that and an open file for what it makes: the directory of that is not its to reach.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::artifact::{Artifact, Cache};
use crate::config::{AppSource, CompileLimits};
use crate::handoff::{self, Channel, CompilerNews, CompilerSeed, Received};
use crate::host::Uncompiled;
use crate::sandbox::{self, Grants};
use crate::sys::process::{self, Forked};
use crate::telemetry;

/// Compiles what the cache lacks; returns the exit code.
pub fn run(seed: CompilerSeed) -> i32 {
    // What it has to say it reports.
    telemetry::silence();
    report(&seed.report, || {
        seed.settle()?;
        let limits = &seed.config.compile;
        bound(seed.master, limits)?;
        let apps = seed.config.pool.apps.iter();
        let apps = apps.filter(|app| !matches!(app.source, AppSource::Precompiled(_)));
        let components: Vec<_> =
            apps.map(|app| Uncompiled::read(&app.source, &app.middleware)).collect::<Result<_>>()?;
        if components.is_empty() {
            return Ok(());
        }
        let cache = Cache::open(seed.config.cache_dir.as_deref())?;
        components.iter().try_for_each(|component| {
            let context = || format!("cannot serve {}", component.shown());
            cache.fill(&component.fingerprint()?, |draft| {
                // The master looks at the clock.
                apart(component.shown(), limits, None, || component.compile(draft).with_context(context))
            })
        })
    })
}

/// Compiles one component, and what is in front of it, to a file, under the same bounds; for `wasgun compile`.
///
/// # Errors
/// The component cannot be compiled, or not within the bounds.
pub fn compile_to_file(app: &Path, middleware: &[PathBuf], out: &Path, limits: &CompileLimits) -> Result<()> {
    let component = Uncompiled::read(&AppSource::File(app.to_owned()), middleware)?;
    let context = || format!("cannot compile {}", component.shown());
    Artifact::export(out, |draft| {
        apart(component.shown(), limits, Some(limits.timeout), || {
            component.compile(draft).with_context(context)
        })
    })
}

/// Does the work in a child that keeps nothing but memory and open files; `what` is for
/// messages.
fn apart(
    what: &str,
    limits: &CompileLimits,
    patience: Option<Duration>,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let (ours, theirs) = Channel::pair()?;
    let parent = Pid::this();
    let child = match process::fork_single_threaded()? {
        Forked::Parent(child) => child,
        Forked::Child => {
            drop(ours);
            process::exit_now(report(&theirs, || {
                bound(parent, limits)?;
                // The runtime makes what it compiles executable, although nothing of it runs here.
                sandbox::confine(limits.sandbox, &Grants { makes_code: true, ..Grants::default() })?;
                work()
            }))
        }
    };
    drop(theirs);
    let mut watched = [PollFd::new(std::os::fd::AsFd::as_fd(&ours), PollFlags::POLLIN)];
    let patience = patience
        .map_or(PollTimeout::NONE, |patience| PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX));
    let heard = loop {
        match poll(&mut watched, patience) {
            // It was stopped, and goes on.
            Err(Errno::EINTR) => {}
            heard => break heard?,
        }
    };
    if heard == 0 {
        process::send_signal(child.as_raw(), Signal::SIGKILL);
        process::wait(child)?;
        bail!("{}", handoff::took_too_long(what, limits));
    }
    let news = ours.wait()?;
    let exit = process::wait(child)?;
    match news {
        Received::Message(CompilerNews::Compiled { .. }) => Ok(()),
        Received::Message(CompilerNews::Failed(reason)) => bail!(reason),
        Received::Nothing | Received::Closed => {
            bail!("{}", handoff::compiler_died(what, exit, limits))
        }
    }
}

fn report(to: &Channel, compile: impl FnOnce() -> Result<()>) -> i32 {
    let started = Instant::now();
    let (news, code) = match compile() {
        Ok(()) => (CompilerNews::Compiled { millis: millis(started.elapsed()) }, 0),
        Err(error) => (CompilerNews::Failed(handoff::reason(&error)), handoff::EXIT_FAILED),
    };
    if to.send(&news).is_ok() { code } else { handoff::EXIT_FAILED }
}

fn bound(parent: Pid, limits: &CompileLimits) -> Result<()> {
    process::die_with(parent, None)?;
    // What it has to say it reports; an allocator that gives up would only add
    // its own words to the log.
    nix::unistd::dup2_stderr(std::fs::OpenOptions::new().write(true).open("/dev/null")?)?;
    // Every core may be busy for the whole of the wall-clock time.
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    sandbox::bound_compiler(limits.memory, limits.timeout.as_secs().max(1).saturating_mul(cores))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
