//! Reading on after the last answer, so that the client gets to see it.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::timer::Timer;

/// How long and how much a client may go on sending after its last answer. A
/// socket closed with unread bytes in it is reset, and the reset can overtake
/// the answer; a client that sends a big body reads only when it is done.
const TIME: Duration = Duration::from_secs(1);
const BYTES: usize = 4 * 1024 * 1024;

/// What was discarded so far, and since when nothing is written any more.
#[derive(Debug, Default)]
pub(super) struct Linger {
    discarded: usize,
    shut_at: Option<Instant>,
}

impl Linger {
    /// Whether the write side is shut down.
    pub(super) fn is_shut(&self) -> bool {
        self.shut_at.is_some()
    }

    /// The write side was shut down.
    pub(super) fn shut(&mut self) {
        self.shut_at = Some(Instant::now());
    }

    /// Reads and forgets; ready when the client sends no more.
    pub(super) fn poll_discard(&mut self, mut io: impl AsyncRead + Unpin, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [MaybeUninit::uninit(); 16 * 1024];
        while self.discarded < BYTES {
            let mut junk = ReadBuf::uninit(&mut room);
            match ready!(Pin::new(&mut io).poll_read(cx, &mut junk)) {
                Ok(()) if !junk.filled().is_empty() => self.discarded += junk.filled().len(),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        // The window closes, which holds the client up until the time is over.
        Poll::Pending
    }

    /// The same, but no longer than a client is given after the shutdown.
    pub(super) fn poll_end(
        &mut self,
        io: impl AsyncRead + Unpin,
        timer: &mut Timer,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let since = *self.shut_at.get_or_insert_with(Instant::now);
        match self.poll_discard(io, cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => timer.poll(since + TIME, cx),
        }
    }
}
