//! Places for requests: who has one, who waits for one, and who is told to come
//! again.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::PoolConfig;
use crate::sys::clock;
use crate::telemetry::Slot;

/// How long a worker whose places are all taken leaves new connections to its
/// siblings, in milliseconds. After that they are most likely as full as it is, and
/// a client is better off with an answer than in the kernel's queue.
const LEAVE_TO_SIBLINGS: u64 = 100;

/// How often somebody who waits for a place asks again that one be freed.
const MAKE_WAY: Duration = Duration::from_millis(50);

/// Why a request gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many wait already as may.
    QueueFull,
    /// None came free while it waited.
    Waited,
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "--max-concurrency requests are in flight, and --queue more wait",
            Self::Waited => {
                "--max-concurrency requests are in flight, and none of them ended within --queue-timeout"
            }
        })
    }
}

/// The places of a worker.
pub(super) struct Places {
    permits: Arc<Semaphore>,
    /// Of these, what requests may take whose body is still coming, so that slow
    /// clients do not take the places of all others.
    streaming: Arc<Semaphore>,
    all: u32,
    /// When the last of them was taken that was free, in milliseconds of the
    /// monotonic clock: as long as none is free, that is since when.
    full_since: AtomicU64,
    /// Connections that were accepted and are about to ask for a permit.
    fresh: AtomicUsize,
    /// One of them has got it, or is gone.
    settled: Notify,
    slot: Slot,
    queue: u64,
    queue_timeout: Duration,
}

impl Places {
    pub fn new(pool: &PoolConfig, slot: Slot) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(pool.max_concurrency)),
            streaming: Arc::new(Semaphore::new(pool.max_concurrency.div_ceil(2))),
            all: pool.max_concurrency as u32,
            full_since: AtomicU64::new(0),
            fresh: AtomicUsize::new(0),
            settled: Notify::new(),
            slot,
            queue: pool.queue as u64,
            queue_timeout: pool.queue_timeout,
        }
    }

    /// A place for a request that is ready for the app: now, or in its turn. Where there
    /// is none, `make_way` may be able to free one.
    ///
    /// # Errors
    /// There is none, and it has waited long enough or must not wait.
    pub async fn permit(&self, make_way: impl Fn()) -> Result<OwnedSemaphorePermit, NoPlace> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            if self.permits.available_permits() == 0 {
                self.full_since.store(clock::monotonic_ms(), Relaxed);
            }
            return Ok(permit);
        }
        if self.slot.waiting() >= self.queue {
            return Err(NoPlace::QueueFull);
        }
        make_way();
        let _waiting = Waiting::begin(self.slot);
        let mut free = pin!(timeout(self.queue_timeout, self.permits.clone().acquire_owned()));
        loop {
            tokio::select! {
                came_free = &mut free => return came_free.ok().and_then(Result::ok).ok_or(NoPlace::Waited),
                () = tokio::time::sleep(MAKE_WAY) => make_way(),
            }
        }
    }

    /// A place among the requests whose body is still coming, if there is one in
    /// time.
    pub async fn for_body(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        match self.streaming.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => timeout_at(deadline, self.streaming.clone().acquire_owned()).await.ok()?.ok(),
        }
    }

    /// Waits until a new connection's request would find a place: what is accepted
    /// beyond that only waits here, while a sibling may be free. Not for ever: who
    /// finds everybody full is let in to be told so.
    pub async fn room(&self) {
        loop {
            // Before the look: it hears what happens from here on.
            let settled = self.settled.notified();
            let free = self.permits.available_permits();
            if self.fresh.load(Relaxed) < free {
                return;
            }
            let full_for = clock::monotonic_ms().saturating_sub(self.full_since.load(Relaxed));
            if free == 0 && full_for >= LEAVE_TO_SIBLINGS {
                return;
            }
            let rest = Duration::from_millis(LEAVE_TO_SIBLINGS.saturating_sub(full_for));
            tokio::select! {
                () = settled => {}
                // A permit that comes back, when none is left.
                _ = self.permits.acquire(), if free == 0 => {}
                () = tokio::time::sleep(rest), if free == 0 => {}
            }
        }
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.all as usize
    }

    /// Waits until every place is free.
    pub async fn all_free(&self) {
        drop(self.permits.acquire_many(self.all).await);
    }

    /// A connection was accepted that has not asked for anything.
    pub fn expect(&self) {
        self.fresh.fetch_add(1, Relaxed);
    }

    /// It has its place, or none came for a while.
    pub fn settle(&self) {
        self.fresh.fetch_sub(1, Relaxed);
        self.settled.notify_waiters();
    }
}

/// A request waits for a place as long as this lives.
struct Waiting(Slot);

impl Waiting {
    fn begin(slot: Slot) -> Self {
        slot.wait_began();
        Self(slot)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.wait_ended();
    }
}
