//! Limits of a process (`setrlimit(2)`).

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process open as many descriptors as it is allowed to, and leave no
/// core file, which would hold what clients sent.
///
/// # Errors
/// `setrlimit(2)` fails.
pub fn tune_limits() -> Result<()> {
    let (_, descriptors) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors).context("RLIMIT_NOFILE")?;
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard).context("RLIMIT_CORE")?;
    Ok(())
}

/// Bounds a compiling process: address space in bytes, CPU time in seconds.
///
/// # Errors
/// `setrlimit(2)` fails.
pub fn bound_compiler(memory: u64, cpu_seconds: u64) -> Result<()> {
    for (resource, limit) in
        [(Resource::RLIMIT_AS, memory), (Resource::RLIMIT_CPU, cpu_seconds), (Resource::RLIMIT_CORE, 0)]
    {
        let (_, hard) = getrlimit(resource)?;
        let limit = limit.min(hard);
        setrlimit(resource, limit, limit).with_context(|| format!("{resource:?}"))?;
    }
    Ok(())
}
