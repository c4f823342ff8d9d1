//! One client connection, from accept to close.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;

use super::accept::Stream;
use super::burst::Burst;
use super::http1::{ConnState, Guard, Limits};
use super::{Worker, drain, service};

/// Idle for this long, a connection is closed when the server stops: its client has
/// to go elsewhere anyway. A request that crosses the close is lost, and this spares
/// those clients for whom that is likely, who ask often.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// Where others replace a worker, no client need notice: an idle connection stays
/// until its next answer can say that it is the last one, or, so much before the
/// worker's deadline, until it is clear that no request comes.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A connection that has asked for nothing by then is taken for an idle one:
/// long for a client that has something to ask, and short, since connections that
/// are only opened hold up those behind them for as long.
const FRESH: Duration = Duration::from_millis(5);

/// Fields that hyper has room for without asking the allocator for it.
const HYPER_FIELDS: usize = 100;

/// Which listener a connection came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// One of the app's.
    Public,
    /// That of the server's health.
    Health,
}

/// A connection is counted as long as this lives.
struct Counted {
    worker: Arc<Worker>,
    number: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.slot.connection_closed();
        self.worker.connections.remove(self.number);
    }
}

/// What a connection's requests share.
pub(super) struct Client {
    /// Who it is; `None` behind a unix socket.
    pub peer: Option<IpAddr>,
    /// What the guard found out about its bytes.
    pub framing: Arc<ConnState>,
    /// Where it came in.
    pub door: Door,
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

impl Fresh {
    fn new(worker: &Arc<Worker>) -> Self {
        worker.places.expect();
        Self(worker.clone())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.places.settle();
    }
}

/// Starts serving `stream` among `tasks`, until either side closes it, a drain does
/// or another connection needs its room.
pub(super) fn start(worker: &Arc<Worker>, tasks: &mut JoinSet<()>, stream: Stream, peer: Option<IpAddr>) {
    // Now, not when the task first runs: the next connection is accepted before
    // that, and siblings go by the count.
    worker.slot.connection_opened();
    let framing = ConnState::new();
    let fresh = Mutex::new(Some(Fresh::new(worker)));
    let client = Client { peer, framing: framing.clone(), door: Door::Public, fresh };
    let counted = Counted { worker: worker.clone(), number: worker.connections.number() };
    let number = counted.number;
    let task = tasks.spawn(async move { converse(&counted.worker, stream, client).await });
    worker.connections.insert(number, framing, task);
}

/// Serves one of the health listener's, which counts for nothing.
pub(super) async fn serve_probe(worker: Arc<Worker>, stream: Stream, peer: Option<IpAddr>) {
    let client = Client { peer, framing: ConnState::new(), door: Door::Health, fresh: Mutex::default() };
    converse(&worker, stream, client).await;
}

async fn converse(worker: &Arc<Worker>, stream: Stream, client: Client) {
    let config = &worker.inheritance.config.http;
    let limits = Limits {
        request_line: config.limit_request_line,
        fields: config.limit_request_fields,
        field_size: config.limit_request_field_size,
        header_timeout: config.header_timeout,
        keep_alive: config.keep_alive,
        send: config.write_patience,
    };
    let client = Arc::new(client);
    let guard = Guard::new(stream, limits, client.framing.clone(), Stream::reset);
    let io = TokioIo::new(Burst::new(guard, worker.pace.clone()));
    let service = service_fn(|request| service::answer(worker.clone(), client.clone(), request));
    let mut http = http1::Builder::new();
    // The guard is stricter, and answers: hyper's own limits must not be reached
    // before its.
    // A probe that kept its connection would go on asking the same worker.
    http.keep_alive(client.door == Door::Public && !config.keep_alive.is_zero())
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
            () = drain::begins(&mut phase) => {}
        }
        // From here on each response says that it is the last one. Closing
        // an idle connection at once would lose a request that is on its way.
        let is_idle = async {
            let time = worker.inheritance.config.master.graceful_timeout.saturating_sub(LAST_CALL);
            drop(tokio::time::timeout(time, drain::is_for_all(&mut phase)).await);
            client.framing.idle_for(DRAIN_IDLE).await;
        };
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = is_idle => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = silent => unreachable!("it only looks once"),
    };
    if let Err(error) = ended {
        tracing::debug!(peer = ?client.peer, "connection: {error}");
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
