//! All that crosses a fork: what a process is born with, and what it tells the
//! one that made it. Master, mold, worker and compiler never name each other;
//! they meet here and on the board.

mod channel;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::artifact::Fingerprint;
use crate::config::{ByteSize, CompileLimits, Config};
use crate::listeners::Listener;
use crate::sandbox::Cgroup;
use crate::sys::fd;
use crate::sys::process::Exit;
use crate::telemetry::{self, Board, Slot};

pub use channel::{Channel, Received};

/// Exit code of a process that said why it failed before it ended.
pub const EXIT_FAILED: i32 = 3;

/// What every process of one generation shares.
#[derive(Debug, Clone)]
pub struct Inheritance {
    /// Number of the generation, from 1.
    pub generation: u32,
    /// Its configuration.
    pub config: Arc<Config>,
    /// The sockets to accept on.
    pub listeners: Vec<Arc<Listener>>,
    /// The socket on which nothing but the server's health is told.
    pub health: Option<Arc<Listener>>,
    /// The shared counters.
    pub board: Board,
    /// What the workers make cgroups in.
    pub cgroup: Option<Cgroup>,
    /// The master, without whom nobody goes on.
    pub master: Pid,
    /// The sending end to the master, for workers.
    pub to_master: Arc<Channel>,
}

/// A mold's birth: it loads the apps once and forks workers on demand.
#[derive(Debug)]
pub struct MoldSeed {
    /// What its workers will share.
    pub inheritance: Inheritance,
    /// Its own channel with the master.
    pub orders: Channel,
    /// What the generation runs, once that is settled.
    pub pinned: Option<Vec<Fingerprint>>,
}

impl MoldSeed {
    /// Makes the descriptors that the mold and its workers need their own, and
    /// closes the master's others: those of other generations among them.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn settle(&mut self) -> io::Result<()> {
        let inheritance = &mut self.inheritance;
        let listeners: io::Result<Vec<_>> =
            inheritance.listeners.iter().map(|listener| listener.duplicate().map(Arc::new)).collect();
        inheritance.listeners = listeners?;
        inheritance.health =
            inheritance.health.as_ref().map(|listener| listener.duplicate().map(Arc::new)).transpose()?;
        let listeners = inheritance.listeners.iter().chain(&inheritance.health);
        let mut kept: Vec<RawFd> = listeners.map(|listener| listener.as_raw_fd()).collect();
        kept.extend([self.orders.as_fd().as_raw_fd(), inheritance.to_master.as_fd().as_raw_fd()]);
        kept.extend(telemetry::log_descriptor());
        fd::close_all_but(&kept)
    }
}

/// A worker's birth; `A` is what the mold has loaded.
#[derive(Debug)]
pub struct WorkerSeed<A> {
    /// What it shares with its siblings.
    pub inheritance: Inheritance,
    /// Its parent until the master adopts it.
    pub between: Pid,
    /// Which slot of the board is its own.
    pub index: usize,
    /// Whether it tries the app before it says that it is ready: the first of a
    /// generation does, for all.
    pub is_canary: bool,
    /// That slot.
    pub slot: Slot,
    /// The loaded apps.
    pub apps: A,
}

/// A compiler's birth: a child that compiles one component and ends.
#[derive(Debug)]
pub struct CompilerSeed {
    /// The configuration whose apps are wanted compiled.
    pub config: Arc<Config>,
    /// Where to say what came of it.
    pub report: Channel,
    /// The master.
    pub master: Pid,
}

impl CompilerSeed {
    /// Closes everything of the master's but the way to report.
    ///
    /// # Errors
    /// /proc is not mounted.
    pub fn settle(&self) -> io::Result<()> {
        fd::close_all_but(&[self.report.as_fd().as_raw_fd()])
    }
}

/// What the master asks of a mold.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Fork a worker.
    Fork {
        /// For this slot.
        index: usize,
        /// Whether it has to try the app first.
        is_canary: bool,
    },
}

/// What a mold, or a process it forks on the way to a worker, tells the master.
#[derive(Debug, Serialize, Deserialize)]
pub enum MoldNews {
    /// An app is not compiled yet; the mold ends, having served nobody.
    NotCompiled,
    /// Everything is loaded; orders are welcome. What was loaded is what any
    /// later mold of this generation loads too.
    Ready(Vec<Fingerprint>),
    /// It cannot serve; the mold ends.
    Failed(String),
    /// The worker of a slot exists, and will be the master's child.
    Forked {
        /// Its slot.
        index: usize,
        /// Its process id.
        pid: i32,
    },
    /// The worker of a slot could not be forked.
    ForkFailed {
        /// Its slot.
        index: usize,
        /// Why.
        reason: String,
    },
}

/// What a worker tells the master.
#[derive(Debug, Serialize, Deserialize)]
pub enum WorkerNews {
    /// It accepts connections.
    Ready(i32),
    /// It has answered `--max-requests`, and goes on until it is replaced.
    Spent(i32),
    /// Somebody else than the master has told it to end; it goes on until it is
    /// replaced.
    Leaving(i32),
    /// It cannot serve, and ends.
    Failed {
        /// Its process id.
        pid: i32,
        /// Why.
        reason: String,
    },
}

/// What a compiler tells the master.
#[derive(Debug, Serialize, Deserialize)]
pub enum CompilerNews {
    /// Everything is in the cache.
    Compiled {
        /// Wall-clock milliseconds it took.
        millis: u64,
    },
    /// The component cannot be compiled or served.
    Failed(String),
}

/// Cuts a reason to what fits a message.
pub fn reason(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    if text.len() > 16 * 1024 {
        let mut end = 16 * 1024;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

/// Why there is nothing of a compiler that ended without a word.
pub fn compiler_died(what: &str, exit: Exit, limits: &CompileLimits) -> String {
    format!(
        "compiling {what} ended with {exit}: it needs more than --compile-memory ({}) or --compile-timeout ({:?}) allow",
        ByteSize(limits.memory),
        limits.timeout
    )
}

/// Why a compiler was stopped.
pub fn took_too_long(what: &str, limits: &CompileLimits) -> String {
    format!("compiling {what} took longer than --compile-timeout ({:?})", limits.timeout)
}
