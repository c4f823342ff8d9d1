//! Request bodies on their way to a guest: counted against the limit, and read
//! ahead so that a slow client holds no instance.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::http1::Allowance;
use crate::config::Patience;
use crate::host::{BodyError, RequestBody};

/// A body of unknown length is waited for this long before the guest starts: a
/// client may hold it open on purpose and want to hear something first.
const UNKNOWN_LENGTH_PATIENCE: Duration = Duration::from_secs(1);

/// Why a body cannot be had.
#[derive(Debug, Clone)]
pub(super) enum BodyProblem {
    /// It is longer than `--limit-request-body`.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// Its framing is wrong, or the client went away; in hyper's words.
    Broken(String),
}

impl BodyProblem {
    fn broken(error: &hyper::Error) -> Self {
        Self::Broken(error.source().map_or_else(|| error.to_string(), ToString::to_string))
    }
}

impl fmt::Display for BodyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the body is larger than --limit-request-body"),
            Self::TooSlow => {
                write!(f, "the body came too slowly (--body-timeout, --min-rate, --request-timeout)")
            }
            Self::Broken(error) => write!(f, "not all of the body came: {error}"),
        }
    }
}

/// A body of which some is read, and what becomes of it.
pub(super) struct Read {
    body: ReadAhead,
    /// What the guest will find out about it.
    pub watch: Watch,
}

impl Read {
    /// Whether the client still has to send some of it.
    pub fn is_coming(&self) -> bool {
        self.body.rest.is_some()
    }

    /// All of it, for a guest. `place` is given back when the last of it has come.
    pub fn for_guest(self, place: Option<OwnedSemaphorePermit>) -> RequestBody {
        ReadAhead { place, ..self.body }.boxed_unsync()
    }
}

/// What became of a body while a guest was reading it.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Watched>);

#[derive(Debug, Default)]
struct Watched {
    problem: OnceLock<BodyProblem>,
    waiting: AtomicBool,
    received: AtomicU64,
}

impl Watch {
    /// Why the guest did not get all of it.
    pub fn problem(&self) -> Option<&BodyProblem> {
        self.0.problem.get()
    }

    /// Bytes of it that have come.
    pub fn received(&self) -> u64 {
        self.0.received.load(Relaxed)
    }

    /// The guest waits for the client to send more of it.
    pub fn is_waiting(&self) -> bool {
        self.0.waiting.load(Relaxed)
    }
}

/// Reads up to `ahead` bytes of `body`, and gives back all of it.
///
/// # Errors
/// What was read is too large or broken, or took past `deadline`.
pub(super) async fn read_ahead(
    mut body: Incoming,
    ahead: usize,
    limit: Option<u64>,
    patience: Patience,
    deadline: Instant,
) -> Result<Read, BodyProblem> {
    let watch = Watch::default();
    if body.is_end_stream() {
        return Ok(Read { body: ReadAhead::default(), watch });
    }
    let announced = body.size_hint().exact();
    if announced.zip(limit).is_some_and(|(length, limit)| length > limit) {
        return Err(BodyProblem::TooLarge);
    }
    let until = match announced {
        Some(_) => deadline,
        None => deadline.min(Instant::now() + UNKNOWN_LENGTH_PATIENCE),
    };
    let mut allowance = Allowance::new(patience);
    let mut read = BytesMut::new();
    let mut trailers = None;
    let ended = loop {
        if read.len() >= ahead {
            break false;
        }
        let next = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => allowance.poll_used_up(cx).map(|()| None),
        });
        let Ok(next) = timeout_at(until, next).await else {
            if announced.is_none() && until < deadline {
                break false;
            }
            return Err(BodyProblem::TooSlow);
        };
        match next.ok_or(BodyProblem::TooSlow)? {
            Some(Ok(frame)) => {
                allowance.earn(frame.data_ref().map_or(0, Bytes::len));
                match frame.into_data() {
                    // In one piece: a client that sends a byte at a time must not
                    // make a frame of each.
                    Ok(data) => read.extend_from_slice(&data),
                    Err(other) => trailers = Some(other),
                }
                if limit.is_some_and(|limit| read.len() as u64 > limit) {
                    return Err(BodyProblem::TooLarge);
                }
                if body.is_end_stream() {
                    break true;
                }
            }
            Some(Err(error)) => return Err(BodyProblem::broken(&error)),
            None => break true,
        }
    };
    watch.0.received.store(read.len() as u64, Relaxed);
    let body = ReadAhead {
        rest: (!ended).then_some(body),
        allowance: (!ended).then_some(allowance),
        left: limit.map(|limit| limit - read.len() as u64),
        read: read.freeze(),
        trailers,
        watch: watch.clone(),
        place: None,
    };
    Ok(Read { body, watch })
}

/// What was read, then what is still to come.
#[derive(Default)]
struct ReadAhead {
    read: Bytes,
    trailers: Option<Frame<Bytes>>,
    rest: Option<Incoming>,
    /// How long its client may still have it wait.
    allowance: Option<Allowance>,
    /// Bytes that may still come.
    left: Option<u64>,
    watch: Watch,
    /// Of the request among those whose body is still coming.
    place: Option<OwnedSemaphorePermit>,
}

impl ReadAhead {
    /// Nothing more comes.
    fn end(&mut self) {
        (self.rest, self.place) = (None, None);
    }

    /// The same, though there should.
    fn fail<T>(&mut self, problem: BodyProblem, error: BodyError) -> Poll<Option<Result<T, BodyError>>> {
        // Nothing else sets it, and after this nothing comes.
        let _first = self.watch.0.problem.set(problem);
        self.end();
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for ReadAhead {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read)))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(trailers)));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_frame(cx);
        self.watch.0.waiting.store(polled.is_pending(), Relaxed);
        let Poll::Ready(frame) = polled else {
            let Some(allowance) = &mut self.allowance else { return Poll::Pending };
            std::task::ready!(allowance.poll_used_up(cx));
            return self.fail(BodyProblem::TooSlow, BodyError::ConnectionReadTimeout);
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return self.fail(BodyProblem::broken(&error), error.into()),
            None => {
                self.end();
                return Poll::Ready(None);
            }
        };
        if self.rest.as_ref().is_some_and(Incoming::is_end_stream) {
            self.end();
        }
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.watch.0.received.fetch_add(length, Relaxed);
        if let Some(allowance) = &mut self.allowance {
            allowance.earn(length as usize);
        }
        if let Some(left) = self.left {
            match left.checked_sub(length) {
                Some(left) => self.left = Some(left),
                None => {
                    return self.fail(BodyProblem::TooLarge, BodyError::HttpRequestBodySize(None));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.read.len();
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead as u64);
        }
        hint
    }
}
