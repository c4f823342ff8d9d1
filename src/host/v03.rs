//! Answering with a 0.3 component: an instance runs an event loop of its own,
//! in which one request or several are worked on at the same time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout_at};
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::p3::Request as GuestRequest;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiHttpView, p3};

use super::app::{App, Call, Request};
use super::eager::eagerly;
use super::failure::Failure;
use super::guest::Guest;
use super::load::Pre;
use super::outgoing::Answer;
use super::seat::Seat;
use super::ticker::SLICE;
use super::usage::within;

/// A request on its way into an instance.
pub(super) struct Job {
    pub request: Request,
    pub call: Call,
    pub answer: Answer,
}

/// The instances that take further requests.
pub(super) type Reusable = Mutex<Vec<Arc<Seat>>>;

/// Sends the job to an instance that has room, or gives it back.
pub(super) fn offer(reusable: &Reusable, job: Job, concurrency: usize) -> Option<Job> {
    let mut seats = reusable.lock().unwrap_or_else(PoisonError::into_inner);
    seats.retain(|seat| seat.is_open());
    seats.iter().try_fold(job, |job, seat| seat.offer(job, concurrency))
}

/// An instance for one request.
pub(super) async fn run_once(app: Arc<App>, job: Job) {
    run(app, job, None).await;
}

/// A new instance that begins with `job` and takes more.
pub(super) fn spawn_reusable(app: &Arc<App>, job: Job) {
    let seat = Arc::new(Seat::new(app.requests_per_instance()));
    app.reusable.lock().unwrap_or_else(PoisonError::into_inner).push(seat.clone());
    tokio::spawn(run(app.clone(), job, Some(seat)));
}

async fn run(app: Arc<App>, mut first: Job, seat: Option<Arc<Seat>>) {
    let mut store = app.store();
    let made = within(&app, &first.call, instantiate(&app, &mut store)).await;
    match made {
        Ok(service) => {
            let running = Active::default();
            let ended = live(&app, &mut store, &service, first, seat.as_deref(), &running).await;
            let ended = ended.map_err(|failure| store.data().explain(failure));
            drop(store);
            if let Err(failure) = ended
                && running.fail_all(&failure) == 0
            {
                tracing::debug!(app = app.loaded.config.name, "after its responses, an instance: {failure}");
            }
        }
        Err(failure) => drop(first.answer.fail(failure)),
    }
    // Sent to it, and not taken before it ended.
    seat.iter().flat_map(|seat| seat.close()).for_each(|job| app.dispatch(job));
}

/// Makes an instance and drops it.
pub(super) async fn try_instance(app: &App, deadline: Instant) -> Result<(), Failure> {
    let mut store = app.store();
    let made = timeout_at(deadline, instantiate(app, &mut store)).await;
    made.unwrap_or(Err(Failure::Timeout)).map(drop)
}

async fn instantiate(app: &App, store: &mut Store<Guest>) -> Result<Service, Failure> {
    let Pre::V03(pre) = &app.loaded.pre else { unreachable!("run() is chosen by generation") };
    let _ticking = app.ticker.run();
    pre.instantiate_async(store).await.map_err(|error| match Failure::from_call(error) {
        Failure::Trap(error) => Failure::Instantiate(error),
        other => other,
    })
}

