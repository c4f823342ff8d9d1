//! Requests in arbitrary packets: how they are cut changes nothing, what passed passes
//! again, and nothing behind a violation is served.
#![no_main]

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;
use wasgun_fuzz::config::Patience;
use wasgun_fuzz::worker::http1::{ConnState, Guard, Limits, Violation};

const CANARY: &[u8] = b"GET /canary HTTP/1.1\r\nhost: c\r\n\r\n";

const HOUR: Duration = Duration::from_secs(3600);

const LIMITS: Limits = Limits {
    request_line: 100,
    fields: 10,
    field_size: 100,
    header_timeout: HOUR,
    keep_alive: HOUR,
    send: Patience { time: HOUR, rate: None },
};

/// For the timers.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());

/// Bytes that come in packets of this size, and then end.
struct Packets<'a>(&'a [u8], usize);

impl AsyncRead for Packets<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(self.1).min(out.remaining()));
        out.put_slice(now);
        self.0 = later;
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

/// What hyper would have seen, and what was wrong: with a head, or with a body.
fn read(stream: &[u8], packet: usize, room: usize) -> (Vec<u8>, Option<(u64, Violation)>, Option<Violation>) {
    let state = ConnState::new();
    let mut guard = Guard::new(Packets(stream, packet), LIMITS, state.clone(), |_| ());
    let mut cx = Context::from_waker(Waker::noop());
    let (mut bytes, mut room) = (Vec::new(), vec![0; room]);
    loop {
        let mut out = ReadBuf::new(&mut room);
        match Pin::new(&mut guard).poll_read(&mut cx, &mut out) {
            Poll::Ready(Ok(())) if !out.filled().is_empty() => bytes.extend(out.filled()),
            Poll::Ready(_) | Poll::Pending => break,
        }
    }
    let head = (0..100).find_map(|index| Some((index, state.violation_for(index)?)));
    (bytes, head, (0..100).find_map(|index| state.body_violation_for(index)))
}

fuzz_target!(|data: &[u8]| {
    let _entered = RUNTIME.enter();
    let Some((cut, stream)) = data.split_first() else { return };
    let stream = [stream, CANARY].concat();
    let whole = read(&stream, usize::MAX, 8192);
    let split = read(&stream, 1 + usize::from(cut % 16), 1 + usize::from(cut / 16) * 7);
    assert_eq!((split.1, split.2), (whole.1, whole.2));
    if whole.2.is_none() {
        assert_eq!(split.0, whole.0);
    }
    if let Some((_, _)) = whole.1 {
        // It ends with what stands in for the refused one.
        assert!(whole.0.ends_with(b"connection: close\r\n\r\n"), "{}", whole.0.escape_ascii());
    } else if whole.2.is_none() {
        let again = read(&whole.0, usize::MAX, 8192);
        assert_eq!((again.0, again.1, again.2), (whole.0, None, None));
    }
});
