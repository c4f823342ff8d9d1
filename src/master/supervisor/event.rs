//! The words that the supervisor and the rest of the master exchange.

/// Milliseconds of the monotonic clock.
pub type Millis = u64;

/// A process id.
pub type Pid = i32;

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Workers wanted; at least 1.
    pub workers: usize,
    /// Time for requests in flight when a worker is to end.
    pub graceful_timeout: Millis,
    /// Silence after which a worker is killed.
    pub worker_timeout: Millis,
}

/// `1 worker`, `4 workers`.
pub fn workers(count: usize) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A configuration is to be put in force; also how the server starts.
    Reload(Settings),
    /// The mold of a generation has loaded everything.
    MoldReady(u32),
    /// The mold of a generation ended or cannot be made.
    MoldGone(u32, String),
    /// A mold forked a worker.
    Forked(u32, usize, Pid),
    /// A mold could not.
    ForkFailed(u32, usize, String),
    /// A worker accepts connections.
    Ready(Pid),
    /// A worker is about to end, because of this.
    BootFailed(Pid, String),
    /// A child ended, in this way; perhaps none of ours.
    Exited(Pid, String),
    /// A second passed; the last beat of each slot.
    Tick(Vec<(usize, Millis)>),
    /// Nothing but time.
    Due,
    /// One worker more.
    ScaleUp,
    /// One worker less.
    ScaleDown,
    /// Stop when requests in flight are done; said twice, stop now.
    Stop,
    /// Stop now.
    StopNow,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Compile what is not compiled, and start the mold of a generation.
    StartMold(u32),
    /// End a mold; nobody is forked from it any more.
    StopMold(u32),
    /// Have a mold fork a worker for a slot.
    Fork(u32, usize),
    /// Tell a worker to accept what waits, finish what it has, and end: nobody
    /// comes after it.
    Drain(Pid),
    /// Tell a worker to finish what it has, and end: others accept what waits.
    Retire(Pid),
    /// Tell a worker to end.
    Quit(Pid),
    /// Kill a process.
    Kill(Pid),
    /// Kill what claims to be a worker and is none, if it is a child at all.
    KillStray(Pid),
    /// A slot has no holder any more.
    Release(usize),
    /// A generation serves; the one before it ends.
    Live(u32),
    /// A generation is given up; the one before it stays.
    Abandoned(u32, String),
    /// Something to know.
    Info(String),
    /// Something to look after.
    Warn(String),
    /// Everything ended; leave with this code.
    Exit(u8),
}
