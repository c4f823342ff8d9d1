//! The compiler: a short-lived child with bounds on memory and time, since
//! compiling is the one step that a hostile component can make explode.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::artifact::Cache;
use crate::config::{AppSource, CompileLimits};
use crate::handoff::{self, Channel, CompilerNews, CompilerSeed, Received};
use crate::sys::process::{self, Forked};
use crate::{host, sandbox, telemetry};

/// Compiles what the cache lacks; returns the exit code.
pub fn run(seed: CompilerSeed) -> i32 {
    // What it has to say it reports.
    telemetry::silence();
    report(&seed.report, || {
        seed.settle()?;
        confine(seed.master, &seed.config.compile)?;
        let mut apps = seed.config.pool.apps.iter();
        apps.try_for_each(|app| match app.source {
            AppSource::Precompiled(_) => Ok(()),
            _ => host::compile_to_cache(app, &Cache::open(seed.config.cache_dir.as_deref())?),
        })
    })
}

/// Compiles one component to a file, in a child under the same bounds; for
/// `wasgun compile`.
///
/// # Errors
/// The component cannot be compiled, or not within the bounds.
pub fn compile_to_file(app: &Path, out: &Path, limits: &CompileLimits) -> Result<()> {
    let (ours, theirs) = Channel::pair()?;
    let parent = Pid::this();
    let child = match process::fork_single_threaded()? {
        Forked::Parent(child) => child,
        Forked::Child => {
            drop(ours);
            process::exit_now(report(&theirs, || {
                confine(parent, limits)?;
                host::compile_to_file(app, out)
            }))
        }
    };
    drop(theirs);
    let mut watched = [PollFd::new(std::os::fd::AsFd::as_fd(&ours), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(limits.timeout).unwrap_or(PollTimeout::MAX);
    if poll(&mut watched, patience)? == 0 {
        process::send_signal(child.as_raw(), Signal::SIGKILL);
        process::wait(child)?;
        bail!("{}", handoff::took_too_long(&app.display().to_string(), limits));
    }
    let news = ours.wait()?;
    let exit = process::wait(child)?;
    match news {
        Received::Message(CompilerNews::Compiled { .. }) => Ok(()),
        Received::Message(CompilerNews::Failed(reason)) => bail!(reason),
        Received::Nothing | Received::Closed => {
            bail!("{}", handoff::compiler_died(&app.display().to_string(), exit, limits))
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

fn confine(parent: Pid, limits: &CompileLimits) -> Result<()> {
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
