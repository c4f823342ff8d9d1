//! Control groups (`cgroups(7)`, version 2): what a worker may have of the machine at most, as
//! the kernel counts it.
//!
//! A group that has members cannot hand controllers down to groups below it. So the master
//! moves into one of its own, and each worker makes another beside that.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::config::{ByteSize, Ceiling};
use crate::sys::xattr;

/// What is counted.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The group of the master, its mold and its compiler.
const MASTER: &str = "wasgun-master";

/// The group of a worker is this and its process id.
const WORKER: &str = "wasgun-worker-";

/// Threads of a worker: the serving one, those of health and of the ticker, and those that
/// read and write files for guests, of which the runtime has 512 at most.
const THREADS: u32 = 600;

/// What systemd makes groups for. One that it has not handed over it sets back as it likes.
const UNITS: [&str; 3] = ["service", "scope", "slice"];

/// Microseconds over which a share of processor time is counted, the kernel's own default.
const PERIOD: u64 = 100_000;

/// The group that the server was started in, and is alone in.
#[derive(Debug, Clone)]
pub struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Takes charge of the group that this process is in; `root` stands for `/`. A process that
    /// a master starts takes charge of what that one has.
    ///
    /// # Errors
    /// There is no group of version 2, somebody else is in it, or it may not be changed.
    pub fn take(root: &Path) -> Result<Self> {
        let dir = own(root)?;
        if dir.file_name().is_some_and(|name| name == MASTER) {
            return Ok(Self { dir: dir.parent().unwrap_or(&dir).to_owned() });
        }
        let shown = dir.display();
        let is_systemds = dir.extension().is_some_and(|kind| UNITS.iter().any(|unit| kind == *unit));
        ensure!(!is_systemds || is_delegated(&dir), "{shown} is systemd's own, without Delegate=");
        let offered = read(&dir, "cgroup.controllers")?;
        let lacking: Vec<_> = CONTROLLERS
            .into_iter()
            .filter(|name| offered.split_whitespace().all(|has| has != *name))
            .collect();
        ensure!(lacking.is_empty(), "{shown} has no controllers {}", lacking.join(", "));
        let own = std::process::id().to_string();
        if let Some(other) = read(&dir, "cgroup.procs")?.lines().find(|member| *member != own) {
            bail!("process {other} is in {shown} too");
        }
        let group = Self { dir };
        for stale in group.workers() {
            // Not that of somebody alive: the kernel removes no group with members.
            drop(fs::remove_dir(stale));
        }
        let handed_down =
            group.make(MASTER).and_then(|leaf| write(&leaf, "cgroup.procs", &own)).and_then(|()| {
                write(
                    &group.dir,
                    "cgroup.subtree_control",
                    &CONTROLLERS.map(|name| format!("+{name}")).join(" "),
                )
            });
        handed_down.inspect_err(|_| group.release())?;
        Ok(group)
    }

    /// Moves this process, a worker, into a group of its own, with limits. What it has of
    /// memory already counts for where it was made.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn confine(&self, ceiling: &Ceiling) -> Result<()> {
        let group = self.make(&format!("{WORKER}{}", std::process::id()))?;
        let or_max = |limit: Option<u64>| limit.map_or("max".to_owned(), |limit| limit.to_string());
        write(&group, "memory.max", &or_max(ceiling.memory))?;
        // Not there where the kernel was built, or started, without counting swap.
        if group.join("memory.swap.max").exists() {
            write(&group, "memory.swap.max", "0")?;
        }
        let share = ceiling.millicpus.map(|thousandths| u64::from(thousandths) * PERIOD / 1000);
        write(&group, "cpu.max", &format!("{} {PERIOD}", or_max(share)))?;
        write(&group, "pids.max", &THREADS.to_string())?;
        write(&group, "cgroup.procs", "0")
    }

    /// Removes the group of a worker that has ended; says so if memory was why.
    pub fn ended(&self, worker: i32) -> Option<String> {
        let group = self.dir.join(format!("{WORKER}{worker}"));
        let events = read(&group, "memory.events").unwrap_or_default();
        let limit = read(&group, "memory.max").unwrap_or_default();
        drop(fs::remove_dir(group));
        let killed = events.lines().filter_map(|line| line.strip_prefix("oom_kill "));
        let is_out = killed.filter_map(|count| count.parse::<u64>().ok()).any(|count| count > 0);
        // Without a limit of its own it was the machine that had no more, or a group above.
        let limit = limit.trim().parse().map_or("there was no more memory".to_owned(), |limit| {
            format!("it had all the memory that --cgroup-memory={} allows", ByteSize(limit))
        });
        is_out.then_some(limit)
    }

    /// Leaves the group as it was, unless somebody else still needs it: what is taken from
    /// it is taken from the groups below.
    pub fn release(&self) {
        let own = std::process::id().to_string();
        let others = |group: &Path| {
            read(group, "cgroup.procs").is_ok_and(|members| members.lines().any(|member| member != own))
        };
        if others(&self.dir.join(MASTER)) || self.workers().any(|group| others(&group)) {
            return;
        }
        let revoked = CONTROLLERS.map(|name| format!("-{name}")).join(" ");
        // Where one of these fails nothing was changed.
        drop(write(&self.dir, "cgroup.subtree_control", &revoked));
        drop(write(&self.dir, "cgroup.procs", &own));
        drop(fs::remove_dir(self.dir.join(MASTER)));
    }

    fn make(&self, name: &str) -> Result<PathBuf> {
        let group = self.dir.join(name);
        match fs::create_dir(&group) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("{} may not be changed", self.dir.display()))
            }
            _ => Ok(group),
        }
    }

    fn workers(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(WORKER))
            .map(|entry| entry.path())
    }
}

