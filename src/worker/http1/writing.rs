//! Whether the client takes what is written to it.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::timer::Timer;

/// Since when the client takes nothing, or takes it again.
#[derive(Debug, Default)]
pub(super) struct Writing {
    blocked_since: Option<Instant>,
    unblocked_at: Option<Instant>,
    timer: Timer,
}

impl Writing {
    /// Whether something waits to be written.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// When something last had to wait and then could be written: a response that
    /// the client has not taken is not over, whatever the service says.
    pub(super) fn unblocked_at(&self) -> Option<Instant> {
        self.unblocked_at
    }

    /// Takes note of how a write went; an error once the client has taken nothing
    /// for as long as `patience`.
    pub(super) fn note<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        patience: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.blocked_since.take().is_some() {
                self.unblocked_at = Some(Instant::now());
            }
            return written;
        }
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        ready!(self.timer.poll(since + patience, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}
