//! The shared board: a page of counters that every process of the server maps.
//!
//! Each slot has one writer, the worker that holds it; siblings read its load
//! and the master sums. Counters outlive the worker: the next holder of the
//! slot counts on.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::LogLevel;
use crate::sys::{clock, shared};

/// Number of slots: twice the largest worker count, for a reload runs two
/// generations side by side.
pub const SLOTS: usize = 1024;

/// Words of a slot: two cache lines, so that neighbours never share one.
const WORDS: usize = 16;

const PID: usize = 0;
const STATE: usize = 1;
const BEAT: usize = 2;
const IN_FLIGHT: usize = 3;
const CONNECTIONS: usize = 4;
const REQUESTS: usize = 5;
const WAITING: usize = 6;
const WAITED: usize = 7;
/// What REQUESTS was when the holder came.
const EARLIER: usize = 8;
/// What apps have used, in any slot's time: microseconds on the processor, requests
/// sent, bytes of bodies received and sent.
const PROCESSOR: usize = 9;
const OUTBOUND: usize = 10;
const RECEIVED: usize = 11;
const SENT: usize = 12;

/// Behind the slots: what the master says, and it alone.
const HEADER: usize = SLOTS * WORDS;
/// How many slots were ever used.
const USED: usize = HEADER;
const SERVER: usize = HEADER + 1;
const READY: usize = HEADER + 2;
const WANTED: usize = HEADER + 3;
/// Requests that were counted on boards before this one.
const BEFORE: usize = HEADER + 4;
/// The least severe level that is logged, as a number from 1; 0 for what the
/// configuration says.
const LEVEL: usize = HEADER + 5;
/// What the words mean, for a master of another version.
const LAYOUT: usize = HEADER + 6;
/// Raised with every change of a meaning.
const THIS_LAYOUT: u64 = 1;

/// A beat older than this says nothing about load any more.
const STALE_MS: u64 = 3_000;

/// The board; cheap to copy, since it is a reference.
#[derive(Debug, Clone, Copy)]
pub struct Board {
    words: &'static [AtomicU64],
}

/// What a slot's holder is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// Nobody holds it.
    Free,
    /// Its worker accepts connections.
    Accepting,
    /// Its worker finishes what it has.
    Draining,
}

/// How the server as a whole is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerState {
    /// Nobody serves yet.
    #[default]
    Starting,
    /// As many workers serve as are wanted.
    Ready,
    /// Some do, and others do not hold out.
    Degraded,
    /// It ends soon, or is about to.
    Stopping,
}

/// What the master says of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// How it is.
    pub state: ServerState,
    /// Workers that serve.
    pub ready: u64,
    /// Workers that should.
    pub wanted: u64,
}

/// What apps have used since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Microseconds on the processor.
    pub processor_us: u64,
    /// Requests they have sent.
    pub outbound: u64,
    /// Bytes of request bodies.
    pub received: u64,
    /// Bytes of response bodies.
    pub sent: u64,
}

/// How busy a worker is; requests in flight weigh before connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Load {
    /// Requests being answered.
    pub in_flight: u64,
    /// Open connections.
    pub connections: u64,
}

/// One worker's part of the board.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    words: &'static [AtomicU64],
}

impl Board {
    /// Makes a board, and the descriptor by which another master can read it; done
    /// once, by the master, before anything is forked.
    ///
    /// # Errors
    /// No memory.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        // One more for the header.
        let (words, fd) = shared::words((SLOTS + 1) * WORDS)?;
        words[LAYOUT].store(THIS_LAYOUT, Relaxed);
        Ok((Self { words }, fd))
    }

    /// Another master's board.
    ///
    /// # Errors
    /// Its words do not mean what they mean here.
    pub fn of(fd: &OwnedFd) -> io::Result<Self> {
        let words = shared::words_of(fd, (SLOTS + 1) * WORDS)?;
        match words[LAYOUT].load(Relaxed) {
            THIS_LAYOUT => Ok(Self { words }),
            other => Err(io::Error::other(format!("its layout is {other}, not {THIS_LAYOUT}"))),
        }
    }

    /// Slot `index`, below [`SLOTS`].
    pub fn slot(&self, index: usize) -> Slot {
        self.words[USED].fetch_max(index as u64 + 1, Relaxed);
        Slot { words: &self.words[index * WORDS..(index + 1) * WORDS] }
    }

    /// Says how the server is; called by the master alone.
    pub fn set_standing(&self, standing: Standing) {
        self.words[SERVER].store(standing.state as u64, Relaxed);
        self.words[READY].store(standing.ready, Relaxed);
        self.words[WANTED].store(standing.wanted, Relaxed);
    }

    /// How the server is.
    pub fn standing(&self) -> Standing {
        let states =
            [ServerState::Starting, ServerState::Ready, ServerState::Degraded, ServerState::Stopping];
        let state = states.into_iter().find(|state| *state as u64 == self.words[SERVER].load(Relaxed));
        Standing {
            state: state.unwrap_or_default(),
            ready: self.words[READY].load(Relaxed),
            wanted: self.words[WANTED].load(Relaxed),
        }
    }

    /// Has every worker log from `level` on, or as its configuration says; called by
    /// the master alone.
    pub fn set_level(&self, level: Option<LogLevel>) {
        self.words[LEVEL].store(level.map_or(0, |level| level as u64 + 1), Relaxed);
    }

    /// What was set so.
    pub fn level(&self) -> Option<LogLevel> {
        let number = self.words[LEVEL].load(Relaxed).checked_sub(1)?;
        LogLevel::ALL.into_iter().find(|level| *level as u64 == number)
    }

    /// Requests since the server started, those of workers that are gone included.
    pub fn requests(&self) -> u64 {
        let used = self.words[USED].load(Relaxed) as usize;
        let slots = self.words.chunks_exact(WORDS).take(used.min(SLOTS));
        self.words[BEFORE].load(Relaxed) + slots.map(|words| words[REQUESTS].load(Relaxed)).sum::<u64>()
    }

    /// Says what other boards have counted; called by the master alone.
    pub fn set_before(&self, requests: u64) {
        self.words[BEFORE].store(requests, Relaxed);
    }

    /// Requests that ever had to wait for a place, in any slot.
    pub fn waited(&self) -> u64 {
        let used = self.words[USED].load(Relaxed) as usize;
        let slots = self.words.chunks_exact(WORDS).take(used.min(SLOTS));
        slots.map(|words| words[WAITED].load(Relaxed)).sum()
    }

    /// What apps have used, in all slots.
    pub fn account(&self) -> Account {
        let used = self.words[USED].load(Relaxed) as usize;
        let slots = self.words.chunks_exact(WORDS).take(used.min(SLOTS));
        let sum = |word: usize| slots.clone().map(|words| words[word].load(Relaxed)).sum();
        Account {
            processor_us: sum(PROCESSOR),
            outbound: sum(OUTBOUND),
            received: sum(RECEIVED),
            sent: sum(SENT),
        }
    }

    /// The lightest load among workers that accept and beat, other than `own`.
    pub fn lightest_sibling(&self, own: usize, now_ms: u64) -> Option<Load> {
        // Slots are given out lowest first, so few of them are looked at.
        let used = self.words[USED].load(Relaxed) as usize;
        self.words
            .chunks_exact(WORDS)
            .take(used)
            .enumerate()
            .filter(|(index, words)| {
                *index != own
                    && words[STATE].load(Relaxed) == SlotState::Accepting as u64
                    && now_ms.saturating_sub(words[BEAT].load(Relaxed)) < STALE_MS
            })
            .map(|(_, words)| Slot::load_of(words))
            .min()
    }
}

