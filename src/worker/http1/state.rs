//! What the guard of a connection and its service tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::Violation;

/// State of one connection, shared by its [`Guard`](super::Guard) and its service.
///
/// Both number the requests from 0: the guard the heads it hands to hyper, the
/// service those it gets from it.
#[derive(Debug)]
pub struct ConnState {
    born: Instant,
    /// Heads handed to hyper, a synthetic one included.
    passed: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Nanoseconds after `born` when the last request ended.
    ended_at: AtomicU64,
    /// The guard is inside a head or a body.
    mid_message: AtomicBool,
    /// The client does not take what is written to it.
    blocked: AtomicBool,
    /// An answer was cut whose end is the end of the connection.
    cut: AtomicBool,
    /// The end of an answer may be that of the connection.
    ends_answers: AtomicBool,
    violation: OnceLock<(u64, Violation)>,
    /// The request line of the refused head, or what came of it.
    refused_line: OnceLock<String>,
    body_violation: OnceLock<(u64, Violation)>,
}

impl Default for ConnState {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            passed: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            ended_at: AtomicU64::new(0),
            mid_message: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            ends_answers: AtomicBool::new(false),
            violation: OnceLock::new(),
            refused_line: OnceLock::new(),
            body_violation: OnceLock::new(),
        }
    }
}

impl ConnState {
    /// State of a connection that was just accepted; its first timeout starts here.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Called by the service first of all, for every request, in order. The
    /// request ends when the value is dropped: keep it with the response body.
    pub fn begin_request(self: &Arc<Self>) -> InFlight {
        let index = self.begun.fetch_add(1, Ordering::Relaxed);
        InFlight { index, state: Arc::clone(self) }
    }

    fn end_request(&self) {
        let since = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.ended_at.store(since, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Release);
    }

    /// Why request number `index` is to be refused; it is then a synthetic one.
    pub fn violation_for(&self, index: u64) -> Option<Violation> {
        self.violation.get().filter(|(at, _)| *at == index).map(|(_, violation)| *violation)
    }

    /// What was wrong in the body of request number `index`, once its reader got an error.
    pub fn body_violation_for(&self, index: u64) -> Option<Violation> {
        self.body_violation.get().filter(|(at, _)| *at == index).map(|(_, violation)| *violation)
    }

    /// Whether the connection is between requests, with no byte of the next one
    /// received: closing it then loses nothing.
    pub fn is_idle(&self) -> bool {
        !self.is_in_flight() && !self.mid_message.load(Ordering::Relaxed)
    }

    /// Since when it is idle and the client has all of its last answer.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.is_idle() && !self.blocked.load(Ordering::Relaxed)).then(|| self.quiet_since())
    }

    /// Waits until the connection has been idle for `time`.
    pub async fn idle_for(&self, time: Duration) {
        loop {
            let due = self.quiet_since() + time;
            if self.is_idle() && due <= Instant::now() {
                return;
            }
            // A request that is under way ends at a time nobody knows.
            let next = if self.is_idle() { due } else { Instant::now() + time };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Whether a request was handed on whose response has not ended.
    pub(super) fn is_in_flight(&self) -> bool {
        self.ended.load(Ordering::Acquire) < self.passed.load(Ordering::Relaxed)
    }

    /// Whether the client has not asked for anything yet.
    pub fn is_first(&self) -> bool {
        self.passed.load(Ordering::Relaxed) == 0
    }

    /// When the last request ended, or when the connection was accepted.
    pub(super) fn quiet_since(&self) -> Instant {
        self.born + Duration::from_nanos(self.ended_at.load(Ordering::Relaxed))
    }

    pub(super) fn head_passed(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    /// The next head is refused; a synthetic one passes in its place.
    pub(super) fn refuse_head(&self, violation: Violation, line: String) {
        let _ = self.refused_line.set(line);
        let index = self.passed.fetch_add(1, Ordering::Relaxed);
        let _ = self.violation.set((index, violation));
    }

    /// The body of the last head that passed is refused; the request before it
    /// may still be in flight.
    pub(super) fn refuse_body(&self, violation: Violation) {
        let index = self.passed.load(Ordering::Relaxed).saturating_sub(1);
        let _ = self.body_violation.set((index, violation));
    }

    /// Whether closing the connection now would make a part of an answer look like
    /// the whole.
    pub(super) fn is_cut(&self) -> bool {
        // Of a request that the service has seen: what a client sent behind it, on a
        // connection that closes, gets no answer anyway.
        let answering = self.ended.load(Ordering::Acquire) < self.begun.load(Ordering::Relaxed);
        let amid_answer = answering || self.blocked.load(Ordering::Relaxed);
        self.cut.load(Ordering::Relaxed) || amid_answer && self.ends_answers.load(Ordering::Relaxed)
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(super) fn set_mid_message(&self, mid_message: bool) {
        self.mid_message.store(mid_message, Ordering::Relaxed);
    }
}

/// A request that is being answered, until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    index: u64,
    state: Arc<ConnState>,
}

impl InFlight {
    /// Why this request is to be refused, if it is.
    pub fn violation(&self) -> Option<Violation> {
        self.state.violation_for(self.index)
    }

    /// What a refused request began with, for the log; it may be anything.
    pub fn refused_line(&self) -> &str {
        self.state.refused_line.get().map_or("", String::as_str)
    }

    /// Notes that the client may take the end of the connection for that of its
    /// answer (RFC 9112, 6.3, the last case).
    pub fn ends_with_connection(&self) {
        self.state.ends_answers.store(true, Ordering::Relaxed);
    }

    /// Notes that such an answer stops before its end.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::Relaxed);
    }

    /// What was wrong in the request's body, once reading it gave an error.
    pub fn body_violation(&self) -> Option<Violation> {
        self.state.body_violation_for(self.index)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.end_request();
    }
}
