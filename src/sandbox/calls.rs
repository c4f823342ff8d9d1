//! System calls, by seccomp (`seccomp(2)`): what is not on the list ends the process.

use std::collections::BTreeMap;

use anyhow::Result;
use nix::libc::*;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};

use super::{Connections, Grants};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What the runtime, the C library, and the host functions of guests need; files are for
/// Landlock to decide about. None of them starts a program, traces, signals or reaches
/// into another process, loads code, or changes what this process may.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Descriptors and sockets
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_preadv2,
    SYS_pwritev2, SYS_close, SYS_close_range, SYS_lseek, SYS_dup, SYS_dup3, SYS_fcntl, SYS_ioctl, SYS_ppoll,
    SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd2,
    SYS_signalfd4, SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime, SYS_pipe2,
    SYS_accept4, SYS_accept, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg,
    SYS_shutdown, SYS_getsockopt, SYS_setsockopt, SYS_getsockname, SYS_getpeername, SYS_socket, SYS_socketpair,
    SYS_bind, SYS_listen, SYS_connect,
    // Files
    SYS_openat, SYS_openat2, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat,
    SYS_faccessat2, SYS_getdents64, SYS_readlinkat, SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2,
    SYS_linkat, SYS_symlinkat, SYS_ftruncate, SYS_fallocate, SYS_fadvise64, SYS_fsync, SYS_fdatasync,
    SYS_sync_file_range, SYS_utimensat, SYS_fchmod, SYS_flock, SYS_sendfile, SYS_copy_file_range, SYS_getcwd,
    SYS_umask,
    // Memory
    SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk, SYS_mincore,
    SYS_msync, SYS_mlock, SYS_munlock, SYS_memfd_create, SYS_membarrier,
    // Threads and time
    SYS_clone, SYS_clone3, SYS_futex, SYS_set_robust_list, SYS_set_tid_address, SYS_rseq, SYS_sched_yield,
    SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_getparam, SYS_sched_getscheduler, SYS_getcpu,
    SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_restart_syscall,
    SYS_exit, SYS_exit_group, SYS_gettid, SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
    SYS_getrandom, SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_times, SYS_prctl, SYS_seccomp,
    // Signals, to itself at most
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_sigaltstack, SYS_tgkill,
];

/// Older forms of the same, which the C library still uses here.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALSO: &[c_long] = &[
    SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename,
    SYS_link, SYS_symlink, SYS_poll, SYS_select, SYS_epoll_wait, SYS_epoll_create, SYS_dup2, SYS_pipe, SYS_eventfd,
    SYS_time, SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ALSO: &[c_long] = &[];

/// Requests to devices: those of sockets and pipes, whether something is a terminal, and
/// which pages were written (`PAGEMAP_SCAN`).
const IOCTLS: [u64; 6] = [FIONBIO, FIONREAD, FIOCLEX, TCGETS, TIOCGWINSZ, 0xc060_6610];

/// Copies of descriptors, and their flags; others have signals sent.
const FCNTLS: [c_int; 6] = [F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL];

/// Kinds of sockets (`socket(2)`), of which some bits are flags.
const KIND: u64 = 0xf;

/// Names of threads and of memory.
const PRCTLS: [c_int; 3] = [PR_SET_NAME, PR_GET_NAME, PR_SET_VMA];

/// Whether the kernel has it.
pub(super) fn is_available() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
        .is_ok_and(|actions| actions.split_whitespace().any(|action| action == "kill_process"))
}

/// Applies the filters to this thread and those that it starts; of several the strictest
/// counts.
///
/// # Errors
/// The kernel, or this machine, has no such filter.
pub(super) fn restrict(grants: &Grants) -> Result<()> {
    apply_filter(&old_clone()?)?;
    apply_filter(&deadly()?)?;
    // Last, since it takes what applies another one.
    apply_filter(&refused(grants)?)?;
    Ok(())
}

/// The newer way to make threads cannot be told from that to make processes; without
/// it the C library takes the older one.
fn old_clone() -> Result<BpfProgram> {
    let rules = Rules::from([(SYS_clone3, Vec::new())]);
    filter(rules, SeccompAction::Allow, SeccompAction::Errno(ENOSYS as u32))
}