impl Slot {
    fn load_of(words: &[AtomicU64]) -> Load {
        Load { in_flight: words[IN_FLIGHT].load(Relaxed), connections: words[CONNECTIONS].load(Relaxed) }
    }

    /// Takes the slot for worker `pid`; what the last holder left in flight
    /// died with it.
    pub fn claim(&self, pid: u32) {
        self.words[IN_FLIGHT].store(0, Relaxed);
        self.words[CONNECTIONS].store(0, Relaxed);
        self.words[WAITING].store(0, Relaxed);
        self.words[PID].store(pid.into(), Relaxed);
        self.words[EARLIER].store(self.requests(), Relaxed);
        self.beat();
    }

    /// Gives the slot back; called by the master when its worker is gone.
    pub fn release(&self) {
        self.set_state(SlotState::Free);
        self.words[PID].store(0, Relaxed);
        self.words[IN_FLIGHT].store(0, Relaxed);
        self.words[CONNECTIONS].store(0, Relaxed);
        self.words[WAITING].store(0, Relaxed);
    }

    /// Says what the holder is doing.
    pub fn set_state(&self, state: SlotState) {
        self.words[STATE].store(state as u64, Relaxed);
    }

    /// Says that the holder's loop runs.
    pub fn beat(&self) {
        self.words[BEAT].store(clock::monotonic_ms(), Relaxed);
    }

    /// When the holder last said so, in milliseconds of the monotonic clock.
    pub fn last_beat(&self) -> u64 {
        self.words[BEAT].load(Relaxed)
    }

    /// The holder's load.
    pub fn load(&self) -> Load {
        Self::load_of(self.words)
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.change(CONNECTIONS, |count| count + 1);
    }

    /// A connection was closed.
    pub fn connection_closed(&self) {
        self.change(CONNECTIONS, |count| count.saturating_sub(1));
    }

    /// A request began; its number in this slot, counted from 1 for as long as
    /// the server runs.
    pub fn request_began(&self) -> u64 {
        self.change(IN_FLIGHT, |count| count + 1);
        self.change(REQUESTS, |count| count + 1)
    }

    /// A request ended.
    pub fn request_ended(&self) {
        self.change(IN_FLIGHT, |count| count.saturating_sub(1));
    }

    /// Bodies have come and gone.
    pub fn transferred(&self, received: u64, sent: u64) {
        self.change(RECEIVED, |bytes| bytes + received);
        self.change(SENT, |bytes| bytes + sent);
    }

    /// Apps have used the processor, and sent requests.
    pub fn used(&self, processor: std::time::Duration, outbound: u64) {
        self.change(PROCESSOR, |us| us + processor.as_micros() as u64);
        self.change(OUTBOUND, |count| count + outbound);
    }

    /// A request waits for a place.
    pub fn wait_began(&self) {
        self.change(WAITING, |count| count + 1);
        self.change(WAITED, |count| count + 1);
    }

    /// It has one, or has given up.
    pub fn wait_ended(&self) {
        self.change(WAITING, |count| count.saturating_sub(1));
    }

    /// Requests that wait for a place now.
    pub fn waiting(&self) -> u64 {
        self.words[WAITING].load(Relaxed)
    }

    /// Requests that the holder has begun.
    pub fn served(&self) -> u64 {
        self.requests().saturating_sub(self.words[EARLIER].load(Relaxed))
    }

    /// Requests ever begun in this slot.
    pub fn requests(&self) -> u64 {
        self.words[REQUESTS].load(Relaxed)
    }

    /// Changes a counter, and says what it is then. Not in one step, since its only
    /// writer is the thread that this is called on.
    fn change(&self, counter: usize, by: impl FnOnce(u64) -> u64) -> u64 {
        let changed = by(self.words[counter].load(Relaxed));
        self.words[counter].store(changed, Relaxed);
        changed
    }
}
