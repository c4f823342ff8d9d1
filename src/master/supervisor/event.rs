//! The words that the supervisor and the rest of the master exchange.

use crate::config::Surge;

/// Milliseconds of the monotonic clock.
pub type Millis = u64;

/// A process id.
pub type Pid = i32;

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Workers wanted at the least; at least 1.
    pub workers: usize,
    /// Workers wanted at the most, when the load asks for it.
    pub most: usize,
    /// How many workers a reload starts at a time.
    pub surge: Surge,
    /// Time for requests in flight when a worker is to end.
    pub graceful_timeout: Millis,
    /// Silence after which a worker is killed.
    pub worker_timeout: Millis,
    /// Time a worker has to become ready, the trial of the app included.
    pub boot_timeout: Millis,
    /// Time to go on when a stop is asked for.
    pub shutdown_delay: Millis,
    /// Age at which a worker is replaced, a tenth more for some.
    pub lifetime: Option<Millis>,
}

/// `1 worker`, `4 workers`.
pub fn workers(count: usize) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

/// How busy the workers were since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Requests that had to wait for a place.
    pub waited: u64,
    /// Processor time they used, of a thousand parts that a single-threaded
    /// worker can, over all of those that serve.
    pub busy: u64,
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
    /// A child ended; perhaps none of ours.
    Exited {
        /// Which.
        pid: Pid,
        /// In which way.
        how: String,
        /// Whether that is how a worker ends that was told to.
        is_clean: bool,
    },
    /// Time passed; the last beat of each slot.
    Tick(Vec<(usize, Millis)>),
    /// How busy the workers were, about once a second.
    Load(Pressure),
    /// One worker more.
    ScaleUp,
    /// One worker less.
    ScaleDown,
    /// As many workers.
    Scale(usize),
    /// A worker is to be replaced by one that is ready first, for this reason.
    Recycle(Pid, String),
    /// Stop when requests in flight are done; said twice, stop now.
    Stop,
    /// Stop now.
    StopNow,
    /// Another master serves at the same sockets: end, and leave the rest to it.
    HandOver,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Compile what is not compiled, and start the mold of a generation.
    StartMold(u32),
    /// End a mold; nobody is forked from it any more.
    StopMold(u32),
    /// Have a mold fork a worker.
    Fork {
        /// Of this generation.
        generation: u32,
        /// For this slot.
        slot: usize,
        /// Whether it has to try the app before it is ready.
        is_canary: bool,
    },
    /// Tell a worker to accept what waits, finish what it has, and end: nobody
    /// comes after it.
    Drain(Pid),
    /// Tell a worker to finish what it has, and end: others accept what waits.
    Retire(Pid),
    /// The same for what claims to be a worker and is none, if it is a child at all.
    RetireStray(Pid),
    /// Tell a worker to end.
    Quit(Pid),
    /// Kill a process.
    Kill(Pid),
    /// A slot has no holder any more.
    Release(usize),
    /// A generation serves; the one before it ends.
    Live(u32),
    /// A generation is given up; the one before it stays.
    Abandoned(u32, String),
    /// No new connections are wanted: close the sockets.
    StopListening,
    /// Something to know.
    Info(String),
    /// Something to look after.
    Warn(String),
    /// Everything ended; leave with this code.
    Exit(u8),
}