/// The instance's life, from its first request to its end; an error is what the
/// requests that it still had are to be told.
async fn live(
    app: &Arc<App>,
    store: &mut Store<Guest>,
    service: &Service,
    first: Job,
    seat: Option<&Seat>,
    running: &Active,
) -> Result<(), Failure> {
    let after = app.config().post_return_timeout;
    let work =
        store.run_concurrent(async |accessor| work(accessor, service, first, seat, running, after).await);
    let mut work = pin!(work);
    let mut work = pin!(eagerly(poll_fn(|cx| {
        seat.inspect(|seat| seat.expect_answer());
        work.as_mut().poll(cx)
    })));
    // Outside of the instance's own loop, which a busy guest can hold up.
    let mut limit = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        // For each poll, not for the instance's life: it may be idle in
        // between, and what it does in the background must be interrupted.
        let _ticking = app.ticker.run();
        let turn = app.ticker.turn();
        let polled = work.as_mut().poll(cx);
        let over = running.spend(app.ticker.spent(turn), app);
        if let Poll::Ready(result) = polled {
            return Poll::Ready(result.map_err(Failure::from_call));
        }
        if over {
            return Poll::Ready(Err(Failure::CpuLimit));
        }
        let answers = seat.is_some_and(Seat::answers);
        if !answers {
            // What waits for a guest that computes is better off elsewhere.
            seat.iter().flat_map(|seat| seat.withdraw()).for_each(|job| app.dispatch(job));
        }
        if running.are_all_abandoned(cx) {
            return Poll::Ready(Ok(()));
        }
        let Some(deadline) = running.deadline(answers) else { return Poll::Pending };
        if limit.deadline() != deadline {
            limit.as_mut().reset(deadline);
        }
        limit.as_mut().poll(cx).map(|()| Err(Failure::Timeout))
    })
    .await
}

/// Requests are taken as they come until the instance has had enough, then what
/// the guest still does in the background is waited for.
async fn work(
    accessor: &Accessor<Guest>,
    service: &Service,
    first: Job,
    seat: Option<&Seat>,
    running: &Active,
    after: Duration,
) {
    let mut active = FuturesUnordered::new();
    active.push(serve(accessor, service, first, seat, running));
    loop {
        tokio::select! {
            biased;
            Some(()) = active.next() => {}
            Some(job) = next_job(seat) => active.push(serve(accessor, service, job, seat, running)),
            else => break,
        }
    }
    running.close(after);
    poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
}

async fn next_job(seat: Option<&Seat>) -> Option<Job> {
    let seat = seat?;
    poll_fn(|cx| seat.poll_job(cx)).await
}

async fn serve(
    accessor: &Accessor<Guest>,
    service: &Service,
    job: Job,
    seat: Option<&Seat>,
    running: &Active,
) {
    let Job { request, call, answer } = job;
    let (id, deadline) = (call.id.clone(), call.deadline);
    accessor.with(|mut store| {
        store.data_mut().begin(&call);
        // Its last one is long past, if it has waited for this request.
        store.as_context_mut().set_epoch_deadline(SLICE);
    });
    let owed = running.enter(answer, call);
    let mut exchange = pin!(exchange(accessor, service, request, &owed));
    let ended = match seat {
        // Alone in its instance: the limit outside is enough.
        None => exchange.await,
        Some(seat) => {
            let ended = match timeout_at(deadline, exchange.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    // The others in here may finish; the call goes on, since
                    // nothing can stop it but the end of the instance.
                    seat.retire();
                    owed.fail(Failure::Timeout);
                    exchange.await
                }
            };
            seat.leave();
            if ended.is_err() || !accessor.with(|mut store| store.data_mut().has_room()) {
                seat.retire();
            }
            ended
        }
    };
    if let Err(failure) = ended {
        let failure = accessor.with(|mut store| store.data_mut().explain(failure));
        let text = failure.to_string();
        if !owed.fail(failure) {
            tracing::debug!(request = &*id, "after the response: {text}");
        }
    }
    // The last one's permit stays with the instance, whose place in the pool is
    // taken until it is gone.
    let last = seat.is_none_or(|seat| !seat.is_open());
    running.leave(&owed, last);
}

async fn exchange(
    accessor: &Accessor<Guest>,
    service: &Service,
    request: Request,
    owed: &Owed,
) -> Result<(), Failure> {
    let unmade = |error: wasmtime::Error| Failure::Instantiate(Arc::new(error));
    let (request, request_read) = accessor
        .with(|mut store| {
            let view = store.data_mut().http();
            let (request, read) = GuestRequest::from_http(view.hooks, request);
            // Boxed, since its type would borrow the store.
            let read: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(read);
            view.table.push(request).map(|request| (request, read))
        })
        .map_err(|error| unmade(error.into()))?;
    let response = service
        .wasi_http_handler()
        .call_handle(accessor, request)
        .await
        .map_err(Failure::from_call)?
        .map_err(|code| Failure::from_code(&code))?;
    let response = accessor.with(|mut store| {
        let response: p3::Response = store.data_mut().http().table.delete(response)?;
        response.into_http_with_getter(&mut store, request_read, WasiHttpView::http)
    });
    let (parts, mut body) = response.map_err(unmade)?.into_parts();
    owed.lock().head(parts);
    let pumped = poll_fn(|cx| owed.lock().pump(&mut body, cx)).await;
    pumped.map_err(|error| {
        tracing::debug!("response body: {error}");
        Failure::Incomplete
    })
}

