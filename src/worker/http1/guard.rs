//! The stream hyper reads: a socket, less everything that is not clean HTTP/1.1.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::framer::Framer;
use super::linger::Linger;
use super::timer::Timer;
use super::writing::Writing;
use super::{ConnState, FOREVER, Limits, Violation};

/// What hyper sees in place of a refused head. Its version and its field make
/// hyper say `connection: close` in the answer, and close.
const SYNTHETIC: &[u8] = b"GET / HTTP/1.1\r\nhost: rejected\r\nconnection: close\r\n\r\n";

/// Shortest time between two looks at a connection that is being answered.
const TICK: Duration = Duration::from_millis(50);

/// How long a client that has sent its last byte is waited for with its answer.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// Bytes of a refused request line that the log shows.
const LINE_SHOWN: usize = 256;

/// Room for bytes of a head that came in parts, kept between requests.
const HELD_KEPT: usize = 16 * 1024;

#[derive(Debug, Clone, Copy)]
enum Mode {
    Serving,
    /// A head was refused: nothing that follows is a request.
    Rejected,
    /// A body was refused: its reader gets an error.
    Broken(Violation),
    /// The end was handed on.
    Closed,
}

enum Expiry {
    Idle,
    Head,
}

/// A connection that reads as a sequence of well-framed requests.
///
/// Needs a tokio runtime with time. Reads no further than one head ahead of
/// what hyper asks for. Writes pass through.
#[derive(Debug)]
pub struct Guard<IO> {
    io: IO,
    limits: Limits,
    state: Arc<ConnState>,
    framer: Framer,
    mode: Mode,
    /// Bytes read that hyper has not got: those of an incomplete head, or what
    /// came in one packet with the request before.
    held: Vec<u8>,
    /// Where in `held` they begin, and how many of them may pass.
    start: usize,
    approved: usize,
    /// Whether some of them have not been looked at.
    unseen: bool,
    /// When the head that is incomplete began.
    head_since: Option<Instant>,
    /// When the client sent its last byte.
    closed_at: Option<Instant>,
    writing: Writing,
    timer: Timer,
    linger: Linger,
    /// How a connection is closed that must not look as if it ended well.
    reset: fn(&IO),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Guard<IO> {
    /// Guards `io`, a connection that was just accepted. `reset` sees to it that a
    /// cut answer is not taken for a whole one when `io` is dropped.
    pub fn new(io: IO, limits: Limits, state: Arc<ConnState>, reset: fn(&IO)) -> Self {
        let limits = Limits {
            header_timeout: limits.header_timeout.min(FOREVER),
            keep_alive: limits.keep_alive.min(FOREVER),
            ..limits
        };
        Self {
            io,
            limits,
            state,
            framer: Framer::new(limits),
            mode: Mode::Serving,
            held: Vec::new(),
            start: 0,
            approved: 0,
            unseen: false,
            head_since: None,
            closed_at: None,
            writing: Writing::new(limits.send),
            timer: Timer::default(),
            linger: Linger::default(),
            reset,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.approved > 0 {
                self.deliver(out);
                return Poll::Ready(Ok(()));
            }
            match self.mode {
                Mode::Serving => {}
                Mode::Rejected => {
                    // An end of the stream here would make hyper abort the answer.
                    let _ = self.linger.poll_discard(&mut self.io, cx);
                    return Poll::Pending;
                }
                Mode::Broken(violation) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
                }
                Mode::Closed => {
                    // A client may say that it has no more to ask and wait for its
                    // answer; one that is gone looks the same for a while.
                    if self.framer.in_head() && self.state.is_in_flight() {
                        let since = *self.closed_at.get_or_insert_with(Instant::now);
                        ready!(self.timer.poll(since + HALF_CLOSED, cx));
                    }
                    return Poll::Ready(Ok(()));
                }
            }
            if self.unseen {
                self.approve_held();
                continue;
            }
            let before = out.filled().len();
            let read = if self.held.is_empty() {
                Pin::new(&mut self.io).poll_read(cx, out).map_ok(|()| {
                    // Most heads arrive whole: they are checked where hyper wants them.
                    let fresh = &out.filled()[before..];
                    let passed = self.admit(fresh);
                    if matches!(self.mode, Mode::Serving) {
                        self.held.extend_from_slice(&fresh[passed..]);
                        self.unseen = !self.held.is_empty();
                    }
                    let is_end = fresh.is_empty();
                    out.set_filled(before + passed);
                    !is_end
                })
            } else {
                self.poll_fill(cx)
            };
            match read {
                Poll::Ready(Ok(true)) if out.filled().len() > before => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => self.mode = Mode::Closed,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => match ready!(self.poll_expiry(cx)) {
                    Expiry::Idle => self.mode = Mode::Closed,
                    Expiry::Head => {
                        let line = begin_of(&self.held[self.start..]);
                        self.reject(Violation::new(408, "request head took too long"), line);
                    }
                },
            }
        }
    }

