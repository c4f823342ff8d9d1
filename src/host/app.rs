//! An app in a worker: requests in, responses out.

use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;

use super::egress::Egress;
use super::failure::Failure;
use super::load::{LoadedApp, Pre};
use super::outgoing::{self, Response, Stalled};
use super::ticker::Ticker;
use super::usage::{Totals, Usage};
use super::{v02, v03};
use crate::config::DirAccess;

/// A request for a guest. Its URI is in absolute form: a 0.3 guest reads scheme
/// and authority from there.
pub type Request = http::Request<WasiBody>;

/// What goes with a request.
#[derive(Debug)]
pub struct Call {
    /// Its name in the log.
    pub id: Arc<str>,
    /// When the guest has to be done, its response body included.
    pub deadline: Instant,
    /// Whether the client speaks https, as far as is known.
    pub secure: bool,
    /// What it uses.
    pub usage: Arc<Usage>,
    /// Given back when the guest is done, which can be before a slow client is.
    pub permit: OwnedSemaphorePermit,
}

/// An app that answers requests in this process.
pub struct App {
    pub(super) loaded: LoadedApp,
    pub(super) ticker: Arc<Ticker>,
    pub(super) egress: Arc<Egress>,
    pub(super) idle: v02::Idle,
    pub(super) reusable: v03::Reusable,
    pub(super) totals: Arc<Totals>,
    stalled: Arc<Stalled>,
    response_buffer: usize,
}

impl App {
    pub(super) fn new(loaded: LoadedApp, ticker: Arc<Ticker>, response_buffer: usize) -> Self {
        let totals = Arc::<Totals>::default();
        let egress = Arc::new(Egress::new(&loaded.config, totals.clone()));
        Self {
            loaded,
            ticker,
            egress,
            idle: v02::Idle::default(),
            reusable: v03::Reusable::default(),
            totals,
            stalled: Arc::default(),
            response_buffer,
        }
    }

    /// The app's configuration.
    pub fn config(&self) -> &crate::config::AppConfig {
        &self.loaded.config
    }

    /// Takes what its requests have used since this was last asked for: time on the
    /// processor, and requests they have sent.
    pub fn take_totals(&self) -> (Duration, u32) {
        self.totals.take()
    }

    /// Answers `request`. Dropping the future, or the response body before its
    /// end, ends the guest's work on it.
    ///
    /// # Errors
    /// There will be no response. A failure after the head is an error of the
    /// response body.
    pub async fn handle(self: &Arc<Self>, request: Request, call: Call) -> Result<Response, Failure> {
        let (answer, head) = outgoing::answer(request.method(), self.response_buffer, self.stalled.clone());
        match &self.loaded.pre {
            Pre::V02(..) => inline(v02::run(self.clone(), request, call, answer), head).await,
            Pre::V03(_) => {
                let job = v03::Job { request, call, answer };
                if self.reuses() {
                    self.dispatch(job);
                    head.await.unwrap_or(Err(Failure::NoResponse))
                } else {
                    inline(v03::run_once(self.clone(), job), head).await
                }
            }
        }
    }

    /// Ends the response whose client has taken nothing for longest, if that is half
    /// a second or more, or less where such hold half of the `places`: its guest holds one
    /// that another request could have.
    pub fn make_way(&self, places: usize) {
        self.stalled.end_one(places, Instant::now());
    }

    /// Whether a guest of this process computes for long.
    pub fn is_crowded(&self) -> bool {
        self.ticker.has_hogs()
    }

    /// Gives back what it keeps for many requests, after there were none for a while;
    /// one finds an instance that waits.
    pub fn rest(&self) {
        self.idle.keep_one();
        self.loaded.memories.iter().for_each(|memories| memories.rest());
    }

    /// Makes an instance and drops it, to see whether one can be made at all.
    ///
    /// # Errors
    /// It cannot, or not by `deadline`.
    pub async fn try_instance(&self, deadline: Instant) -> Result<(), Failure> {
        match &self.loaded.pre {
            Pre::V02(..) => v02::try_instance(self, deadline).await,
            Pre::V03(_) => v03::try_instance(self, deadline).await,
        }
    }

    /// Whether a request has used more of the processor than it may.
    pub(super) fn is_over_cpu_limit(&self, usage: &Usage) -> bool {
        self.config().cpu_limit.is_some_and(|limit| usage.processor() > limit)
    }

    /// Sends a request to a 0.3 instance that has room, or to a new one.
    pub(super) fn dispatch(self: &Arc<Self>, job: v03::Job) {
        let concurrency = self.loaded.config.instance_concurrency as usize;
        if let Some(job) = v03::offer(&self.reusable, job, concurrency) {
            v03::spawn_reusable(self, job);
        }
    }

    fn reuses(&self) -> bool {
        self.loaded.config.instance_max_requests > 1 || self.loaded.config.instance_max_requests_jitter > 0
    }

    /// Whether a guest may write to a directory.
    pub(super) fn may_write(&self) -> bool {
        self.config().dirs.iter().any(|dir| dir.access == DirAccess::ReadWrite)
    }

    /// How many requests the next instance is for.
    pub(super) fn requests_per_instance(&self) -> u32 {
        if !self.loaded.reuse.is_possible() {
            return 1;
        }
        let config = &self.loaded.config;
        let jitter = match config.instance_max_requests_jitter {
            0 => 0,
            // The seed of a hash map is random enough to spread restarts.
            most => (RandomState::new().build_hasher().finish() % (u64::from(most) + 1)) as u32,
        };
        config.instance_max_requests.saturating_add(jitter)
    }
}

/// Drives the guest in the caller's own task until the head of its response is
/// there. Most guests are done by then, body and all, and cost no task; the
/// others go on in one.
async fn inline(
    work: impl Future<Output = ()> + Send + 'static,
    mut head: oneshot::Receiver<Result<Response, Failure>>,
) -> Result<Response, Failure> {
    let mut work = Box::pin(work);
    let mut done = false;
    let response = poll_fn(|cx| {
        done = done || work.as_mut().poll(cx).is_ready();
        Pin::new(&mut head).poll(cx)
    });
    let mut response = response.await.unwrap_or(Err(Failure::NoResponse))?;
    // Nothing has gone out: an honest error is better than a cut connection.
    if let Some(failure) = response.body().failure() {
        return Err(failure);
    }
    if !done {
        response.body_mut().end_with(tokio::spawn(work).abort_handle());
    }
    Ok(response)
}
