//! Answering with a 0.2 component: the call is driven directly, one request at
//! a time, and the response comes out through a callback while it runs.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout_at};
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::app::{App, Call, Request};
use super::eager::eagerly;
use super::failure::Failure;
use super::guest::Guest;
use super::load::Pre;
use super::outgoing::Answer;
use super::reuse::{EVIDENCE, Spare};
use super::rewind::{Beginning, Rewindable};
use super::ticker::SLICE;
use super::usage::within;

/// Instances that may wait after they were put back to where they began: more are
/// needed only by an app that waits for others much of its time.
const MOST_REWOUND: usize = 16;

/// Instances that are made without a thought of putting them back, after one that could
/// not be: what it did to deserve that, others of the app will do too.
const NOT_REWOUND: u32 = 8;

/// Instances that wait for another request.
#[derive(Default)]
pub(super) struct Idle {
    instances: Mutex<Vec<Instance>>,
    /// As many of the next ones will not be put back.
    not_rewound: AtomicU32,
}

pub(super) struct Instance {
    store: Store<Guest>,
    proxy: Proxy,
    /// Requests it may still answer.
    left: u32,
    /// Requests it has answered since it was made or put back.
    answered: u32,
    /// Where it can be put back to.
    beginning: Option<Beginning>,
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, app: &App) -> Option<Instance> {
        let mut instances = self.lock();
        if !app.loaded.reuse.is_possible() {
            instances.retain(|instance| instance.answered == 0);
        }
        // The one used last: its memory is in the caches.
        instances.pop()
    }

    /// Notes that an instance had no answer to its second request.
    fn second_failed(&self, app: &App) {
        if app.loaded.reuse.second_failed() {
            tracing::warn!(
                app = app.loaded.config.name,
                "{EVIDENCE} instances that had answered a request returned without a response to their second, and \
                 none had one between these: instances of this component answer one request only, and are not reused \
                 any more. Say --instance-max-requests 1, or build it so that it can be reused (in JavaScript: export \
                 incomingHandler instead of listening for fetch events)"
            );
        }
    }

    fn put(&self, instance: Instance) {
        self.lock().push(instance);
    }

    /// Drops all instances but one.
    pub fn keep_one(&self) {
        self.lock().truncate(1);
    }

    fn not_put_back(&self, app: &App, why: &anyhow::Error) {
        tracing::debug!(app = app.loaded.config.name, "an instance is not put back: {why:#}");
        self.not_rewound.store(NOT_REWOUND, Relaxed);
    }

    /// Whether the next instance is to be one that can be put back.
    fn wants_rewindable(&self) -> bool {
        self.not_rewound.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

type Outcome = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// Answers one request; ends when the guest has ended.
pub(super) async fn run(app: Arc<App>, request: Request, call: Call, mut answer: Answer) {
    let _ticking = app.ticker.run();
    let served = within(&app, &call, serve_or_retry(&app, request, &call, &mut answer)).await;
    if let Err(failure) = served {
        let text = failure.to_string();
        if !answer.fail(failure) {
            tracing::debug!(request = &*call.id, "after a complete response: {text}");
        }
    }
}

/// Serves in an instance that waits, or in a new one. Whom one does not answer that has
/// answered before, another one is asked for, as if the first had never been.
async fn serve_or_retry(
    app: &App,
    request: Request,
    call: &Call,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let instance = match app.idle.take(app) {
        None => instantiate(app).await?,
        Some(instance) if instance.answered > 0 => {
            let is_second = instance.answered == 1;
            let (spare, request) = Spare::of(request);
            let served = serve(app, instance, request, call, answer).await;
            if !matches!(served, Err(Failure::NotReusable)) {
                if is_second && served.is_ok() {
                    app.loaded.reuse.second_answered();
                }
                return served;
            }
            // What it has read may be why: clients must not be able to end reuse.
            let Some(request) = spare.again() else { return served };
            // What it has done to others would be done twice.
            let served = match call.usage.outbound() > 0 || app.may_write() {
                true => served,
                false => serve(app, instantiate(app).await?, request, call, answer).await,
            };
            // Nothing is known of an app whose fresh instance has no answer either.
            if is_second && matches!(served, Ok(()) | Err(Failure::NotReusable)) {
                app.idle.second_failed(app);
            }
            return served;
        }
        Some(instance) => instance,
    };
    serve(app, instance, request, call, answer).await
}

async fn serve(
    app: &App,
    mut instance: Instance,
    request: Request,
    call: &Call,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let without_answer = if instance.answered > 0 { Failure::NotReusable } else { Failure::NoResponse };
    if let Some(beginning) = instance.beginning.as_ref().filter(|_| instance.answered == 0) {
        beginning.resume(&mut instance.store);
    }
    instance.store.data_mut().begin(call);
    // Its last one is long past, if it has waited for this request.
    instance.store.set_epoch_deadline(SLICE);
    let (sender, outcome) = oneshot::channel::<Outcome>();
    let mut outcome = Some(outcome);
    let scheme = if call.secure { Scheme::Https } else { Scheme::Http };
    let mut view = instance.store.data_mut().http();
    let unmade = |error| Failure::Instantiate(Arc::new(error));
    let request = view.new_incoming_request(scheme, request).map_err(unmade)?;
    let outparam = view.new_response_outparam(sender).map_err(unmade)?;

    let mut body: Option<HyperOutgoingBody> = None;
    let ended = {
        let handler = instance.proxy.wasi_http_incoming_handler();
        let mut guest = pin!(handler.call_handle(&mut instance.store, request, outparam));
        eagerly(poll_fn(|cx| {
            let guest = guest.as_mut().poll(cx);
            if let Some(receiver) = &mut outcome
                && let Poll::Ready(received) = Pin::new(receiver).poll(cx)
            {
                outcome = None;
                // Dropped unset: the guest's return, or its trap, says why.
                body = received.ok().and_then(|set| begin(answer, set));
            }
            if let Some(rest) = &mut body
                && let Poll::Ready(pumped) = answer.pump(rest, cx)
            {
                body = None;
                if pumped.is_err() {
                    answer.fail(Failure::Incomplete);
                }
                call.usage.returns();
            }
            guest
        }))
        .await
    };
    // Set and not yet seen: the runtime lets a task look only so often at a time.
    if let Some(set) = outcome.and_then(|mut outcome| outcome.try_recv().ok()) {
        body = begin(answer, set);
    }
    // Before the store goes: with it, a body that the guest left open would
    // look like one that ended.
    let whole = match body {
        None => true,
        Some(mut rest) => unconstrained(poll_fn(|_| Poll::Ready(answer.pump_rest(&mut rest)))).await,
    };
    ended.map_err(|error| instance.store.data().explain(Failure::from_call(error)))?;
    if !answer.has_head() {
        return Err(without_answer);
    }
    if !whole {
        return Err(Failure::Incomplete);
    }
    instance.left -= 1;
    instance.answered += 1;
    let goes_on = instance.left > 0 && app.loaded.reuse.is_possible() && instance.store.data_mut().has_room();
    if goes_on || instance.rewind(app).await {
        app.idle.put(instance);
    }
    Ok(())
}

impl Instance {
    /// Puts it back to where it began; whether that was done.
    async fn rewind(&mut self, app: &App) -> bool {
        let Some(beginning) = self.beginning.as_ref().filter(|_| app.idle.lock().len() < MOST_REWOUND) else {
            return false;
        };
        let guest = app.guest();
        if let Err(error) = beginning.rewind(&mut self.store, guest).await {
            app.idle.not_put_back(app, &error);
            return false;
        }
        (self.left, self.answered) = (app.requests_per_instance(), 0);
        true
    }
}

/// Hands over what the guest has set; the body that follows.
fn begin(answer: &mut Answer, set: Outcome) -> Option<HyperOutgoingBody> {
    match set {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            answer.head(parts);
            Some(body)
        }
        Err(code) => {
            answer.fail(Failure::from_code(&code));
            None
        }
    }
}

