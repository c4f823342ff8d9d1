//! Accepting: every worker listens on the same sockets, and one that has more
//! to do than a sibling lets that go first.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::drain::{self, Phase};
use super::pause::Pause;
use super::{Worker, connection};
use crate::listeners::{Listener, Socket};
use crate::sys::{clock, fd};
use crate::telemetry::Load;

/// How long a busier worker waits before it looks again, each time twice as
/// long as before; the runtime's own timers cannot wait less than a millisecond.
const COURTESY: Duration = Duration::from_micros(200);

/// How often it does: a stopped sibling, whose load looks light for ever, holds
/// a connection up by 3 ms and no more.
const COURTESIES: u32 = 4;

/// A difference of this many is noise.
const SLACK: u64 = 1;

/// How long a worker that others replace accepts what waits: nobody may come
/// after it at an address that the new configuration lacks.
const RETIRING: Duration = Duration::from_secs(1);

/// How long accepting pauses when the process has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A listener registered with this worker's runtime. The runtime's own
/// listeners cannot wait for a connection without taking it.
struct Acceptor(AsyncFd<Arc<Listener>>);

/// A client, by either way.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Starts accepting on every listener; the future ends when a drain is over.
///
/// # Errors
/// A socket cannot be registered.
pub(super) fn start(
    worker: &Arc<Worker>,
    listeners: Vec<Arc<Listener>>,
) -> Result<impl Future<Output = ()> + use<>> {
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let acceptor = Acceptor(fd::watch(listener)?);
        acceptors.spawn(accept(worker.clone(), acceptor, Pause::new()?));
    }
    Ok(async move { while acceptors.join_next().await.is_some() {} })
}

/// Accepts until a drain begins, then what still waits in the queue, and closes
/// the socket; ends when all its connections have.
async fn accept(worker: Arc<Worker>, acceptor: Acceptor, pause: Pause) {
    let mut phase = worker.phase.clone();
    let mut connections = JoinSet::new();
    loop {
        // Reaps those that have ended, or the set would grow for ever.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = drain::begins(&mut phase) => break,
            accepted = next(&worker, &acceptor, &pause) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => connection::start(&worker, &mut connections, stream, peer),
            Err(error) => survive(&worker, &error).await,
        }
    }
    // Those that completed their handshake before the drain are not turned away.
    // Under load the queue is never empty, and what is accepted must have the time
    // to be answered.
    let patience = match *phase.borrow() {
        Phase::Stopping => worker.inheritance.config.master.graceful_timeout / 2,
        Phase::Serving | Phase::Retiring => RETIRING,
    };
    let rest = async {
        loop {
            worker.places.room().await;
            let idle = worker.connections.room().await;
            let Ok((stream, peer)) = accept_now(acceptor.0.get_ref().socket()) else { break };
            worker.connections.close(&idle);
            connection::start(&worker, &mut connections, stream, peer);
        }
    };
    drop(tokio::time::timeout(patience, rest).await);
    drop(acceptor);
    while connections.join_next().await.is_some() {}
}

async fn next(worker: &Worker, acceptor: &Acceptor, pause: &Pause) -> io::Result<(Stream, Option<IpAddr>)> {
    loop {
        let mut ready = acceptor.0.readable().await?;
        // Now, when there is a connection to find room for.
        worker.places.room().await;
        for turn in 0..COURTESIES {
            let lightest = worker.inheritance.board.lightest_sibling(worker.index, clock::monotonic_ms());
            if !lightest.is_some_and(|sibling| is_heavier(worker.slot.load(), sibling)) {
                break;
            }
            pause.wait(COURTESY * (1 << turn)).await?;
        }
        let idle = worker.connections.room().await;
        match ready.try_io(|listener| accept_now(listener.get_ref().socket())) {
            Ok(accepted) => {
                // For one that is here: a sibling could have been faster.
                worker.connections.close(&idle);
                return accepted;
            }
            // A sibling was faster; the next one is a new decision.
            Err(_would_block) => {}
        }
    }
}

/// Whether a worker with load `own` should let one with load `sibling` go first.
fn is_heavier(own: Load, sibling: Load) -> bool {
    own.in_flight > sibling.in_flight + SLACK
        || (own.in_flight >= sibling.in_flight && own.connections > sibling.connections + SLACK)
}

/// Goes on after a failed accept, once that can help.
pub(super) async fn survive(worker: &Worker, error: &io::Error) {
    use nix::libc::{EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    match error.raw_os_error() {
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => {
            worker.exhausted.note(|_| tracing::error!("cannot accept: {error}"));
            worker.connections.close_some();
            // The connection stays in the queue: accepting again at once would
            // only spin.
            tokio::time::sleep(EXHAUSTED).await;
        }
        // Somebody has shut the listener down, which readiness says for ever.
        Some(EINVAL) => {
            worker.exhausted.note(|_| tracing::error!("cannot accept, the listener is shut down: {error}"));
            tokio::time::sleep(EXHAUSTED).await;
        }
        // The client gave up before it was accepted.
        _ => tracing::debug!("cannot accept: {error}"),
    }
}

/// Takes a connection that waits.
pub(super) fn accept_now(socket: &Socket) -> io::Result<(Stream, Option<IpAddr>)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            // A response's last packet must not wait for the client's delayed
            // acknowledgement, 40 ms on Linux.
            stream.set_nodelay(true)?;
            Ok((Stream::Tcp(TcpStream::from_std(stream)?), Some(peer.ip().to_canonical())))
        }
        Socket::Unix(listener) => {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok((Stream::Unix(UnixStream::from_std(stream)?), None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(in_flight: u64, connections: u64) -> Load {
        Load { in_flight, connections }
    }

    #[test]
    fn requests_weigh_before_connections() {
        assert!(is_heavier(load(2, 0), load(0, 50)));
        assert!(!is_heavier(load(0, 50), load(2, 0)));
        assert!(is_heavier(load(1, 12), load(1, 10)));
        assert!(!is_heavier(load(1, 11), load(1, 10)), "a difference of one is noise");
        assert!(!is_heavier(load(1, 0), load(0, 0)), "a difference of one is noise");
    }
}