/// The directory of the group of version 2 that this process is in.
fn own(root: &Path) -> Result<PathBuf> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).context("/proc/self/cgroup")?;
    let path =
        groups.lines().find_map(|line| line.strip_prefix("0::")).context("there are none of version 2")?;
    let mounts = ["sys/fs/cgroup", "sys/fs/cgroup/unified"].map(|mount| root.join(mount));
    let mount = mounts.iter().find(|mount| mount.join("cgroup.controllers").exists());
    let mount = mount.context("none of version 2 are mounted at /sys/fs/cgroup")?;
    let dir = mount.join(path.trim_start_matches('/'));
    ensure!(dir.is_dir(), "{path} is not mounted at {}", mount.display());
    Ok(dir)
}

fn is_delegated(group: &Path) -> bool {
    // Set since systemd 251; the older one is for root's eyes.
    [c"user.delegate", c"trusted.delegate"]
        .iter()
        .any(|name| xattr::get(group, name).is_ok_and(|value| value == b"1"))
}

fn read(group: &Path, file: &str) -> Result<String> {
    let path = group.join(file);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn write(group: &Path, file: &str, text: &str) -> Result<()> {
    let path = group.join(file);
    fs::write(&path, text).with_context(|| format!("{text:?} to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for `/` in which this process, and `others`, are in the group `path`.
    fn machine(path: &str, controllers: &str, others: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("sys/fs/cgroup").join(path);
        fs::create_dir_all(&group).unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/cgroup"), format!("4:memory:/\n0::/{path}\n")).unwrap();
        fs::write(root.path().join("sys/fs/cgroup/cgroup.controllers"), "").unwrap();
        fs::write(group.join("cgroup.controllers"), controllers).unwrap();
        fs::write(group.join("cgroup.procs"), format!("{}\n{others}", std::process::id())).unwrap();
        root
    }

    fn text(dir: &Path, file: &str) -> String {
        fs::read_to_string(dir.join(file)).unwrap()
    }

    const OFFERED: &str = "cpuset cpu io memory pids\n";

    #[test]
    fn the_master_makes_way_for_groups_of_workers() {
        let root = machine("app", OFFERED, "");
        let group = Cgroup::take(root.path()).unwrap();
        let dir = root.path().join("sys/fs/cgroup/app");
        assert_eq!(text(&dir, "wasgun-master/cgroup.procs"), std::process::id().to_string());
        assert_eq!(text(&dir, "cgroup.subtree_control"), "+cpu +memory +pids");
        group.confine(&Ceiling { memory: Some(1 << 25), millicpus: Some(1500) }).unwrap();
        let worker = dir.join(format!("wasgun-worker-{}", std::process::id()));
        let limits = ["memory.max", "cpu.max", "pids.max", "cgroup.procs"].map(|file| text(&worker, file));
        assert_eq!(limits, ["33554432", "150000 100000", "600", "0"]);
        fs::write(worker.join("memory.swap.max"), "max").unwrap();
        group.confine(&Ceiling::default()).unwrap();
        let limits = ["memory.max", "cpu.max", "memory.swap.max"].map(|file| text(&worker, file));
        assert_eq!(limits, ["max", "max 100000", "0"]);
    }

    #[test]
    fn a_process_of_a_master_has_what_that_has() {
        let root = machine("app/wasgun-master", "", "1\n2\n");
        assert_eq!(Cgroup::take(root.path()).unwrap().dir, root.path().join("sys/fs/cgroup/app"));
    }

    #[test]
    fn a_group_that_somebody_needs_is_not_released() {
        for (group, members) in [("wasgun-master", "1\n"), ("wasgun-worker-7", "7\n")] {
            let root = machine("app", OFFERED, "");
            let taken = Cgroup::take(root.path()).unwrap();
            let dir = root.path().join("sys/fs/cgroup/app");
            fs::create_dir_all(dir.join(group)).unwrap();
            fs::write(dir.join(group).join("cgroup.procs"), members).unwrap();
            taken.release();
            assert_eq!(text(&dir, "cgroup.subtree_control"), "+cpu +memory +pids", "{group}");

            fs::write(dir.join(group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
            taken.release();
            assert_eq!(text(&dir, "cgroup.subtree_control"), "-cpu -memory -pids", "{group}");
        }
    }

    #[test]
    fn that_a_worker_ran_out_of_memory_is_told() {
        let root = machine("app", OFFERED, "");
        let group = Cgroup::take(root.path()).unwrap();
        let worker = group.make("wasgun-worker-7").unwrap();
        assert_eq!(group.ended(7), None);
        let worker = fs::create_dir_all(&worker).map(|()| worker).unwrap();
        fs::write(worker.join("memory.events"), "oom 1\noom_kill 0\noom_group_kill 0\n").unwrap();
        fs::write(worker.join("memory.max"), "33554432\n").unwrap();
        assert_eq!(group.ended(7), None);
        fs::write(worker.join("memory.events"), "oom 1\noom_kill 1\n").unwrap();
        assert_eq!(group.ended(7).unwrap(), "it had all the memory that --cgroup-memory=32MiB allows");
        fs::write(worker.join("memory.max"), "max\n").unwrap();
        assert_eq!(group.ended(7).unwrap(), "there was no more memory");
    }

    #[test]
    fn a_group_that_is_not_the_servers_own_is_left_alone() {
        for (path, controllers, others, why) in [
            ("app", OFFERED, "1\n", "process 1 is in "),
            ("app", "cpuset cpu", "", "has no controllers memory, pids"),
            ("a.slice/app.service", OFFERED, "", "is systemd's own, without Delegate="),
        ] {
            let root = machine(path, controllers, others);
            let error = format!("{:#}", Cgroup::take(root.path()).unwrap_err());
            assert!(error.contains(why), "{error}");
            assert!(!root.path().join("sys/fs/cgroup").join(path).join("cgroup.subtree_control").exists());
        }
        let root = machine("app", OFFERED, "");
        fs::write(root.path().join("proc/self/cgroup"), "4:memory:/\n").unwrap();
        assert!(Cgroup::take(root.path()).unwrap_err().to_string().contains("none of version 2"));
    }
}
