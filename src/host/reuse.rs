//! Guests that answer one request and no other, although their instances are to be
//! reused: each request that meets one is asked again of a fresh instance, and after some
//! of these the app's instances are not reused any more.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::{Error, WasiBody};

use super::app::Request;
use crate::sys::shared;

/// Who can answer once only has no answer to a second request, ever. One such may come
/// from what the app remembers; so many, with no second request answered between, do not.
pub(super) const EVIDENCE: u64 = 3;

/// What all workers of a generation have found out about an app.
pub(super) struct Reuse {
    /// Second requests without an answer since the last one that had one.
    failed: &'static AtomicU64,
}

impl Reuse {
    /// To be made before the workers are forked, which share it.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new() -> io::Result<Self> {
        let (words, _) = shared::words(1)?;
        Ok(Self { failed: &words[0] })
    }

    /// Whether instances may answer a second request.
    pub fn is_possible(&self) -> bool {
        self.failed.load(Relaxed) < EVIDENCE
    }

    /// Notes that an instance had no answer to its second request; whether that is enough, now.
    pub fn second_failed(&self) -> bool {
        self.failed.fetch_add(1, Relaxed) + 1 == EVIDENCE
    }

    /// Notes that one had an answer.
    pub fn second_answered(&self) {
        let failed = self.failed.load(Relaxed);
        if (1..EVIDENCE).contains(&failed) {
            // Whoever was faster has more to say.
            let _same = self.failed.compare_exchange(failed, 0, Relaxed, Relaxed);
        }
    }
}

/// A request as it was before a guest got it.
pub(super) struct Spare {
    head: http::request::Parts,
    /// Without one there is nothing that could be taken.
    body: Option<Lent>,
}

impl Spare {
    /// Keeps `request`, and gives back the same.
    pub fn of(request: Request) -> (Self, Request) {
        let (head, body) = request.into_parts();
        if body.is_end_stream() {
            return (Self { head: head.clone(), body: None }, Request::from_parts(head, body));
        }
        let body = Lent(Arc::new(Mutex::new(State { body, is_consumed: false })));
        let lent = Request::from_parts(head.clone(), body.clone().boxed_unsync());
        (Self { head, body: Some(body) }, lent)
    }

    /// The request once more, unless something of its body was taken.
    pub fn again(self) -> Option<Request> {
        let body = match self.body {
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
            Some(body) if body.lock().is_consumed => return None,
            Some(body) => body.boxed_unsync(),
        };
        Some(Request::from_parts(self.head, body))
    }
}

/// A body that is still there when who had it is gone.
#[derive(Clone)]
struct Lent(Arc<Mutex<State>>);

struct State {
    body: WasiBody,
    is_consumed: bool,
}

impl Lent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut state = self.lock();
        let polled = Pin::new(&mut state.body).poll_frame(cx);
        // That there is nothing to take can be heard again.
        state.is_consumed |= matches!(polled, Poll::Ready(Some(_)));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body_util::Full;

    use super::*;

    fn request(body: WasiBody) -> Request {
        http::Request::builder().uri("http://a/b").header("x", "y").body(body).unwrap()
    }

    async fn frame(body: &mut WasiBody) -> Option<Frame<Bytes>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.map(Result::unwrap)
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn a_request_can_be_had_again_until_its_body_was_taken() {
        run(async {
            let full = || Full::new(Bytes::from("text")).map_err(|never| match never {}).boxed_unsync();
            let (spare, lent) = Spare::of(request(full()));
            drop(lent);
            let again = spare.again().expect("nothing was taken");
            assert_eq!((again.uri().path(), &again.headers()["x"]), ("/b", &"y".parse().unwrap()));
            let (spare, mut lent) = Spare::of(again);
            assert_eq!(frame(lent.body_mut()).await.unwrap().into_data().unwrap(), "text");
            assert!(spare.again().is_none());
        });
    }

    #[test]
    fn who_has_read_that_there_is_no_body_has_taken_nothing() {
        run(async {
            let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let (spare, mut lent) = Spare::of(request(empty));
            assert!(frame(lent.body_mut()).await.is_none());
            assert!(spare.again().is_some());
        });
    }
}
