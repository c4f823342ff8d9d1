//! Whether the client takes what is written to it.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::allowance::Allowance;
use crate::config::Patience;

/// Whether the client takes what is written, and the time that it may take.
#[derive(Debug)]
pub(super) struct Writing {
    allowance: Allowance,
    unblocked_at: Option<Instant>,
}

impl Writing {
    pub(super) fn new(patience: Patience) -> Self {
        Self { allowance: Allowance::new(patience), unblocked_at: None }
    }

    /// Whether something waits to be written.
    pub(super) fn is_blocked(&self) -> bool {
        self.allowance.is_waiting()
    }

    /// When something last had to wait and then could be written: a response that
    /// the client has not taken is not over, whatever the service says.
    pub(super) fn unblocked_at(&self) -> Option<Instant> {
        self.unblocked_at
    }

    /// Takes note of how a write of so many bytes went; an error once the client has
    /// used up its time.
    pub(super) fn note(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &written {
            if self.allowance.earn(*result.as_ref().unwrap_or(&0)) {
                self.unblocked_at = Some(Instant::now());
            }
            return written;
        }
        ready!(self.allowance.poll_used_up(cx));
        let why = "the client takes its answer too slowly (--write-timeout, --min-rate)";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}
