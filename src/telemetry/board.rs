//! The shared board: a page of counters that every process of the server maps.
//!
//! Each slot has one writer, the worker that holds it; siblings read its load
//! and the master sums. Counters outlive the worker: the next holder of the
//! slot counts on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    /// Maps a board; done once, by the master, before anything is forked.
    ///
    /// # Errors
    /// No memory.
    pub fn new() -> nix::Result<Self> {
        // One more for how many slots were ever used.
        Ok(Self { words: shared::words((SLOTS + 1) * WORDS)? })
    }

    /// Slot `index`, below [`SLOTS`].
    pub fn slot(&self, index: usize) -> Slot {
        self.words[SLOTS * WORDS].fetch_max(index as u64 + 1, Relaxed);
        Slot { words: &self.words[index * WORDS..(index + 1) * WORDS] }
    }

    /// The lightest load among workers that accept and beat, other than `own`.
    pub fn lightest_sibling(&self, own: usize, now_ms: u64) -> Option<Load> {
        // Slots are given out lowest first, so few of them are looked at.
        let used = self.words[SLOTS * WORDS].load(Relaxed) as usize;
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
        self.words[PID].store(pid.into(), Relaxed);
        self.beat();
    }

    /// Gives the slot back; called by the master when its worker is gone.
    pub fn release(&self) {
        self.set_state(SlotState::Free);
        self.words[PID].store(0, Relaxed);
        self.words[IN_FLIGHT].store(0, Relaxed);
        self.words[CONNECTIONS].store(0, Relaxed);
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

    /// Changes a counter, and says what it is then. Not in one step, since its only
    /// writer is the thread that this is called on.
    fn change(&self, counter: usize, by: impl FnOnce(u64) -> u64) -> u64 {
        let changed = by(self.words[counter].load(Relaxed));
        self.words[counter].store(changed, Relaxed);
        changed
    }
}
