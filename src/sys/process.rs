//! Forking, reaping and the ties between parent and child.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getppid};

/// Which side of a fork the caller woke up on.
#[derive(Debug)]
pub enum Forked {
    /// The caller, with its new child.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Why no fork happened.
#[derive(Debug)]
pub enum ForkError {
    /// The process has several tasks; a child would inherit locks that nobody
    /// is left to release.
    Threads(usize),
    /// `fork(2)` failed.
    System(Errno),
}

impl std::fmt::Display for ForkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Threads(count) => write!(f, "refusing to fork a process with {count} threads"),
            Self::System(errno) => write!(f, "fork: {errno}"),
        }
    }
}

impl std::error::Error for ForkError {}

/// Forks, if this process has one thread only.
///
/// # Errors
/// See [`ForkError`].
pub fn fork_single_threaded() -> Result<Forked, ForkError> {
    let tasks = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if tasks != 1 {
        return Err(ForkError::Threads(tasks));
    }
    // SAFETY: one task only, checked above, so the child is a complete copy:
    // no lock is held by a thread that it lacks.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Forked::Parent(child)),
        Ok(ForkResult::Child) => Ok(Forked::Child),
        Err(errno) => Err(ForkError::System(errno)),
    }
}

/// Sends a signal. A process that is gone already is as good as told: whoever
/// waits for it finds out.
pub fn send_signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// The parent of a process, by /proc/PID/stat; `None` if there is no such process.
pub fn parent(pid: i32) -> Option<Pid> {
    if pid <= 1 {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    Some(Pid::from_raw(parent))
}

/// Bytes of memory that a process has, what it shares with others counted in part
/// (`Pss` of /proc/PID/smaps_rollup, `proc_pid_smaps(5)`).
pub fn proportional_memory(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Milliseconds of processor time that a process has used, its own and the
/// kernel's for it (`utime` and `stime` of /proc/PID/stat, `proc_pid_stat(5)`).
pub fn processor_time_ms(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(ticks * 1000 / u64::try_from(a_second).ok()?.max(1))
}

/// Leaves the terminal: what of the standard streams is one becomes /dev/null, and
/// so does the input in any case.
///
/// # Errors
/// There is no /dev/null.
pub fn leave_terminal() -> std::io::Result<()> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        nix::unistd::dup2_stdout(&null)?;
    }
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}

/// Ends this process at once: no destructors, no `atexit`, which belong to the
/// process it was forked from.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit is always sound; it only does not return.
    unsafe { nix::libc::_exit(code) }
}

/// Makes this process the parent of orphaned descendants
/// (`PR_SET_CHILD_SUBREAPER`, `prctl(2)`).
///
/// # Errors
/// The kernel refuses.
pub fn become_subreaper() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Ties this process to `parent`: it is killed when the parent dies.
///
/// A doubly forked process is the child of the one `between` until that ends,
/// and the tie is with whoever is the parent when it is made: this waits.
///
/// # Errors
/// `parent` is gone.
pub fn die_with(parent: Pid, between: Option<Pid>) -> nix::Result<()> {
    while Some(getppid()) == between {
        std::thread::sleep(Duration::from_micros(20));
    }
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Whoever else the parent is now, it is because `parent` has died.
    if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Keeps errors of libraries from recording the native call stack, where
/// RUST_BACKTRACE asks for that: each trap of a guest makes such an error, and
/// the first to be recorded costs hundreds of milliseconds and megabytes.
pub fn forgo_error_backtraces() {
    // SAFETY: called first of all, while this process has one thread, so that
    // nobody reads the environment meanwhile.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}

/// Has the ends of children be told: whoever started this process may have
/// ignored `SIGCHLD`, and then nobody can wait for them (`wait(2)`).
pub fn hear_of_children() {
    // SAFETY: SIG_DFL runs no code of ours. It fails for no signal that exists.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Killed by this signal number.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(nix::libc::SIGSYS) => {
                f.write_str("SIGSYS: it made a system call that --sandbox does not allow")
            }
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "{}", signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// Reaps one ended child, if there is any; also orphans that this process
/// adopted, as process 1 of a container must.
pub fn reap() -> Option<(Pid, Exit)> {
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => return Some((pid, Exit::Code(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => return Some((pid, Exit::Signal(signal as i32))),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return None,
            // EINTR, and stops and continues that were not asked for.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Waits for one child to end.
///
/// # Errors
/// `pid` is no child of this process.
pub fn wait(pid: Pid) -> nix::Result<Exit> {
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Exit::Code(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Exit::Signal(signal as i32)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
