//! What a guest prints becomes lines of the server's log.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Longest line; a longer one is broken, so that no guest fills the host's memory.
const LONGEST_LINE: usize = 8 * 1024;

/// Which request an instance works on: the last one it took.
pub(super) type CurrentRequest = Arc<Mutex<Arc<str>>>;

/// One of the two streams of one instance.
#[derive(Clone)]
pub(super) struct GuestOutput {
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    app: Arc<str>,
    stream: &'static str,
    request: CurrentRequest,
    pending: Vec<u8>,
}

impl GuestOutput {
    pub fn new(app: Arc<str>, stream: &'static str, request: CurrentRequest) -> Self {
        Self { lines: Arc::new(Mutex::new(Lines { app, stream, request, pending: Vec::new() })) }
    }

    /// Ends the line that an earlier request left open.
    pub fn flush_line(&self) {
        let mut lines = self.lock();
        if !lines.pending.is_empty() {
            lines.emit();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn append(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.extend(line);
            self.emit();
            bytes = rest;
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(LONGEST_LINE) {
            if self.pending.len() + piece.len() > LONGEST_LINE {
                self.emit();
            }
            self.pending.extend_from_slice(piece);
        }
    }

    fn emit(&mut self) {
        let line = String::from_utf8_lossy(&self.pending);
        // Control characters could forge lines or drive the reader's terminal.
        let line: String = line
            .trim_end_matches('\r')
            .chars()
            .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
            .collect();
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tracing::info!(target: "guest", app = &*self.app, request = &*request, stream = self.stream, "{line}");
        self.pending.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.emit();
        }
    }
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
        self.lock().append(bytes);
        Poll::Ready(Ok(bytes.len()))
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
        self.lock().append(&bytes);
        Ok(())
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
