//! Responses that have to make way for other requests.

use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use tokio::time::Instant;

use super::failure::Failure;
use super::outgoing::{Answer, CROWDED, PATIENT, Response, Stalled, answer};

/// Many more than there are responses here.
const PLACES: usize = 100;

/// One whose client takes nothing of it.
fn stalled_response(stalled: &Arc<Stalled>) -> (Answer, Response) {
    let (mut answer, mut head) = answer(&Method::GET, 1, stalled.clone());
    answer.head(http::Response::new(()).into_parts().0);
    let mut body = Full::new(Bytes::from_static(b"more than there is room for"));
    assert!(answer.pump(&mut body, &mut Context::from_waker(Waker::noop())).is_pending());
    (answer, head.try_recv().unwrap().unwrap())
}

#[test]
fn the_one_that_has_waited_longest_makes_way() {
    let stalled = Arc::default();
    let (_first, first) = stalled_response(&stalled);
    let (_second, second) = stalled_response(&stalled);
    stalled.end_one(PLACES, Instant::now());
    assert!(first.body().failure().is_none(), "it has not waited for long");
    let later = Instant::now() + PATIENT;
    stalled.end_one(PLACES, later);
    assert!(matches!(first.body().failure(), Some(Failure::ClientTooSlow)));
    assert!(second.body().failure().is_none());
    stalled.end_one(PLACES, later);
    assert!(matches!(second.body().failure(), Some(Failure::ClientTooSlow)));
}

#[test]
fn it_is_waited_for_less_where_such_hold_more_than_half_of_the_places() {
    let stalled = Arc::default();
    let (_first, first) = stalled_response(&stalled);
    let (_second, second) = stalled_response(&stalled);
    let soon = Instant::now() + CROWDED;
    stalled.end_one(4, soon);
    assert!(first.body().failure().is_none(), "it is no more than half");
    stalled.end_one(3, soon);
    assert!(first.body().failure().is_some() && second.body().failure().is_none());
}

#[test]
fn one_that_has_ended_is_left_alone() {
    let stalled = Arc::default();
    let (mut ended, response) = stalled_response(&stalled);
    let (_other, other) = stalled_response(&stalled);
    assert!(ended.fail(Failure::Timeout));
    stalled.end_one(PLACES, Instant::now() + PATIENT);
    assert!(matches!(response.body().failure(), Some(Failure::Timeout)));
    assert!(matches!(other.body().failure(), Some(Failure::ClientTooSlow)), "it frees no place");
}

#[test]
fn one_that_goes_on_is_not_waiting() {
    use http_body::Body;
    let stalled = Arc::default();
    let (_answer, mut response) = stalled_response(&stalled);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(response.body_mut()).poll_frame(&mut cx).is_ready());
    stalled.end_one(PLACES, Instant::now() + PATIENT);
    assert!(response.body().failure().is_none());
}
