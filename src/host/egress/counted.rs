//! How many connections an app has, and how long one may take to open.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

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
            Ok(Counted { io, _permit: permit })
        })
    }
}

/// A connection, which counts for as long as it is open.
pub(super) struct Counted<T> {
    io: T,
    _permit: OwnedSemaphorePermit,
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
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
