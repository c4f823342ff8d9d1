//! How many connections an app has, and how long one may take to open.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tower_service::Service;

/// How long the other side may take nothing of what is sent to it. The guest may be gone by
/// then, but the connection counts until it is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Counts and times what another one connects.
#[derive(Clone)]
pub(super) struct CountedConnector<C> {
    connector: C,
    connections: Arc<Semaphore>,
    timeout: Duration,
}

/// As many connections are open as may be.
#[derive(Debug)]
pub(super) struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("--outbound-connections are open, and none was closed in time")
    }
}

impl StdError for TooMany {}

impl<C> CountedConnector<C> {
    /// `timeout` is for all of it: a turn, the name, the connection and its encryption.
    pub fn new(connector: C, connections: usize, timeout: Duration) -> Self {
        Self { connector, connections: Arc::new(Semaphore::new(connections)), timeout }
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl<C> Service<Uri> for CountedConnector<C>
where
    C: Service<Uri, Error = BoxError> + Clone + Send + 'static,
    C::Future: Send,
{
    type Response = Counted<C::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let deadline = Instant::now() + self.timeout;
        let turn = timeout_at(deadline, self.connections.clone().acquire_owned());
        let mut connector = self.connector.clone();
        Box::pin(async move {
            let permit = turn.await.ok().and_then(Result::ok).ok_or(TooMany)?;
            let connected = timeout_at(deadline, connector.call(uri)).await;
            let io = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(Counted { io, patience: WRITE_TIMEOUT, stalled: None, _permit: permit })
        })
    }
}

/// A connection, which counts for as long as it is open.
pub(super) struct Counted<T> {
    io: T,
    /// How long a write may wait.
    patience: Duration,
    /// The end of that, while one does.
    stalled: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl<T> Counted<T> {
    /// What became of a write, which fails when nothing was taken for as long as it may wait.
    fn watch<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: Connection> Connection for Counted<T> {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl<T: Read + Unpin> Read for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: Write + Unpin> Write for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, written)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, DuplexStream};

    use super::*;

    fn counted(patience: Duration) -> (Counted<TokioIo<DuplexStream>>, DuplexStream) {
        let (near, far) = tokio::io::duplex(4);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (Counted { io: TokioIo::new(near), patience, stalled: None, _permit: permit }, far)
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let (mut io, _far) = counted(Duration::from_millis(10));
        poll_fn(|cx| Pin::new(&mut io).poll_write(cx, b"four")).await.unwrap();
        let error = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, b"more")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_something_has_all_the_time_again() {
        let (mut io, mut far) = counted(WRITE_TIMEOUT);
        poll_fn(|cx| Pin::new(&mut io).poll_write(cx, b"four")).await.unwrap();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut io).poll_write(&mut cx, b"more").is_pending());
        assert!(io.stalled.is_some());
        far.read_exact(&mut [0; 4]).await.unwrap();
        assert!(Pin::new(&mut io).poll_write(&mut cx, b"more").is_ready());
        assert!(io.stalled.is_none());
    }
}
