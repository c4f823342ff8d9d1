//! A worker: one process, one thread that serves, one runtime.

mod accept;
mod access;
mod body;
mod connection;
mod forwarded;
pub mod http1;
mod request;
mod respond;
mod service;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tokio::sync::{Notify, Semaphore, watch};

use crate::handoff::{self, Inheritance, WorkerNews, WorkerSeed};
use crate::host::{self, App, LoadedApp};
use crate::listeners::Listener;
use crate::sandbox;
use crate::sys::signals::SignalQueue;
use crate::sys::{fd, process};
use crate::telemetry::{AccessLog, Slot, SlotState};

/// How often a worker says that its loop runs, unless `--worker-timeout` is so
/// short that this would look like silence; the master looks every second.
const BEAT: Duration = Duration::from_secs(1);

/// What a worker does, by what the master has told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It accepts and answers.
    Serving,
    /// It finishes what it has; others accept what waits.
    Retiring,
    /// It accepts what waits, and finishes all that.
    Stopping,
}

/// What every connection of a worker shares.
struct Worker {
    inheritance: Inheritance,
    index: usize,
    slot: Slot,
    pid: u32,
    apps: Vec<Arc<App>>,
    permits: Arc<Semaphore>,
    /// Of these, what requests may take whose body is still coming, so that slow
    /// clients do not take the places of all others.
    streaming: Arc<Semaphore>,
    /// Connections that were accepted and are about to ask for a permit.
    fresh: AtomicUsize,
    /// One of them has got it, or is gone.
    settled: Notify,
    access: Option<AccessLog>,
    phase: watch::Receiver<Phase>,
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
    let WorkerSeed { mut inheritance, between, index, slot, apps } = seed;
    // Owned by who accepts on them, and closed with that.
    let listeners = std::mem::take(&mut inheritance.listeners);
    let config = inheritance.config.clone();
    // Blocked since the master blocked them; the others it knows stay so, since a
    // terminal sends them to every process of the server and the master decides.
    let signals = SignalQueue::new(&[Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2])?;
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

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (phase, told) = watch::channel(Phase::Serving);
        let worker = Arc::new(Worker {
            index,
            slot,
            pid: std::process::id(),
            apps: host::start(apps, config.http.response_buffer)?,
            permits: Arc::new(Semaphore::new(config.pool.max_concurrency)),
            streaming: Arc::new(Semaphore::new(config.pool.max_concurrency.div_ceil(2))),
            fresh: AtomicUsize::new(0),
            settled: Notify::new(),
            access,
            phase: told,
            inheritance,
        });
        serve(&worker, listeners, signals, &phase).await
    })?;
    // A guest's blocking file access may outlive the drain; nobody waits for it.
    runtime.shutdown_background();
    Ok(())
}

async fn serve(
    worker: &Arc<Worker>,
    listeners: Vec<Arc<Listener>>,
    signals: SignalQueue,
    phase: &watch::Sender<Phase>,
) -> Result<()> {
    worker.slot.claim(worker.pid);
    let accepting = accept::start(worker, listeners)?;
    worker.slot.set_state(SlotState::Accepting);
    worker.inheritance.to_master.send(&WorkerNews::Ready(worker.pid as i32))?;

    let signals = fd::watch(signals)?;
    let config = &worker.inheritance.config;
    let mut beat = tokio::time::interval(BEAT.min(config.master.worker_timeout / 4));
    let mut finished = std::pin::pin!(async {
        accepting.await;
        // What a guest still does after its response is part of its request.
        drop(worker.permits.acquire_many(config.pool.max_concurrency as u32).await);
    });
    loop {
        tokio::select! {
            _ = beat.tick() => worker.slot.beat(),
            // Every acceptor has stopped, every connection is closed, every guest done.
            () = &mut finished => return Ok(()),
            ready = signals.readable() => {
                let mut ready = ready?;
                while let Some(signal) = signals.get_ref().next()? {
                    match signal {
                        Signal::SIGTERM | Signal::SIGUSR2 => {
                            worker.slot.set_state(SlotState::Draining);
                            let is_last = signal == Signal::SIGTERM;
                            phase.send_replace(if is_last { Phase::Stopping } else { Phase::Retiring });
                        }
                        Signal::SIGUSR1 => worker.reopen(),
                        // QUIT: at once, whatever is in flight.
                        _ => return Ok(()),
                    }
                }
                ready.clear_ready();
            }
        }
    }
}

/// Ends when the master wants no new requests here, or is gone.
async fn drain_begins(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase != Phase::Serving).await);
}

impl Worker {
    fn reopen(&self) {
        if let Some(Err(error)) = self.access.as_ref().map(AccessLog::reopen) {
            tracing::error!("the access log cannot be opened again, and goes on into the old file: {error}");
        }
    }
}
