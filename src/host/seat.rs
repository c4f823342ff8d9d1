//! Where requests queue for one reused 0.3 instance.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::v03::Job;

/// The queue of an instance. The instance takes from it whenever its event loop
/// turns; a guest that computes holds that up, and gets nothing sent meanwhile.
pub(super) struct Seat(Mutex<State>);

struct State {
    jobs: VecDeque<Job>,
    taker: Option<Waker>,
    /// Requests sent to it that have not ended.
    active: usize,
    /// Requests it may still be sent.
    left: u32,
    /// Whether it takes more; not after a failure or a time limit.
    open: bool,
    /// Whether its loop has turned when it was last polled.
    answers: bool,
    /// Whether it has begun with a request in this turn: that may be one that computes,
    /// and another one would have to wait for it.
    began: bool,
}

impl Seat {
    /// Of an instance that is being made for `requests` requests and has the first.
    pub fn new(requests: u32) -> Self {
        let (jobs, taker) = (VecDeque::new(), None);
        Self(Mutex::new(State {
            jobs,
            taker,
            active: 1,
            left: requests - 1,
            open: true,
            answers: true,
            began: true,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it will be sent more requests.
    pub fn is_open(&self) -> bool {
        let state = self.lock();
        state.open && state.left > 0
    }

    /// Takes the job if it can be begun at once, or gives it back.
    pub fn offer(&self, job: Job, concurrency: usize) -> Option<Job> {
        let mut state = self.lock();
        if !state.open || state.left == 0 || !state.answers || state.active >= concurrency {
            return Some(job);
        }
        state.left -= 1;
        state.active += 1;
        state.jobs.push_back(job);
        if let Some(taker) = state.taker.take() {
            taker.wake();
        }
        None
    }

    /// The instance's next request; `None` when there will be none.
    pub fn poll_job(&self, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        let mut state = self.lock();
        state.answers = true;
        if state.began && !state.jobs.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match state.jobs.pop_front() {
            Some(job) => {
                state.began = true;
                Poll::Ready(Some(job))
            }
            None if !state.open || state.left == 0 => Poll::Ready(None),
            None => {
                state.taker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// A turn of the instance begins: does its loop turn?
    pub fn expect_answer(&self) {
        let mut state = self.lock();
        (state.answers, state.began) = (false, false);
    }

    /// Whether it has.
    pub fn answers(&self) -> bool {
        self.lock().answers
    }

    /// Takes back what the instance has not begun with.
    pub fn withdraw(&self) -> Vec<Job> {
        let mut state = self.lock();
        let jobs: Vec<_> = state.jobs.drain(..).collect();
        state.active -= jobs.len();
        state.left += jobs.len() as u32;
        jobs
    }

    /// A request has ended.
    pub fn leave(&self) {
        self.lock().active -= 1;
    }

    /// It gets no more; whoever is in there may finish.
    pub fn retire(&self) {
        self.lock().open = false;
    }

    /// The instance is gone; what it had not begun with.
    pub fn close(&self) -> Vec<Job> {
        self.retire();
        self.withdraw()
    }
}
