//! What a process gives up before it meets what it does not trust: a worker its clients
//! and guests, a compiler its component.

mod calls;
#[cfg(test)]
mod calls_tests;
mod cgroup;
mod files;
mod identity;
mod limits;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::{AccessLogTarget, Ceiling, Config, DirAccess, SandboxMode};

pub use cgroup::Cgroup;
pub use identity::assume;
pub use limits::{bound_compiler, tune_limits};

/// What it keeps.
#[derive(Debug, Default)]
pub struct Grants {
    /// Files and directories to read.
    pub read: Vec<PathBuf>,
    /// Directories to do anything in.
    pub write: Vec<PathBuf>,
    /// Files to write to, and directories to make such in.
    pub append: Vec<PathBuf>,
    /// Where to connect to.
    pub connections: Connections,
    /// Whether it still makes memory executable.
    pub makes_code: bool,
}

/// Where a process may connect to, by TCP.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Connections {
    /// Nowhere; it gets no sockets.
    #[default]
    None,
    /// To these ports.
    Ports(Vec<u16>),
    /// To every port.
    Anywhere,
}

impl Grants {
    /// What a worker needs to serve: the directories of its apps, its access log, and, if
    /// they may send requests, a way to look up hosts.
    pub fn of_worker(config: &Config) -> Self {
        let mut grants = Self::default();
        let apps = &config.pool.apps;
        for dir in apps.iter().flat_map(|app| &app.dirs) {
            match dir.access {
                DirAccess::ReadOnly => grants.read.push(dir.host.clone()),
                DirAccess::ReadWrite => grants.write.push(dir.host.clone()),
            }
        }
        if let Some(AccessLogTarget::File(path)) = &config.log.access {
            grants.append.push(path.clone());
            // The next one, when it is opened again after it was moved away.
            if path.is_file() {
                grants.append.extend(path.parent().map(PathBuf::from));
            }
        }
        let rules: Vec<_> = apps.iter().flat_map(|app| &app.allow_outbound).collect();
        if !rules.is_empty() {
            grants.read.extend(files::resolver());
            // Names are asked for by TCP when an answer is long.
            let ports: Option<Vec<u16>> = rules.iter().map(|rule| rule.port).chain([Some(53)]).collect();
            grants.connections = ports.map_or(Connections::Anywhere, Connections::Ports);
        }
        grants
    }
}

/// Gives up everything but `grants`, for good; before this process has a second thread.
///
/// # Errors
/// The kernel refuses, or lacks what `mode` requires.
pub fn confine(mode: SandboxMode, grants: &Grants) -> Result<()> {
    if mode == SandboxMode::Off {
        return Ok(());
    }
    // Before anything is closed: it takes a file to find out.
    let means = Means::survey();
    means.suffice(mode)?;
    identity::drop_capabilities()?;
    if means.files {
        files::restrict(grants).context("Landlock")?;
    }
    if means.calls {
        calls::restrict(grants).context("seccomp")?;
    }
    Ok(())
}

/// What the processes of a server can be confined by.
#[derive(Debug)]
pub struct Confinement {
    /// All of it, in a line for the log.
    pub shown: String,
    /// For its workers, if there is one to be had.
    pub cgroup: Option<Cgroup>,
}

impl Confinement {
    /// Finds out, and takes charge of the cgroup that this process is in.
    ///
    /// # Errors
    /// Something is missing that `config` requires.
    pub fn prepare(config: &Config) -> Result<Self> {
        if config.sandbox == SandboxMode::Off {
            ensure_needless(&config.pool.ceiling, "with --sandbox=off there is none")?;
            return Ok(Self { shown: "sandbox: off".to_owned(), cgroup: None });
        }
        let means = Means::survey();
        means.suffice(config.sandbox)?;
        let (cgroup, counted) = match Cgroup::take(Path::new("/")) {
            Ok(cgroup) => (Some(cgroup), "; memory and processors by cgroups".to_owned()),
            Err(error) => {
                let why = format!("{error:#}");
                ensure_needless(&config.pool.ceiling, &why)?;
                (None, format!("; no cgroups: {why}"))
            }
        };
        Ok(Self { shown: format!("{means}{counted}"), cgroup })
    }
}

/// Moves this process, a worker, into a cgroup of its own, if there can be one.
///
/// # Errors
/// There is none and `ceiling` needs it, or the kernel refuses.
pub fn join_cgroup(cgroup: Option<&Cgroup>, ceiling: &Ceiling) -> Result<()> {
    match cgroup {
        Some(cgroup) => cgroup.confine(ceiling).context("cgroup"),
        None => ensure_needless(ceiling, "when this one was started there was none"),
    }
}

/// Sees to it that a server can do without cgroups; `why` there are none is for people.
fn ensure_needless(ceiling: &Ceiling, why: &str) -> Result<()> {
    let option = match ceiling {
        Ceiling { memory: Some(_), .. } => "--cgroup-memory",
        Ceiling { millicpus: Some(_), .. } => "--cgroup-cpus",
        Ceiling { memory: None, millicpus: None } => return Ok(()),
    };
    bail!(
        "{option} takes a cgroup (v2) that the server has for itself, such as systemd's Delegate=yes \
         gives to a service: {why}"
    )
}

/// What the kernel has to confine a process with.
struct Means {
    files: bool,
    calls: bool,
}

impl Means {
    fn survey() -> Self {
        Self { files: files::is_available(), calls: calls::is_available() }
    }

    fn suffice(&self, mode: SandboxMode) -> Result<()> {
        let missing = match (mode, self.files, self.calls) {
            (SandboxMode::Off | SandboxMode::BestEffort, ..) | (_, true, true) => return Ok(()),
            (_, false, true) => LANDLOCK.to_owned(),
            (_, true, false) => SECCOMP.to_owned(),
            (_, false, false) => format!("{LANDLOCK} and {SECCOMP}"),
        };
        bail!("--sandbox=required: this kernel lacks {missing}; --sandbox=best-effort goes without")
    }
}

const LANDLOCK: &str = "Landlock (of Linux 6.7 or later, for files and ports)";
const SECCOMP: &str = "seccomp (with kill_process, for system calls)";

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sandbox: no capabilities, no new privileges")?;
        for (has, means, lacking) in [
            (self.files, "files and ports by Landlock", LANDLOCK),
            (self.calls, "system calls by seccomp", SECCOMP),
        ] {
            if has { write!(f, ", {means}")? } else { write!(f, "; this kernel lacks {lacking}")? }
        }
        Ok(())
    }
}
