//! How many workers are as many as there are processors to run them.

use std::fs;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use super::Workers;

/// Most workers `auto` starts, and most that may be asked for.
pub(super) const MOST_WORKERS: u32 = 512;

/// A share of processor time a control group allows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quota {
    cpus: f64,
    file: &'static str,
}

/// A worker for each CPU this process may use.
pub(super) fn auto() -> Workers {
    decide(affinity(), quota(Path::new("/")))
}

fn decide(affinity: usize, quota: Option<Quota>) -> Workers {
    let plural = |cpus: f64| if cpus == 1.0 { "CPU" } else { "CPUs" };
    let allowed = quota.map(|quota| (quota, quota.cpus.ceil().max(1.0) as usize));
    let (count, reason) = match allowed {
        Some((Quota { cpus, file }, allowed)) if allowed < affinity => {
            let shown = (cpus * 100.0).round() / 100.0;
            (allowed, format!("auto: {shown} {} by {file}", plural(shown)))
        }
        _ => (affinity, format!("auto: {affinity} {} by affinity", plural(affinity as f64))),
    };
    let count = count.clamp(1, MOST_WORKERS as usize);
    Workers { count, most: count, reason }
}

fn affinity() -> usize {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        // The set holds 1024 CPUs, and the call fails where there are more.
        return std::thread::available_parallelism().map_or(1, usize::from);
    };
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count().max(1)
}

/// The smallest quota of this process's control groups, their parents
/// included; `root` stands for `/`.
fn quota(root: &Path) -> Option<Quota> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let quotas = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        match controllers {
            "" => up(&root.join("sys/fs/cgroup"), path, v2),
            _ if controllers.split(',').any(|name| name == "cpu") => {
                up(&root.join("sys/fs/cgroup/cpu"), path, v1)
            }
            _ => None,
        }
    });
    quotas.min_by(|a, b| a.cpus.total_cmp(&b.cpus))
}

/// The smallest quota from `path` up to the mount itself. In a container the
/// path is often the host's and not there: its parents are tried just the same.
fn up(mount: &Path, path: &str, read: fn(&Path) -> Option<Quota>) -> Option<Quota> {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | "." | "..")).collect();
    let groups = (0..=names.len()).map(|depth| mount.join(names[..depth].join("/")));
    groups.filter_map(|group| read(&group)).min_by(|a, b| a.cpus.total_cmp(&b.cpus))
}

fn v2(group: &Path) -> Option<Quota> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    share(quota, period, "cpu.max")
}

fn v1(group: &Path) -> Option<Quota> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    share(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?, "cpu.cfs_quota_us")
}

/// `max` and -1 mean no quota, and are no positive numbers.
fn share(quota: &str, period: &str, file: &'static str) -> Option<Quota> {
    let positive = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0).map(f64::from);
    Some(Quota { cpus: positive(quota)? / positive(period)?, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn by(cpus: f64, file: &'static str) -> Option<Quota> {
        Some(Quota { cpus, file })
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/a/b/c\n"),
            ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a/b/c/cpu.max", "300000 100000\n"),
        ]);
        assert_eq!(quota(root.path()), by(1.5, "cpu.max"));
    }

    #[test]
    fn a_path_of_the_host_still_finds_the_containers_root() {
        let root = machine(&[
            ("proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/docker/1234\n0::/../../x\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(quota(root.path()), by(0.5, "cpu.cfs_quota_us"));
    }

    #[test]
    fn no_quota_and_nonsense_are_no_limit() {
        for text in ["max 100000", "-1 100000", "0 100000", "100000 0", "", "abc", "100000"] {
            let root = machine(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", text)]);
            assert_eq!(quota(root.path()), None, "{text}");
        }
        assert_eq!(quota(machine(&[]).path()), None);
    }

    #[test]
    fn a_part_of_a_cpu_is_a_worker_and_the_reason_says_so() {
        let decided = |affinity, quota| {
            let Workers { count, reason, .. } = decide(affinity, quota);
            (count, reason)
        };
        assert_eq!(decided(2, None), (2, "auto: 2 CPUs by affinity".into()));
        assert_eq!(decided(1, None), (1, "auto: 1 CPU by affinity".into()));
        assert_eq!(decided(8, by(1.5, "cpu.max")), (2, "auto: 1.5 CPUs by cpu.max".into()));
        assert_eq!(decided(8, by(0.1, "cpu.max")), (1, "auto: 0.1 CPUs by cpu.max".into()));
        assert_eq!(decided(2, by(1.5, "cpu.max")), (2, "auto: 2 CPUs by affinity".into()));
        assert_eq!(decided(4000, None).0, 512);
        assert_eq!(decided(0, None).0, 1);
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!((1..=512).contains(&auto().count));
    }
}