    /// How many of `bytes` may pass now: at most the rest of one request.
    fn admit(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() {
            let in_head = self.framer.in_head();
            match self.framer.admit(&bytes[passed..]) {
                Ok(0) => break,
                Ok(more) => passed += more,
                Err(violation) if in_head => {
                    self.reject(violation, begin_of(&bytes[passed..]));
                    return 0;
                }
                Err(violation) => {
                    self.state.refuse_body(violation);
                    self.mode = Mode::Broken(violation);
                    break;
                }
            }
            if in_head {
                self.state.head_passed();
                self.head_since = None;
            }
            if self.framer.in_head() {
                break;
            }
        }
        passed
    }

    /// Looks at what is held; the clock of a head that stays incomplete starts.
    fn approve_held(&mut self) {
        self.unseen = false;
        let held = std::mem::take(&mut self.held);
        let passed = self.admit(&held[self.start..]);
        if let Mode::Serving | Mode::Broken(_) = self.mode {
            self.held = held;
            self.approved = passed;
        }
        if self.is_head_begun() && self.approved == 0 && self.head_since.is_none() {
            self.head_since = Some(Instant::now());
        }
    }

    /// Reads more of an incomplete head; false: the client has sent its last byte.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut fresh = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut fresh))?;
        self.held.drain(..self.start);
        self.start = 0;
        self.held.extend_from_slice(fresh.filled());
        self.unseen = true;
        Poll::Ready(Ok(!fresh.filled().is_empty()))
    }

    /// Hands on what is approved of the bytes held.
    fn deliver(&mut self, out: &mut ReadBuf<'_>) {
        let n = self.approved.min(out.remaining());
        out.put_slice(&self.held[self.start..self.start + n]);
        self.start += n;
        self.approved -= n;
        if self.start == self.held.len() {
            self.start = 0;
            self.held.clear();
            self.held.shrink_to(HELD_KEPT);
        } else if self.approved == 0 {
            self.unseen = true;
        }
    }

    fn reject(&mut self, violation: Violation, line: String) {
        self.state.refuse_head(violation, line);
        self.mode = Mode::Rejected;
        self.held = SYNTHETIC.to_vec();
        self.start = 0;
        self.approved = SYNTHETIC.len();
    }

    /// Whether bytes of a head are held; a CRLF before it does not count.
    fn is_head_begun(&self) -> bool {
        self.framer.in_head() && !matches!(&self.held[self.start..], [] | b"\r" | b"\r\n")
    }

    /// Ready when the client has been given its time.
    fn poll_expiry(&mut self, cx: &mut Context<'_>) -> Poll<Expiry> {
        if !self.framer.in_head() {
            return Poll::Pending;
        }
        let begun = self.is_head_begun();
        if self.state.is_in_flight() || self.writing.is_blocked() {
            // Nobody polls a connection because its request has ended, so the
            // timer has to be one that finds that out in time.
            let wait = if begun { self.limits.header_timeout } else { self.limits.keep_alive };
            loop {
                let due = match self.timer.armed() {
                    Some(due) if !begun => due,
                    _ => Instant::now() + wait.max(TICK),
                };
                ready!(self.timer.poll(due, cx));
            }
        }
        let quiet = self.state.quiet_since();
        let quiet = self.writing.unblocked_at().map_or(quiet, |since| since.max(quiet));
        let limits = &self.limits;
        let (due, expiry) = if begun {
            let since = self.head_since.map_or(quiet, |since| since.max(quiet));
            (since + limits.header_timeout, Expiry::Head)
        } else if self.state.is_first() {
            (quiet + limits.header_timeout, Expiry::Idle)
        } else {
            (quiet + limits.keep_alive, Expiry::Idle)
        };
        self.timer.poll(due, cx).map(|()| expiry)
    }

    /// Takes note of how a write went.
    fn note(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let noted = self.writing.note(written, cx);
        self.state.set_blocked(self.writing.is_blocked());
        noted
    }

    /// Whether the client may be sending what nobody is going to read.
    fn must_linger(&self) -> bool {
        match self.mode {
            Mode::Rejected | Mode::Broken(_) => true,
            Mode::Serving => !self.framer.in_head() || !self.held.is_empty(),
            Mode::Closed => false,
        }
    }
}

impl<IO> Drop for Guard<IO> {
    fn drop(&mut self) {
        if self.state.is_cut() {
            (self.reset)(&self.io);
        }
    }
}

/// The first line of a head, or so much of it as is worth a place in the log.
fn begin_of(head: &[u8]) -> String {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let end = head.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(head.len());
    String::from_utf8_lossy(&head[..end.min(LINE_SHOWN)]).into_owned()
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = self.poll_next(cx, out);
        let mid_message = !self.framer.in_head() || self.is_head_begun();
        self.state.set_mid_message(mid_message);
        read
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.note(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.note(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.note(flushed.map_ok(|()| 0), cx).map_ok(drop)
    }

    /// Shuts the write side down; after a refused or unread request it then
    /// waits, for a bounded time, until the client has stopped sending.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.linger.is_shut() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            if !this.must_linger() {
                return Poll::Ready(Ok(()));
            }
            this.linger.shut();
        }
        ready!(this.linger.poll_end(&mut this.io, &mut this.timer, cx));
        Poll::Ready(Ok(()))
    }
}
