//! What a worker gives up before it serves anybody.

use std::ffi::CString;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, initgroups, setgid, setgroups, setuid};

use crate::config::Identity;

/// Becomes that user and group, for good.
///
/// # Errors
/// The kernel refuses.
pub fn assume(identity: &Identity) -> Result<()> {
    if !Uid::effective().is_root() || *identity == Identity::default() {
        return Ok(());
    }
    // Supplementary groups first: without root they can no longer be dropped.
    match (&identity.name, identity.gid) {
        (Some(name), Some(gid)) => initgroups(&CString::new(name.as_str())?, gid).context("initgroups")?,
        (_, gid) => setgroups(gid.as_slice()).context("setgroups")?,
    }
    if let Some(gid) = identity.gid {
        setgid(gid).context("setgid")?;
    }
    if let Some(uid) = identity.uid {
        setuid(uid).context("setuid")?;
    }
    Ok(())
}

/// Lets this process open as many descriptors as it is allowed to, and leave no
/// core file, which would hold what clients sent.
///
/// # Errors
/// `setrlimit(2)` fails.
pub fn tune_limits() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("RLIMIT_NOFILE")?;
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
