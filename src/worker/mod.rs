//! A worker: one process, and one thread that serves.

mod accept;
mod access;
mod attention;
mod body;
mod burst;
mod canary;
mod connection;
mod connections;
mod drain;
mod forwarded;
mod health;
pub mod http1;
mod pause;
mod places;
mod probes;
mod request;
mod respond;
mod service;
mod throttle;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::sync::watch;

use self::attention::Attention;
use self::burst::Pace;
use self::connections::Connections;
use self::drain::{Cuts, Phase};
use self::places::Places;
use self::throttle::Throttle;
use crate::config::Recycling;
use crate::handoff::{self, Inheritance, WorkerNews, WorkerSeed};
use crate::host::{self, App, LoadedApp};
use crate::listeners::Listener;
use crate::sandbox::{self, Grants};
use crate::sys::signals::SignalQueue;
use crate::sys::{memory, process};
use crate::telemetry::{AccessLog, Slot, SlotState};

/// Freed memory that a worker keeps: buffers of bodies come and go with each request,
/// and would come as page faults.
const KEPT_BYTES: i32 = 2 << 20;

/// What every connection of a worker shares.
struct Worker {
    inheritance: Inheritance,
    index: usize,
    slot: Slot,
    pid: u32,
    apps: Vec<Arc<App>>,
    places: Places,
    connections: Connections,
    /// The number of the request with which it has answered enough.
    spent_at: AtomicU64,
    access: Option<AccessLog>,
    phase: watch::Receiver<Phase>,
    cuts: Cuts,
    pace: Arc<Pace>,
    /// Requests without a place.
    turned_away: Throttle,
    /// Connections without a descriptor.
    exhausted: Throttle,
}

/// Serves until the master says otherwise; returns the exit code.
pub fn run(seed: WorkerSeed<Vec<LoadedApp>>) -> i32 {
    let (to_master, pid) = (seed.inheritance.to_master.clone(), std::process::id());
    match boot(seed) {
        Ok(()) => 0,
        Err(error) => {
            let news = WorkerNews::Failed { pid: pid as i32, reason: handoff::reason(&error) };
            drop(to_master.send(&news));
            handoff::EXIT_FAILED
        }
    }
}

fn boot(seed: WorkerSeed<Vec<LoadedApp>>) -> Result<()> {
    let WorkerSeed { mut inheritance, between, index, is_canary, slot, apps } = seed;
    // Owned by who accepts on them, and closed with that.
    let listeners = std::mem::take(&mut inheritance.listeners);
    let health = inheritance.health.take();
    let config = inheritance.config.clone();
    // Blocked since the master blocked them; the others it knows stay so, since a
    // terminal sends them to every process of the server and the master decides.
    let signals = SignalQueue::new(&[Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2])?;
    // While it may be changed.
    sandbox::join_cgroup(inheritance.cgroup.as_ref(), &config.pool.ceiling)?;
    sandbox::assume(&config.master.identity)?;
    // After that: changing identity forgets it.
    process::die_with(inheritance.master, Some(between)).context("the master is gone")?;
    // With no more rights than when it is opened again.
    let access = config
        .log
        .access
        .as_ref()
        .map(|target| AccessLog::open(target).with_context(|| format!("--access-log {target}")))
        .transpose()?;
    sandbox::tune_limits()?;
    memory::keep_freed(KEPT_BYTES);
    host::open(&apps);
    sandbox::confine(config.sandbox, &Grants::of_worker(&config))?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let worker = runtime.block_on(async {
        let (phase, told) = watch::channel(Phase::Serving);
        let apps = host::start(apps, config.http.response_buffer)?;
        let crowd = apps.clone();
        let worker = Arc::new(Worker {
            index,
            slot,
            pid: std::process::id(),
            apps,
            places: Places::new(&config.pool, slot),
            connections: Connections::new(config.pool.max_connections),
            spent_at: AtomicU64::new(spent_at(&config.pool.recycling, slot.requests())),
            access,
            phase: told,
            cuts: Cuts::default(),
            pace: Arc::new(Pace::new(move || crowd.iter().any(|app| app.is_crowded()))),
            turned_away: Throttle::default(),
            exhausted: Throttle::default(),
            inheritance,
        });
        worker.slot.claim(worker.pid);
        let attention = Attention::new(&worker, signals, phase)?;
        serve(&worker, listeners, health, attention, is_canary).await.map(|()| worker)
    })?;
    // What is still in flight ends here, and says so. A guest's blocking file access
    // may outlive that; nobody waits for it.
    worker.settle_accounts();
    runtime.shutdown_background();
    worker.cuts.finish();
    Ok(())
}

