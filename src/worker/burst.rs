//! Answers that are ready at about the same time are written one after another.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Requests that take longer than this are not worth waiting for.
const QUICK: Duration = Duration::from_micros(60);

/// Longest time of a request that is noted: a slow one counts for as many quick ones as
/// it takes to be sure again.
const NOTED: Duration = Duration::from_millis(5);

/// How long the requests of a worker take, about.
pub(super) struct Pace {
    /// Nanoseconds.
    typical: AtomicU64,
    /// Whether somebody computes for long: that one would have a turn first.
    is_crowded: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Pace {
    /// Slow, until it is known.
    pub fn new(is_crowded: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { typical: AtomicU64::new(NOTED.as_nanos() as u64), is_crowded: Box::new(is_crowded) }
    }

    /// Takes note of the time that a request took.
    pub fn note(&self, took: Duration) {
        let typical = self.typical.load(Relaxed);
        self.typical.store((typical * 7 + took.min(NOTED).as_nanos() as u64) / 8, Relaxed);
    }

    fn is_quick(&self) -> bool {
        self.typical.load(Relaxed) < QUICK.as_nanos() as u64 && !(self.is_crowded)()
    }
}

/// A connection that lets the others of its worker get ready before it writes, if that
/// does not take long.
///
/// Waking a client that waits costs more than anything else a short answer needs
/// the kernel for. The client that many connections belong to is woken once by
/// answers that follow each other closely, and each time by those that do not.
pub(super) struct Burst<IO> {
    io: IO,
    pace: Arc<Pace>,
    /// It has waited for its turn.
    waited: bool,
}

impl<IO> Burst<IO> {
    pub fn new(io: IO, pace: Arc<Pace>) -> Self {
        Self { io, pace, waited: false }
    }

    /// Sends the connection to the end of the queue, once between two flushes.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.waited, true) && self.pace.is_quick() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Burst<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Burst<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waited = false;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_request_outweighs_many_quick_ones() {
        let pace = Pace::new(|| false);
        assert!(!pace.is_quick(), "nothing is known yet");
        (0..100).for_each(|_| pace.note(Duration::from_micros(20)));
        assert!(pace.is_quick());
        pace.note(Duration::from_secs(10));
        assert!(!pace.is_quick());
        (0..20).for_each(|_| pace.note(Duration::from_micros(20)));
        assert!(!pace.is_quick());
    }

    fn quick(is_crowded: bool) -> Arc<Pace> {
        let pace = Pace::new(move || is_crowded);
        (0..100).for_each(|_| pace.note(Duration::from_micros(20)));
        Arc::new(pace)
    }

    #[test]
    fn a_write_waits_once_and_the_next_one_only_after_a_flush() {
        use std::task::{Wake, Waker};

        struct Woken(AtomicU64);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicU64::new(0)));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut burst = Burst::new(Vec::new(), quick(false));
        let mut write =
            |burst: &mut Burst<Vec<u8>>, bytes: &[u8]| Pin::new(burst).poll_write(&mut cx, bytes).is_ready();
        for round in 1..=3 {
            assert!(!write(&mut burst, b"a"), "the others first");
            assert_eq!(woken.0.load(Relaxed), round, "it will be asked again");
            assert!(write(&mut burst, b"a") && write(&mut burst, b"b"), "the rest of it at once");
            assert!(Pin::new(&mut burst).poll_flush(&mut Context::from_waker(Waker::noop())).is_ready());
        }
        assert_eq!(burst.io, b"ababab");
        let slow = Arc::new(Pace::new(|| false));
        for pace in [slow, quick(true)] {
            assert!(write(&mut Burst::new(Vec::new(), pace), b"a"), "it would wait for long");
        }
    }
}
