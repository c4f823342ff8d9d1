//! The guard against a corpus, against chance, and with hyper behind it.

mod corpus;
mod framing;
mod random;
mod serve;
mod server;
mod timing;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ConnState, Guard, Limits, Violation};
use crate::config::Patience;

/// What follows a request in a test, and must not be served after a bad one.
const CANARY: &[u8] = b"GET /canary HTTP/1.1\r\nhost: c\r\n\r\n";

/// Limits small enough to write a corpus around.
const LIMITS: Limits = Limits {
    request_line: 100,
    fields: 10,
    field_size: 100,
    header_timeout: Duration::from_secs(10),
    keep_alive: Duration::from_secs(10),
    send: Patience { time: Duration::from_secs(10), rate: Some(1) },
};

/// A client that sends its packets at once, and then ends.
struct Packets<'a>(std::vec::IntoIter<&'a [u8]>);

impl AsyncRead for Packets<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(packet) = self.0.next() {
            let (now, later) = packet.split_at(packet.len().min(out.remaining()));
            out.put_slice(now);
            if !later.is_empty() {
                let rest: Vec<_> = [later].into_iter().chain(self.0.by_ref()).collect();
                self.0 = rest.into_iter();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Packets<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What hyper would have seen.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    bytes: Vec<u8>,
    /// The refused head: which request, and why.
    head: Option<(u64, Violation)>,
    body: Option<Violation>,
}

fn body_violation(state: &ConnState) -> Option<Violation> {
    (0..100).find_map(|index| state.body_violation_for(index))
}

/// Reads `packets` through a guard, `room` bytes at most at a time.
fn read(packets: Vec<&[u8]>, room: usize) -> Seen {
    // For the timers, whose time never comes here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let state = ConnState::new();
    let packets: Vec<_> = packets.into_iter().filter(|packet| !packet.is_empty()).collect();
    let mut guard = Guard::new(Packets(packets.into_iter()), LIMITS, state.clone(), |_| ());
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = Vec::new();
    let mut room = vec![0; room];
    loop {
        let mut out = ReadBuf::new(&mut room);
        match Pin::new(&mut guard).poll_read(&mut cx, &mut out) {
            Poll::Ready(Ok(())) if !out.filled().is_empty() => bytes.extend(out.filled()),
            Poll::Ready(Ok(())) | Poll::Pending => break,
            Poll::Ready(Err(error)) => {
                let source = error.get_ref().and_then(|source| source.downcast_ref::<Violation>());
                assert_eq!(source.copied(), body_violation(&state));
                break;
            }
        }
    }
    let head = (0..100).find_map(|index| Some((index, state.violation_for(index)?)));
    Seen { bytes, head, body: body_violation(&state) }
}
