//! The open connections of a worker, so that one that does nothing can make way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::http1::ConnState;

/// A connection that has asked for nothing yet most likely will at once: it is
/// closed for another one only when it has let this much time pass.
const SILENT: Duration = Duration::from_secs(1);

/// How many are closed at a time is a part of the limit, so that a flood does not
/// have all of them looked at for each new one; the bound keeps it a small loss.
const PART: usize = 256;
const MOST_AT_A_TIME: usize = 64;

/// How often one that waits for an idle connection looks by itself: what its
/// client is slow to take, or never asks, becomes idle and nobody says so.
const LOOK: Duration = Duration::from_millis(500);

/// The connections that may be closed to make way, by number.
#[derive(Debug, Default)]
pub(super) struct Idle(Vec<u64>);

/// All open connections but those of the health listener.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<Open>,
    limit: usize,
    /// Acceptors that wait for a connection to close or to become idle.
    waiting: AtomicUsize,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    framing: Arc<ConnState>,
    task: AbortHandle,
}

impl Connections {
    pub fn new(limit: usize) -> Self {
        let open = Mutex::default();
        Self { open, limit, waiting: AtomicUsize::new(0), changed: Notify::new() }
    }

    /// A number for a connection that is about to be served.
    pub fn number(&self) -> u64 {
        let mut open = self.lock();
        open.next += 1;
        open.next
    }

    /// Takes in the connection of that number, which `task` serves.
    pub fn insert(&self, number: u64, framing: Arc<ConnState>, task: AbortHandle) {
        self.lock().by_number.insert(number, Connection { framing, task });
    }

    /// The connection of that number has ended.
    pub fn remove(&self, number: u64) {
        self.lock().by_number.remove(&number);
        self.stir();
    }

    /// Tells who waits for it that a connection may have become idle; costs a look
    /// while nobody does.
    pub fn stir(&self) {
        if self.waiting.load(Relaxed) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Waits until one more may be accepted; what is to be closed for it, then.
    pub async fn room(&self) -> Idle {
        loop {
            // Before the look: it hears what happens from here on.
            let changed = self.changed.notified();
            if self.lock().by_number.len() < self.limit {
                return Idle::default();
            }
            let idle = self.idle(self.limit.div_ceil(PART).min(MOST_AT_A_TIME));
            if !idle.0.is_empty() {
                return idle;
            }
            let _waiting = Waiting::begin(&self.waiting);
            drop(timeout(LOOK, changed).await);
        }
    }

    /// The connections that have been idle for longest, `most` at most.
    pub fn idle(&self, most: usize) -> Idle {
        let now = Instant::now();
        let open = self.lock();
        let mut idle: Vec<_> = open
            .by_number
            .iter()
            .filter_map(|(number, connection)| {
                let since = connection.framing.idle_since()?;
                let may = !connection.framing.is_first() || now.saturating_duration_since(since) >= SILENT;
                may.then_some((since, *number))
            })
            .collect();
        if idle.len() > most {
            idle.select_nth_unstable(most);
            idle.truncate(most);
        }
        Idle(idle.into_iter().map(|(_, number)| number).collect())
    }

    /// Closes them: between two requests nothing is lost with a connection, but a
    /// request that comes in this moment.
    pub fn close(&self, idle: &Idle) {
        let mut open = self.lock();
        for number in &idle.0 {
            // Out of the count already, and in a moment out of the world.
            if let Some(connection) = open.by_number.remove(number) {
                connection.task.abort();
            }
        }
    }

    /// For a process that has run out of descriptors.
    pub fn close_some(&self) {
        self.close(&self.idle(MOST_AT_A_TIME));
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An acceptor waits as long as this lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
