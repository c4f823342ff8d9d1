//! Who a process is, and what it may do as that.

use std::ffi::CString;

use anyhow::{Context, Result};
use caps::CapSet;
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

/// Gives up every capability, and the way to get one back by starting a program.
///
/// # Errors
/// `capset(2)` or `prctl(2)` fails.
pub(super) fn drop_capabilities() -> Result<()> {
    // What may be had at most comes first: it takes a capability to lower that.
    if caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SETPCAP)? {
        caps::clear(None, CapSet::Bounding)?;
    }
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        // What is empty is left alone: service managers may forbid the call.
        if !caps::read(None, set)?.is_empty() {
            caps::clear(None, set).with_context(|| format!("{set:?} capabilities"))?;
        }
    }
    nix::sys::prctl::set_no_new_privs().context("PR_SET_NO_NEW_PRIVS")
}