/// Makes an instance and drops it.
pub(super) async fn try_instance(app: &App, deadline: Instant) -> Result<(), Failure> {
    let _ticking = app.ticker.run();
    timeout_at(deadline, instantiate(app)).await.unwrap_or(Err(Failure::Timeout)).map(drop)
}

async fn instantiate(app: &App) -> Result<Instance, Failure> {
    let mut store = app.store();
    let Pre::V02(pre, indices) = &app.loaded.pre else { unreachable!("run() is chosen by generation") };
    let rewindable = app.loaded.rewindable.as_ref().filter(|rewindable| rewindable.is_possible());
    let rewindable = rewindable.filter(|_| app.idle.wants_rewindable());
    let before = rewindable.map_or(0, Rewindable::before);
    let unmade = |error| match Failure::from_call(error) {
        Failure::Trap(error) => Failure::Instantiate(error),
        other => other,
    };
    let instance = pre.instantiate_async(&mut store).await.map_err(unmade)?;
    let proxy = indices.load(&mut store, &instance).map_err(unmade)?;
    let beginning = rewindable.map(|rewindable| rewindable.beginning(before, &mut store, &instance));
    let beginning = match beginning.transpose() {
        Ok(beginning) => beginning,
        Err(error) => {
            app.idle.not_put_back(app, &error);
            None
        }
    };
    if let Some(beginning) = &beginning {
        beginning.save(&mut store).await.map_err(unmade)?;
    }
    Ok(Instance { store, proxy, left: app.requests_per_instance(), answered: 0, beginning })
}