/// What fails, because a library or a guest may well try it.
fn refused(grants: &Grants) -> Result<BpfProgram> {
    let mut rules: Rules =
        [SYS_bind, SYS_listen, SYS_socketpair, SYS_sched_setaffinity].map(|call| (call, Vec::new())).into();
    rules.insert(SYS_ioctl, vec![none_of(1, &IOCTLS)?]);
    rules.insert(SYS_prctl, vec![none_of(0, &PRCTLS.map(|call| call as u64))?]);
    rules.insert(SYS_fcntl, vec![none_of(1, &FCNTLS.map(|call| call as u64))?]);
    if !grants.makes_code {
        // Machine code was mapped when it was loaded, from memory files made for it.
        rules.insert(SYS_mprotect, vec![all(&[has(2, PROT_EXEC)])?]);
        rules.insert(SYS_memfd_create, Vec::new());
    }
    if let Connections::None = grants.connections {
        rules.insert(SYS_mmap, vec![all(&[has(2, PROT_EXEC)])?]);
        rules.extend([(SYS_socket, Vec::new()), (SYS_connect, Vec::new())]);
    } else {
        // The C library may still map a part of its own, to look up hosts.
        let writable = all(&[has(2, PROT_EXEC | PROT_WRITE)])?;
        let anonymous = all(&[has(2, PROT_EXEC), has(3, MAP_ANONYMOUS)])?;
        rules.insert(SYS_mmap, vec![writable, anonymous]);
        rules.insert(SYS_socket, other_sockets()?);
        // Landlock looks at `connect` alone.
        for (call, flags) in [(SYS_sendto, 3), (SYS_sendmsg, 2), (SYS_sendmmsg, 3)] {
            rules.insert(call, vec![all(&[has(flags, MSG_FASTOPEN)])?]);
        }
        let protocol_above = [equal(1, IPPROTO_TCP as u64), equal(2, TCP_ULP as u64)];
        rules.insert(SYS_setsockopt, vec![all(&protocol_above)?]);
    }
    filter(rules, SeccompAction::Allow, SeccompAction::Errno(EACCES as u32))
}

/// Sockets other than those of TCP and, to look up hosts, UDP: Landlock knows no others.
fn other_sockets() -> Result<Vec<SeccompRule>> {
    let mut others = vec![
        none_of(0, &[AF_INET as u64, AF_INET6 as u64])?,
        none_of(2, &[0, IPPROTO_TCP as u64, IPPROTO_UDP as u64])?,
    ];
    for kind in (0..=KIND).filter(|kind| ![SOCK_STREAM as u64, SOCK_DGRAM as u64].contains(kind)) {
        others.push(all(&[(1, SeccompCmpOp::MaskedEq(KIND), kind)])?);
    }
    Ok(others)
}

/// Everything but the list ends the process.
fn deadly() -> Result<BpfProgram> {
    let mut rules: Rules = ALLOWED.iter().chain(ALSO).map(|call| (*call, Vec::new())).collect();
    // Threads, not processes.
    rules.insert(SYS_clone, vec![all(&[has(0, CLONE_THREAD)])?]);
    // To read limits, not to set them.
    let nothing = SeccompCondition::new(2, Qword, SeccompCmpOp::Eq, 0)?;
    rules.insert(SYS_prlimit64, vec![SeccompRule::new(vec![nothing])?]);
    // To itself (by process), and of its own memory (`PIDFD_SELF`).
    rules.insert(SYS_tgkill, vec![all(&[equal(0, std::process::id().into())])?]);
    rules.insert(SYS_process_madvise, vec![all(&[equal(0, u64::from(-10_000_i32 as u32))])?]);
    filter(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// What an argument, a number of 32 bits, is compared with.
type Condition = (u8, SeccompCmpOp, u64);

fn equal(argument: u8, value: u64) -> Condition {
    (argument, SeccompCmpOp::Eq, value)
}

/// Has all of these bits set.
fn has(argument: u8, bits: c_int) -> Condition {
    (argument, SeccompCmpOp::MaskedEq(bits as u64), bits as u64)
}

/// All of the conditions hold.
fn all(conditions: &[Condition]) -> Result<SeccompRule> {
    let conditions = conditions
        .iter()
        .map(|(argument, is, value)| SeccompCondition::new(*argument, Dword, is.clone(), *value));
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

/// The argument, a number of 32 bits, is none of these.
fn none_of(argument: u8, known: &[u64]) -> Result<SeccompRule> {
    let differs = known.iter().map(|known| SeccompCondition::new(argument, Dword, SeccompCmpOp::Ne, *known));
    Ok(SeccompRule::new(differs.collect::<Result<_, _>>()?)?)
}

fn filter(rules: Rules, otherwise: SeccompAction, listed: SeccompAction) -> Result<BpfProgram> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, listed, machine)?.try_into()?)
}
