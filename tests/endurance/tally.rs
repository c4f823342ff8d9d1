//! What happened to requests and connections, counted where it happened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many failures are remembered in words.
const EXAMPLES: usize = 40;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection was to be had.
    Refused,
    /// An end of the stream before the whole response was there.
    Closed,
    /// The same, with an error instead of an end.
    Reset,
    /// Not within [`super::clients::PATIENCE`].
    Timeout,
    /// Any but 200.
    Status,
    /// Another body, another request's, or no HTTP.
    Body,
}

/// A connection that ended without an announcement.
#[derive(Debug, Clone)]
pub struct Break {
    pub at: Instant,
    /// The worker behind it, once a response has named it.
    pub worker: Option<i32>,
    /// Requests that were written to it and stay without a whole response.
    pub lost: u64,
    /// Whether it had served a request before, so that it was kept.
    pub kept: bool,
    /// How long nothing was outstanding on it, if so.
    pub idle: Option<Duration>,
}

/// Counters of one load, shared by its clients.
pub struct Tally {
    began: Instant,
    issued: AtomicU64,
    completed: AtomicU64,
    resent: AtomicU64,
    announced: AtomicU64,
    /// Of a completion, and between two, in microseconds since `began`.
    last: AtomicU64,
    gap: AtomicU64,
    slowest: AtomicU64,
    notes: Mutex<Notes>,
}

/// What is rare.
#[derive(Default, Clone)]
pub struct Notes {
    pub failures: BTreeMap<Failure, u64>,
    pub breaks: Vec<Break>,
    pub examples: Vec<String>,
    /// What kept a client from asking, and is no fault of the server's.
    pub troubles: Vec<String>,
}

/// What a load came to.
#[derive(Clone)]
pub struct Totals {
    pub issued: u64,
    pub completed: u64,
    pub resent: u64,
    pub announced: u64,
    /// The longest time without a completed request.
    pub gap: Duration,
    /// The longest time that a request of the quick kind took.
    pub slowest: Duration,
    pub notes: Notes,
}

impl Tally {
    pub fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            began: Instant::now(),
            issued: zero(),
            completed: zero(),
            resent: zero(),
            announced: zero(),
            last: zero(),
            gap: zero(),
            slowest: zero(),
            notes: Mutex::default(),
        }
    }

    /// Requests that are to be sent for the first time.
    pub fn issued(&self, count: u64) {
        self.issued.fetch_add(count, SeqCst);
    }

    /// A response that was right, to a request that was first sent at `sent`.
    pub fn completed(&self, sent: Instant, is_quick: bool) {
        self.completed.fetch_add(1, SeqCst);
        self.note_gap();
        if is_quick {
            self.slowest.fetch_max(micros(sent.elapsed()), SeqCst);
        }
    }

    fn note_gap(&self) {
        let now = micros(self.began.elapsed());
        // Of two threads at once the later one may come first: then it is no gap.
        let before = self.last.fetch_max(now, SeqCst);
        self.gap.fetch_max(now.saturating_sub(before), SeqCst);
    }

    /// Requests behind a response that announced the end, sent once more.
    pub fn resent(&self, count: u64) {
        self.resent.fetch_add(count, SeqCst);
    }

    /// A response said that it is the last one.
    pub fn announced(&self) {
        self.announced.fetch_add(1, SeqCst);
    }

    /// `count` requests failed at once and alike.
    pub fn failed(&self, why: Failure, count: u64, detail: impl fmt::Display) {
        let at = self.began.elapsed();
        let mut notes = self.notes();
        *notes.failures.entry(why).or_default() += count;
        if count > 0 && notes.examples.len() < EXAMPLES {
            notes.examples.push(format!("{:8.3} s: {count} {why:?}: {detail}", at.as_secs_f64()));
        }
    }

    /// A connection ended without an announcement; what was lost in it is to be
    /// counted by `failed`.
    pub fn broke(&self, broken: Break) {
        self.notes().breaks.push(broken);
    }

    /// Something that would make the figures wrong.
    pub fn trouble(&self, what: impl fmt::Display) {
        let mut notes = self.notes();
        if notes.troubles.len() < EXAMPLES {
            notes.troubles.push(what.to_string());
        }
    }

    /// Requests that were answered as they should be.
    pub fn count(&self) -> u64 {
        self.completed.load(SeqCst)
    }

    /// Requests that failed.
    pub fn failures(&self) -> u64 {
        self.notes().failures.values().sum()
    }

    /// The sums; the time from the last completion to now is a gap too.
    pub fn totals(&self) -> Totals {
        self.note_gap();
        Totals {
            issued: self.issued.load(SeqCst),
            completed: self.count(),
            resent: self.resent.load(SeqCst),
            announced: self.announced.load(SeqCst),
            gap: Duration::from_micros(self.gap.load(SeqCst)),
            slowest: Duration::from_micros(self.slowest.load(SeqCst)),
            notes: self.notes().clone(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    pub fn failed(&self) -> u64 {
        self.notes.failures.values().sum()
    }

    /// Failures that no broken connection explains.
    pub fn failed_otherwise(&self) -> u64 {
        self.failed().saturating_sub(self.notes.breaks.iter().map(|broken| broken.lost).sum())
    }

    /// Kept connections that were closed without a word.
    pub fn unannounced(&self) -> Vec<&Break> {
        self.notes.breaks.iter().filter(|broken| broken.kept).collect()
    }

    /// What went wrong in the count itself.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = self.notes.troubles.clone();
        if self.issued != self.completed + self.failed() {
            doubts.push(format!(
                "{} requests were issued, but {} completed and {} failed",
                self.issued,
                self.completed,
                self.failed()
            ));
        }
        doubts
    }

    /// The failures by their reasons: `0`, or `3 (2 Reset, 1 Status)`.
    pub fn failed_in_words(&self) -> String {
        let reasons: Vec<_> =
            self.notes.failures.iter().map(|(why, count)| format!("{count} {why:?}")).collect();
        match self.failed() {
            0 => "0".to_owned(),
            failed => format!("{failed} ({})", reasons.join(", ")),
        }
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}