/// The answers that an instance owes, kept where its end can reach them: what
/// runs inside of it is gone by then.
#[derive(Default)]
struct Active(Mutex<ActiveState>);

#[derive(Default)]
struct ActiveState {
    owed: Vec<Arc<Owed>>,
    /// The last to leave, for its permit.
    kept: Option<Arc<Owed>>,
    /// No further requests; what runs on is work after the responses.
    closing: bool,
    /// When the request that may take longest has to be over.
    latest: Option<Instant>,
    /// Time on the processor since the instance owes nothing.
    idling: Duration,
}

struct Owed {
    answer: Mutex<Answer>,
    /// Held until the request has ended, for its permit and its account.
    call: Call,
}

impl Active {
    fn lock(&self) -> MutexGuard<'_, ActiveState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, answer: Answer, call: Call) -> Arc<Owed> {
        let mut state = self.lock();
        state.latest = state.latest.max(Some(call.deadline));
        state.idling = Duration::ZERO;
        let owed = Arc::new(Owed { answer: Mutex::new(answer), call });
        state.owed.push(owed.clone());
        owed
    }

    fn leave(&self, owed: &Arc<Owed>, keep_permit: bool) {
        let mut state = self.lock();
        state.owed.retain(|other| !Arc::ptr_eq(owed, other));
        if keep_permit {
            state.kept = Some(owed.clone());
        }
    }

    /// No more requests come; what the guest still does may take this long.
    fn close(&self, after: Duration) {
        let mut state = self.lock();
        (state.closing, state.latest) = (true, Some(Instant::now() + after));
    }

    /// Puts a turn down to the requests that the instance works on, in equal parts;
    /// whether one of them is over its limit, or the instance, in which it works on none.
    fn spend(&self, time: Duration, app: &App) -> bool {
        let mut state = self.lock();
        app.totals.spend(time);
        if state.owed.is_empty() && !state.closing {
            state.idling += time;
            if state.idling > app.config().post_return_timeout {
                return true;
            }
        }
        let part = time / state.owed.len().max(1) as u32;
        let all = state.owed.iter().chain(state.kept.iter().filter(|_| state.owed.is_empty()));
        all.fold(false, |over, owed| {
            owed.call.usage.spend(part);
            over | app.is_over_cpu_limit(&owed.call.usage)
        })
    }

    /// When the instance has to be over; never, while it has none and its loop
    /// answers: what goes on without that is the guest's, after its responses.
    fn deadline(&self, answers: bool) -> Option<Instant> {
        let state = self.lock();
        if state.owed.is_empty() && !state.closing && answers { None } else { state.latest }
    }

    /// Whether nobody wants any of the answers it owes; if not, `cx` is woken when
    /// one more is not wanted.
    fn are_all_abandoned(&self, cx: &mut Context<'_>) -> bool {
        let state = self.lock();
        // Each is asked, so that each wakes.
        let wanted = state.owed.iter().filter(|owed| owed.lock().poll_abandoned(cx).is_pending()).count();
        wanted == 0 && !state.owed.is_empty()
    }

    /// Tells all requests that it still has; how many that were.
    fn fail_all(&self, failure: &Failure) -> usize {
        let owed = std::mem::take(&mut self.lock().owed);
        for owed in &owed {
            owed.fail(failure.clone());
        }
        owed.len()
    }
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, failure: Failure) -> bool {
        self.lock().fail(failure)
    }
}
