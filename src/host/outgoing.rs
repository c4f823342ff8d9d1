//! The way of a response from guest to client: a bounded buffer between them,
//! so that a slow client does not keep an instance waiting.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::failure::Failure;

/// A response as the host hands it on.
pub type Response = http::Response<ResponseBody>;

/// What a frame counts in a buffer beyond its bytes: a guest that writes a byte at
/// a time must not fill the memory with what keeps these apart.
const FRAME: usize = 128;

/// A client that takes nothing for this long is slow enough to be given up for another's
/// request.
pub(super) const PATIENT: Duration = Duration::from_millis(500);

/// The same while such clients hold more than half of the places: most of them, and those
/// that have waited longest, are hardly there to read.
pub(super) const CROWDED: Duration = Duration::from_millis(50);

/// The guest's side: first a head or a failure, then the body.
pub(super) struct Answer {
    head: Option<oneshot::Sender<Result<Response, Failure>>>,
    body: Option<ResponseBody>,
    shared: Arc<Mutex<Shared>>,
    stalled: Arc<Stalled>,
    limit: usize,
    /// Bytes that are out of `Content-Length`, if there is one.
    missing: Option<u64>,
    /// The client gets no body, whatever the guest makes of it (RFC 9110, 6.4.1).
    head_alone: bool,
}

/// The client's side of the body.
#[derive(Debug)]
pub struct ResponseBody {
    shared: Arc<Mutex<Shared>>,
    /// Bytes that are out of `Content-Length`, if there is one: with the last of
    /// them the response is whole, and nobody asks for the end of its body.
    missing: Option<u64>,
    /// It is dropped with the head.
    head_alone: bool,
}

#[derive(Debug, Default)]
struct Shared {
    frames: VecDeque<Frame<Bytes>>,
    buffered: usize,
    end: Option<Result<(), Failure>>,
    abandoned: bool,
    /// Since when its guest waits for the client to take some of it.
    stalled_since: Option<Instant>,
    /// It is among those that may have to make way.
    noted: bool,
    /// Ends the guest's work when nobody wants the response any more.
    task: Option<AbortHandle>,
    /// Who wants to know when that happens.
    mourner: Option<Waker>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Shared {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

/// The responses of an app whose guests wait for their clients, or did.
#[derive(Debug, Default)]
pub(super) struct Stalled(Mutex<Vec<Weak<Mutex<Shared>>>>);

impl Stalled {
    /// Ends the response that has waited for its client longest, if that is long for one
    /// of so many `places`.
    pub fn end_one(&self, places: usize, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest: Option<(Instant, Arc<Mutex<Shared>>)> = None;
        let mut waiting = 0;
        all.retain(|response| {
            let Some(response) = response.upgrade() else { return false };
            let shared = lock(&response);
            let Some(since) = shared.stalled_since else { return shared.end.is_none() };
            drop(shared);
            waiting += 1;
            if longest.as_ref().is_none_or(|(longest, _)| since < *longest) {
                longest = Some((since, response));
            }
            true
        });
        let patience = if waiting > (places / 2).max(1) { CROWDED } else { PATIENT };
        if let Some((since, response)) = longest
            && now.saturating_duration_since(since) >= patience
        {
            lock(&response).make_way();
        }
    }

    fn note(&self, response: &Arc<Mutex<Shared>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|response| response.strong_count() > 0);
        }
        all.push(Arc::downgrade(response));
    }
}