async fn serve(
    worker: &Arc<Worker>,
    listeners: Vec<Arc<Listener>>,
    health: Option<Arc<Listener>>,
    mut attention: Attention,
    is_canary: bool,
) -> Result<()> {
    if is_canary {
        let mut phase = worker.phase.clone();
        let tried = attention.beside(worker, async {
            tokio::select! {
                tried = canary::try_all(worker) => Some(tried),
                () = drain::begins(&mut phase) => None,
            }
        });
        match tried.await?.flatten() {
            Some(tried) => tried?,
            // Told to end before it has begun.
            None => return Ok(()),
        }
    }
    health.map(|listener| probes::start(worker, listener)).transpose()?;
    let accepting = accept::start(worker, listeners)?;
    worker.slot.set_state(SlotState::Accepting);
    worker.inheritance.to_master.send(&WorkerNews::Ready(worker.pid as i32))?;
    let finished = async {
        // Every acceptor has stopped, and every connection is closed.
        accepting.await;
        // What a guest still does after its response is part of its request.
        worker.places.all_free().await;
    };
    attention.beside(worker, finished).await.map(drop)
}

/// The number of the last request of a worker that begins behind request number
/// `before` of its slot.
fn spent_at(recycling: &Recycling, before: u64) -> u64 {
    if recycling.max_requests == 0 {
        return u64::MAX;
    }
    // Workers of one mold are born with the same seeds; what tells them apart is
    // who they are.
    let random = RandomState::new().hash_one(std::process::id());
    before + recycling.max_requests + random % (recycling.max_requests_jitter + 1)
}

impl Worker {
    /// Counts a request; its number in this slot.
    fn request_began(&self) -> u64 {
        let number = self.slot.request_began();
        if number >= self.spent_at.load(Relaxed) {
            self.tell_spent();
        }
        number
    }

    /// Tells the master that this worker has answered enough, once; what finds no
    /// room in the channel is said again with the next request.
    #[cold]
    fn tell_spent(&self) {
        if self.inheritance.to_master.offer(&WorkerNews::Spent(self.pid as i32)).is_ok() {
            self.spent_at.store(u64::MAX, Relaxed);
        }
    }

    /// Has the master replace this worker, to which somebody else has sent a signal.
    fn ask_to_leave(&self, sender: Pid) {
        tracing::warn!(
            "process {sender} tells worker {} to end; it does once another one is ready",
            self.index
        );
        // Without room in the channel the sender has to ask again.
        drop(self.inheritance.to_master.offer(&WorkerNews::Leaving(self.pid as i32)));
    }

    /// Puts what the apps have used on the board.
    fn settle_accounts(&self) {
        for app in &self.apps {
            let (processor, outbound) = app.take_totals();
            self.slot.used(processor, outbound.into());
        }
    }

    /// Logs how many requests were turned away without a line of their own.
    fn tell_untold(&self) {
        self.turned_away.catch_up(|untold| {
            tracing::warn!(untold, "requests found no place (--max-concurrency, --queue, --queue-timeout)");
        });
    }

    fn reopen(&self) {
        if let Some(Err(error)) = self.access.as_ref().map(AccessLog::reopen) {
            tracing::error!("the access log cannot be opened again, and goes on into the old file: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_worker_is_spent_after_its_own_requests_and_a_random_number_more() {
        let recycling = Recycling { max_requests: 100, max_requests_jitter: 10, ..Recycling::default() };
        let ends: BTreeSet<_> = (0..1_000).map(|_| spent_at(&recycling, 5_000)).collect();
        assert_eq!((ends.len(), ends.first(), ends.last()), (11, Some(&5_100), Some(&5_110)));
        assert_eq!(spent_at(&Recycling { max_requests: 7, ..Recycling::default() }, 3), 10);
        assert_eq!(spent_at(&Recycling::default(), 5_000), u64::MAX);
    }
}
