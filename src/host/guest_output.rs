//! What a guest prints becomes lines of the server's log.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Longest line; a longer one is broken, so that no guest fills the host's memory.
const LONGEST_LINE: usize = 8 * 1024;

/// What a line counts beyond its bytes: about what the log adds to it.
const LINE: usize = 128;

/// The streams that an instance can print to.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// What an instance prints, and for which request.
pub(super) struct Printer {
    app: Arc<str>,
    /// The last one it took; none while it starts.
    request: Mutex<Option<Arc<str>>>,
    /// The begin of a line, of each stream.
    pending: [Mutex<Vec<u8>>; STREAMS.len()],
    /// Bytes that may be printed for a request, and how many of these are left.
    limit: u64,
    left: AtomicU64,
}

/// One stream of one instance.
#[derive(Clone)]
pub(super) struct GuestOutput {
    printer: Arc<Printer>,
    stream: usize,
}

/// A guest prints without end.
#[derive(Debug)]
struct TooMuch;

impl std::fmt::Display for TooMuch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it printed more than --limit-guest-output for one request")
    }
}

impl std::error::Error for TooMuch {}

impl Printer {
    pub fn new(app: Arc<str>, limit: u64) -> Arc<Self> {
        let left = AtomicU64::new(limit);
        Arc::new(Self { app, request: Mutex::default(), pending: Default::default(), limit, left })
    }

    /// Standard output, and standard error.
    pub fn streams(self: &Arc<Self>) -> [GuestOutput; STREAMS.len()] {
        [0, 1].map(|stream| GuestOutput { printer: self.clone(), stream })
    }

    /// Notes that the instance takes another request, and ends the lines that an
    /// earlier one left open.
    pub fn begin(&self, request: &Arc<str>) {
        self.flush_lines();
        *lock(&self.request) = Some(request.clone());
        self.left.store(self.limit, Relaxed);
    }

    /// The last request that the instance took; empty while it starts.
    pub fn request(&self) -> Arc<str> {
        lock(&self.request).clone().unwrap_or_default()
    }

    fn flush_lines(&self) {
        for stream in 0..STREAMS.len() {
            let mut pending = lock(&self.pending[stream]);
            if !pending.is_empty() {
                self.emit(stream, &mut pending);
            }
        }
    }

    /// Prints `bytes`.
    ///
    /// # Errors
    /// They are more than may be printed.
    fn append(&self, stream: usize, mut bytes: &[u8]) -> Result<(), TooMuch> {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let length = (bytes.len() + lines * LINE) as u64;
        let left = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(length));
        left.map_err(|_| TooMuch)?;
        let mut pending = lock(&self.pending[stream]);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.extend(stream, &mut pending, line);
            self.emit(stream, &mut pending);
            bytes = rest;
        }
        self.extend(stream, &mut pending, bytes);
        Ok(())
    }

    fn extend(&self, stream: usize, pending: &mut Vec<u8>, bytes: &[u8]) {
        for piece in bytes.chunks(LONGEST_LINE) {
            if pending.len() + piece.len() > LONGEST_LINE {
                self.emit(stream, pending);
            }
            pending.extend_from_slice(piece);
        }
    }

    fn emit(&self, stream: usize, pending: &mut Vec<u8>) {
        let line = String::from_utf8_lossy(pending);
        // Control characters could forge lines or drive the reader's terminal.
        let line: String = line
            .trim_end_matches('\r')
            .chars()
            .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
            .collect();
        let (request, stream) = (self.request(), STREAMS[stream]);
        tracing::info!(target: "guest", app = &*self.app, request = &*request, stream, "{line}");
        pending.clear();
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.flush_lines();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.printer.append(self.stream, bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(io::Error::other(error)),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.printer.append(self.stream, &bytes).map_err(|error| StreamError::Trap(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}
