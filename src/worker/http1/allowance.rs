//! How long a slow client is still waited for.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::FOREVER;
use super::timer::Timer;
use crate::config::Patience;

/// What is left of the time that a client may have others wait: waiting uses it up,
/// and bytes earn it back, but never more than there was. So neither silence nor a
/// trickle goes on for longer, whatever was sent before.
#[derive(Debug)]
pub(in crate::worker) struct Allowance {
    patience: Patience,
    left: Duration,
    /// Since when the client is waited for.
    since: Option<Instant>,
    timer: Timer,
}

impl Allowance {
    pub(in crate::worker) fn new(patience: Patience) -> Self {
        let patience = Patience { time: patience.time.min(FOREVER), ..patience };
        Self { patience, left: patience.time, since: None, timer: Timer::default() }
    }

    /// Whether the client is waited for.
    pub(in crate::worker) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Waits for the client, from now on if it was not; ready when its time is up.
    pub(in crate::worker) fn poll_used_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        ready!(self.timer.poll(since + self.left, cx));
        Poll::Ready(())
    }

    /// The client has sent or taken so many bytes; whether it was waited for.
    pub(in crate::worker) fn earn(&mut self, bytes: usize) -> bool {
        let waited = self.since.take().map(|since| since.elapsed());
        if waited.is_none() && self.left == self.patience.time {
            return false;
        }
        let earned = match self.patience.rate {
            Some(rate) => Duration::from_secs_f64(bytes as f64 / rate as f64),
            None if bytes > 0 => self.patience.time,
            None => Duration::ZERO,
        };
        let left = self.left.saturating_sub(waited.unwrap_or_default());
        self.left = left.saturating_add(earned).min(self.patience.time);
        waited.is_some()
    }
}