impl Shared {
    /// Ends with a failure, and its guest with it.
    fn make_way(&mut self) {
        self.end = Some(Err(Failure::ClientTooSlow));
        (self.abandoned, self.stalled_since) = (true, None);
        self.frames.clear();
        self.wake_reader();
        let waiting = [self.writer.take(), self.mourner.take()];
        waiting.into_iter().flatten().for_each(Waker::wake);
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // A panic elsewhere cannot leave it half changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes both ends for a request of this method; the buffer takes frames while it
/// holds less than `limit` bytes.
pub(super) fn answer(
    method: &http::Method,
    limit: usize,
    stalled: Arc<Stalled>,
) -> (Answer, oneshot::Receiver<Result<Response, Failure>>) {
    let (head, receiver) = oneshot::channel();
    let shared = Arc::new(Mutex::new(Shared::default()));
    let body = ResponseBody { shared: shared.clone(), missing: None, head_alone: false };
    let head_alone = method == http::Method::HEAD;
    let answer =
        Answer { head: Some(head), body: Some(body), shared, stalled, limit, missing: None, head_alone };
    (answer, receiver)
}

impl Answer {
    /// Hands over the head of the response.
    pub fn head(&mut self, parts: http::response::Parts) {
        self.head_alone |= matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if let (Some(head), Some(mut body)) = (self.head.take(), self.body.take()) {
            body.head_alone = self.head_alone;
            let length = parts.headers.get(http::header::CONTENT_LENGTH);
            self.missing = length.and_then(|length| length.to_str().ok()?.parse().ok());
            body.missing = self.missing;
            drop(head.send(Ok(http::Response::from_parts(parts, body))));
        }
    }

    /// Whether the head was handed over, or never will be.
    pub fn has_head(&self) -> bool {
        self.head.is_none()
    }

    /// Ends the answer with a failure: instead of a head, or in the middle of
    /// the body. After the end it changes nothing and says so by `false`.
    pub fn fail(&mut self, failure: Failure) -> bool {
        if let Some(head) = self.head.take() {
            drop(head.send(Err(failure)));
            return true;
        }
        let mut shared = lock(&self.shared);
        let open = shared.end.is_none();
        if !open {
            return false;
        }
        // All that was announced is there, whoever failed to say that it is the end.
        let whole = self.missing == Some(0);
        // What is wrong with a body that nobody gets is no failure.
        let harmless = self.head_alone && matches!(failure, Failure::Incomplete);
        shared.stalled_since = None;
        shared.end = Some(if whole || harmless { Ok(()) } else { Err(failure) });
        shared.wake_reader();
        !whole
    }

    /// Ready when nobody waits for the answer, or for the rest of it, any more.
    pub fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(head) = &mut self.head {
            return head.poll_closed(cx);
        }
        let mut shared = lock(&self.shared);
        // After a whole answer the guest may go on.
        if shared.abandoned && shared.end.is_none() {
            return Poll::Ready(());
        }
        shared.mourner = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Moves frames of the guest's `body` into the buffer until the body ends
    /// (ready: well or with an error), or pauses or the buffer is full (pending).
    /// A body that nobody wants any more ends here: the guest finds it closed.
    pub fn pump<B>(&mut self, body: &mut B, cx: &mut Context<'_>) -> Poll<Result<(), B::Error>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        while self.has_room(cx) {
            if lock(&self.shared).abandoned {
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = ready!(self.pump_frame(body, cx)) {
                return Poll::Ready(end);
            }
        }
        Poll::Pending
    }

    /// Takes what a guest that has ended left behind, at most a piece or two:
    /// room or not, so that its instance need not wait. Whether the body ended
    /// well.
    pub fn pump_rest<B>(&mut self, body: &mut B) -> bool
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.pump_frame(body, &mut cx) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(end)) => return end.is_ok(),
                // More was announced, and nobody is left to write it.
                Poll::Pending => return false,
            }
        }
    }

    /// Moves one frame; the end, if that is what comes.
    fn pump_frame<B>(&mut self, body: &mut B, cx: &mut Context<'_>) -> Poll<Option<Result<(), B::Error>>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        Poll::Ready(match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                // None again if it is too long.
                self.missing = self.missing.and_then(|missing| missing.checked_sub(length));
                self.push(frame);
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => {
                self.finish();
                Some(Ok(()))
            }
        })
    }

    /// Whether the buffer takes another frame; if not, `cx` is woken when it does.
    fn has_room(&self, cx: &mut Context<'_>) -> bool {
        let mut shared = lock(&self.shared);
        let held = shared.buffered + shared.frames.len() * FRAME;
        if shared.abandoned || held < self.limit {
            return true;
        }
        shared.writer = Some(cx.waker().clone());
        shared.stalled_since.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut shared.noted, true) {
            drop(shared);
            self.stalled.note(&self.shared);
        }
        false
    }

    fn push(&self, frame: Frame<Bytes>) {
        let mut shared = lock(&self.shared);
        if shared.abandoned || frame.data_ref().is_some_and(Bytes::is_empty) {
            return;
        }
        shared.buffered += frame.data_ref().map_or(0, Bytes::len);
        shared.frames.push_back(frame);
        shared.wake_reader();
    }

    fn finish(&self) {
        let mut shared = lock(&self.shared);
        shared.stalled_since = None;
        if shared.end.is_none() {
            shared.end = Some(Ok(()));
            shared.wake_reader();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Whoever waits learns that nothing more comes, whatever happened here.
        self.fail(Failure::Incomplete);
    }
}

impl ResponseBody {
    /// The failure that the body will end with, if it is known already.
    pub fn failure(&self) -> Option<Failure> {
        lock(&self.shared).end.clone().and_then(Result::err)
    }

    /// Ties the guest's work to this body: dropping one ends the other.
    pub(super) fn end_with(&mut self, task: AbortHandle) {
        lock(&self.shared).task = Some(task);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let mut shared = lock(&this.shared);
        if let Some(frame) = shared.frames.pop_front() {
            let length = frame.data_ref().map_or(0, Bytes::len);
            shared.buffered -= length;
            shared.stalled_since = None;
            this.missing = this.missing.map(|missing| missing.saturating_sub(length as u64));
            if let Some(waker) = shared.writer.take() {
                waker.wake();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match &shared.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(failure)) => Poll::Ready(Some(Err(failure.clone()))),
            None => {
                shared.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        self.missing == Some(0) || shared.frames.is_empty() && matches!(shared.end, Some(Ok(())))
    }

    fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        // A body that is complete gets a length instead of chunks, unless
        // trailers follow, which only chunks can carry.
        if matches!(shared.end, Some(Ok(()))) && shared.frames.iter().all(Frame::is_data) {
            SizeHint::with_exact(shared.buffered as u64)
        } else {
            SizeHint::default()
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        (shared.abandoned, shared.stalled_since) = (true, None);
        shared.frames.clear();
        // After a whole response the guest may go on with what it still has to do.
        if self.missing == Some(0) || self.head_alone {
            shared.end.get_or_insert(Ok(()));
        }
        let unfinished = shared.end.is_none();
        let waiting = [shared.writer.take(), shared.mourner.take()];
        waiting.into_iter().flatten().for_each(Waker::wake);
        if let Some(task) = shared.task.take().filter(|_| unfinished) {
            task.abort();
        }
    }
}
