//! What a request uses, and the limits on its time.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::app::{App, Call};
use super::failure::Failure;

/// What a request has used so far. Of an instance that works on several at a time,
/// each gets its share of the processor time, and the memory of all.
#[derive(Debug, Default)]
pub struct Usage {
    processor: AtomicU64,
    memory: AtomicU64,
    outbound: AtomicU32,
    refused: AtomicU32,
    /// Its response is complete.
    returned: AtomicBool,
}

/// What all requests of an app have used in this process, but for what was asked for.
#[derive(Debug, Default)]
pub(super) struct Totals {
    processor: AtomicU64,
    outbound: AtomicU32,
}

impl Totals {
    /// Takes what they have used since this was last asked for: time on the processor,
    /// and requests sent.
    pub fn take(&self) -> (Duration, u32) {
        (Duration::from_nanos(self.processor.swap(0, Relaxed)), self.outbound.swap(0, Relaxed))
    }

    pub fn spend(&self, time: Duration) {
        self.processor.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub fn sends(&self) {
        self.outbound.fetch_add(1, Relaxed);
    }
}

impl Usage {
    /// Time on the processor, the making of its instance included.
    pub fn processor(&self) -> Duration {
        Duration::from_nanos(self.processor.load(Relaxed))
    }

    /// Most bytes of memory that its instance had.
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// Requests that it has sent.
    pub fn outbound(&self) -> u32 {
        self.outbound.load(Relaxed)
    }

    pub(super) fn spend(&self, time: Duration) {
        self.processor.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub(super) fn has_memory(&self, bytes: usize) {
        self.memory.fetch_max(bytes as u64, Relaxed);
    }

    pub(super) fn sends(&self) {
        self.outbound.fetch_add(1, Relaxed);
    }

    /// One that it sends is refused; this is how many were before.
    pub(super) fn is_refused(&self) -> u32 {
        self.refused.fetch_add(1, Relaxed)
    }

    /// Its response is complete: what the guest still does is counted by another limit.
    pub(super) fn returns(&self) {
        self.returned.store(true, Relaxed);
    }
}

/// Works for one request, within its time by the clock and on the processor.
///
/// # Errors
/// The work fails, or a time is up: then it must be dropped, instance and all.
pub(super) async fn within<T>(
    app: &App,
    call: &Call,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let (mut returned, mut deadline) = (false, call.deadline);
    let mut sleep = pin!(None::<Sleep>);
    poll_fn(|cx| {
        let turn = app.ticker.turn();
        let polled = work.as_mut().poll(cx);
        let spent = app.ticker.spent(turn);
        call.usage.spend(spent);
        app.totals.spend(spent);
        if polled.is_ready() {
            return polled;
        }
        if app.is_over_cpu_limit(&call.usage) {
            return Poll::Ready(Err(Failure::CpuLimit));
        }
        if !returned && call.usage.returned.load(Relaxed) {
            (returned, deadline) = (true, Instant::now() + app.config().post_return_timeout);
            sleep.set(None);
        }
        if sleep.is_none() {
            sleep.set(Some(sleep_until(deadline)));
        }
        match sleep.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(cx).map(|()| Err(Failure::Timeout)),
            None => Poll::Pending,
        }
    })
    .await
}
