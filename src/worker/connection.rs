//! One client connection, from accept to close.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::accept::Stream;
use super::http1::{ConnState, Guard, Limits};
use super::{Worker, drain_begins, service};

/// A client that takes nothing of its answer for this long is given up, as by other
/// servers; how long an answer takes in all is its own affair.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Idle for this long, a connection is closed by a drain.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// A connection that has asked for nothing by then is taken for an idle one:
/// long for a client that has something to ask, and short, since connections that
/// are only opened hold up those behind them for as long.
const FRESH: Duration = Duration::from_millis(5);

/// Fields that hyper has room for without asking the allocator for it.
const HYPER_FIELDS: usize = 100;

/// A connection is counted as long as this lives.
struct Counted(Arc<Worker>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.slot.connection_closed();
    }
}

/// What a connection's requests share.
pub(super) struct Client {
    /// Who it is; `None` behind a unix socket.
    pub peer: Option<IpAddr>,
    /// What the guard found out about its bytes.
    pub framing: Arc<ConnState>,
    /// Until its first request has its place, or none came for a while.
    fresh: Mutex<Option<Fresh>>,
}

impl Client {
    /// The connection does not count as one that is about to ask any more.
    pub fn settle(&self) {
        drop(self.fresh.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A connection that was accepted and has not asked for anything yet, but most
/// likely will at once.
struct Fresh(Arc<Worker>);

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.fresh.fetch_sub(1, Relaxed);
        self.0.settled.notify_waiters();
    }
}

/// Serves `stream` until either side closes it, or a drain does.
pub(super) fn serve(worker: Arc<Worker>, stream: Stream, peer: Option<IpAddr>) -> impl Future<Output = ()> {
    // Now, not when the future is first polled: the next connection is accepted
    // before that, and siblings go by the count.
    worker.slot.connection_opened();
    worker.fresh.fetch_add(1, Relaxed);
    let fresh = Fresh(worker.clone());
    let counted = Counted(worker);
    async move { converse(&counted.0, stream, peer, fresh).await }
}

async fn converse(worker: &Arc<Worker>, stream: Stream, peer: Option<IpAddr>, fresh: Fresh) {
    let config = &worker.inheritance.config.http;
    let limits = Limits {
        request_line: config.limit_request_line,
        fields: config.limit_request_fields,
        field_size: config.limit_request_field_size,
        header_timeout: config.header_timeout,
        keep_alive: config.keep_alive,
        send_timeout: SEND_TIMEOUT,
    };
    let framing = ConnState::new();
    let client = Arc::new(Client { peer, framing: framing.clone(), fresh: Mutex::new(Some(fresh)) });
    let io = TokioIo::new(Guard::new(stream, limits, framing, Stream::reset));
    let service = service_fn(|request| service::answer(worker.clone(), client.clone(), request));
    let mut http = http1::Builder::new();
    // The guard is stricter, and answers: hyper's own limits must not be reached
    // before its.
    http.keep_alive(!config.keep_alive.is_zero())
        .max_buf_size((config.limit_request_line + 1024).max(400 * 1024));
    if config.limit_request_fields > HYPER_FIELDS {
        http.max_headers(config.limit_request_fields);
    }
    let connection = http.serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut phase = worker.phase.clone();
    let silent = async {
        tokio::time::sleep(FRESH).await;
        client.settle();
        std::future::pending::<()>().await;
    };
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = drain_begins(&mut phase) => {}
        }
        // From here on each response says that it is the last one. Closing
        // an idle connection at once would lose a request that is on its way.
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = client.framing.idle_for(DRAIN_IDLE) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = silent => unreachable!("it only looks once"),
    };
    if let Err(error) = ended {
        tracing::debug!(peer = ?peer, "connection: {error}");
    }
}

impl Stream {
    /// Has the client see an error when the stream is closed, instead of an end.
    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            if let Err(errno) = setsockopt(stream, sockopt::Linger, &at_once) {
                tracing::warn!("a cut answer will look whole to its client: {errno}");
            }
        } else {
            tracing::warn!("a cut answer will look whole to its client: a unix socket cannot be reset");
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have no buffer of their own to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
