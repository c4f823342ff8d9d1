//! Files and network, by Landlock (`landlock(7)`).

use std::path::PathBuf;

use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::{Connections, Grants};

/// What there has to be: with less, files can be cut off that may not be written, or
/// connections made that nobody allowed. Linux 6.7.
pub(super) const NEEDED: ABI = ABI::V4;

/// What is used where there is more: devices, signals and abstract sockets are closed to
/// a worker by its filter of system calls too.
const WANTED: ABI = ABI::V6;

/// Whether the kernel has what there has to be.
pub(super) fn is_available() -> bool {
    handled(CompatLevel::HardRequirement, NEEDED, &Grants::default()).is_ok()
}

/// Closes all files but those granted, for good, and the network as far as `grants` says.
///
/// # Errors
/// A rule cannot be made.
pub(super) fn restrict(grants: &Grants) -> Result<()> {
    let all = AccessFs::from_all(WANTED);
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = handled(CompatLevel::BestEffort, WANTED, grants)?;
    // Paths that are not there grant nothing.
    rules = rules
        .add_rules(path_beneath_rules(&grants.read, read))?
        .add_rules(path_beneath_rules(&grants.write, all & !never))?
        .add_rules(path_beneath_rules(&grants.append, AccessFs::WriteFile | AccessFs::MakeReg))?;
    if let Connections::Ports(ports) = &grants.connections {
        for port in ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
    }
    rules.restrict_self().context("landlock_restrict_self")?;
    Ok(())
}

fn handled(level: CompatLevel, abi: ABI, grants: &Grants) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default().set_compatibility(level).handle_access(AccessFs::from_all(abi))?;
    ruleset = ruleset.handle_access(match grants.connections {
        Connections::Anywhere => AccessNet::BindTcp.into(),
        Connections::None | Connections::Ports(_) => AccessNet::from_all(abi),
    })?;
    if !Scope::from_all(abi).is_empty() {
        ruleset = ruleset.scope(Scope::from_all(abi))?;
    }
    ruleset.create()
}

/// What the C library reads to look up a host. What names the servers may be replaced
/// while the server runs, so its directory counts, unless much else is there as well.
pub(super) fn resolver() -> Vec<PathBuf> {
    const SHARED: [&str; 8] = ["/", "/etc", "/mnt", "/run", "/tmp", "/var", "/var/run", "/var/tmp"];
    const READ: [&str; 10] = [
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/host.conf",
        "/etc/nsswitch.conf",
        "/etc/gai.conf",
        "/etc/services",
        "/etc/ld.so.cache",
        "/lib",
        "/lib64",
        "/usr/lib",
    ];
    let real = std::fs::canonicalize("/etc/resolv.conf").ok();
    let elsewhere = real.and_then(|real| real.parent().map(PathBuf::from));
    let elsewhere = elsewhere.filter(|dir| SHARED.iter().all(|shared| dir.as_os_str() != *shared));
    READ.into_iter().map(PathBuf::from).chain(elsewhere).filter(|path| path.exists()).collect()
}
