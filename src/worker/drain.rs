//! How a worker ends: told to, in its time, and with what it has to cut.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;

/// Most requests that are named when they are cut; the others are counted.
const NAMED: u64 = 1_000;

/// What a worker does, by what the master has told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It accepts and answers.
    Serving,
    /// It finishes what it has; others accept what waits.
    Retiring,
    /// It accepts what waits, and finishes all that.
    Stopping,
}

/// Ends when the master wants no new requests here, or is gone.
pub(super) async fn begins(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase != Phase::Serving).await);
}

/// Ends when the whole server stops, or the master is gone.
pub(super) async fn is_for_all(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase == Phase::Stopping).await);
}

/// Requests that are dropped because the worker ends.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    why: OnceLock<&'static str>,
    count: AtomicU64,
}

impl Cuts {
    /// From here on, every request that is dropped is cut.
    pub fn begin(&self, why: &'static str) {
        // The first reason is the one that counts.
        let _ = self.why.set(why);
    }

    /// Why requests are cut, if they are.
    pub fn why(&self) -> Option<&'static str> {
        self.why.get().copied()
    }

    /// Counts one; whether it is to be named.
    pub fn count(&self) -> bool {
        self.count.fetch_add(1, Relaxed) < NAMED
    }

    /// Tells how many were not named.
    pub fn finish(&self) {
        let unnamed = self.count.load(Relaxed).saturating_sub(NAMED);
        if let Some(why) = self.why()
            && unnamed > 0
        {
            tracing::warn!("{unnamed} more requests were {why}");
        }
    }
}
