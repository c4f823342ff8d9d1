//! What /proc tells about processes, and which cores they run on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The two cores of a measurement: one for the server, one for its load.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub fn find() -> Result<Self, String> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(|error| error.to_string())?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true));
        match (cores.next(), cores.next()) {
            (Some(server), Some(load)) => Ok(Self { server, load }),
            _ => Err("it takes two cores, one for the server and one for its load".to_owned()),
        }
    }

    pub fn both(self) -> [usize; 2] {
        [self.server, self.load]
    }
}

/// Keeps this thread, and what it starts from now on, on `cores`.
pub fn stay_on(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// `root` and all that descends from it.
pub fn tree(root: i32) -> Vec<i32> {
    let mut tree = vec![root];
    let parents = parents();
    let mut seen = 0;
    while let Some(parent) = tree.get(seen).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        seen += 1;
    }
    tree
}

/// Children of `parent`.
pub fn children(parent: i32) -> Vec<i32> {
    parents().into_iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid).collect()
}

/// Each process with its parent.
fn parents() -> Vec<(i32, i32)> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    pids.filter_map(|pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}

/// Time on a processor of all threads; /proc/PID/stat would count it in ticks of
/// 10 ms.
pub fn cpu_nanos(pid: i32) -> u64 {
    let nanos = |task: PathBuf| -> Option<u64> {
        fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    tasks(pid).filter_map(nanos).sum()
}

/// The threads of a process.
pub fn tasks(pid: i32) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// How often any thread of a process has been woken so far; an error if it is gone.
pub fn wake_ups(pid: i32) -> Result<u64, String> {
    number_in(&PathBuf::from(format!("/proc/{pid}/status")), "voluntary_ctxt_switches:")?;
    tasks(pid).map(|task| number_in(&task.join("status"), "voluntary_ctxt_switches:")).sum()
}

/// Memory that a process shares with nobody and has written to, in KiB; an error if it
/// is gone.
pub fn private_dirty_kib(pid: i32) -> Result<u64, String> {
    number_in(&PathBuf::from(format!("/proc/{pid}/smaps_rollup")), "Private_Dirty:")
}

/// Memory of a process, what it shares counted in part, in KiB; an error if it is gone.
pub fn pss_kib(pid: i32) -> Result<u64, String> {
    number_in(&PathBuf::from(format!("/proc/{pid}/smaps_rollup")), "Pss:")
}

/// The number behind `label`. None is no zero, which would pass for a good figure.
fn number_in(path: &Path, label: &str) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("{} has no {label}", path.display()))
}
