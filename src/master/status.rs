//! How the server is, for `wasgun ctl status`.

use super::Master;
use super::generation::Sockets;
use super::supervisor::WorkerView;
use crate::control::{Status, WorkerStatus};
use crate::sys::{clock, process};
use crate::telemetry::ServerState;

impl Master {
    pub(super) fn status(&self) -> Status {
        let now = clock::monotonic_ms();
        let standing = self.supervisor.standing();
        let workers: Vec<_> = self.supervisor.views().map(|view| self.worker_status(view, now)).collect();
        let sum = |part: fn(&WorkerStatus) -> u64| workers.iter().map(part).sum();
        let live = self.generations.first();
        let account = self.board.account();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id() as i32,
            uptime_ms: now.saturating_sub(self.started),
            state: match standing.state {
                ServerState::Stopping => "stopping",
                _ if self.upgrade.is_some() => "upgrading",
                ServerState::Starting => "starting",
                _ if self.supervisor.is_reloading() => "reloading",
                ServerState::Degraded => "degraded",
                ServerState::Ready => "ready",
            }
            .to_owned(),
            generation: self.supervisor.live().or(live.map(|live| live.number)).unwrap_or(0),
            previous: self.past.as_ref().filter(|_| !self.stopping).map(|past| past.number),
            app: live.map(super::Generation::shown).unwrap_or_default(),
            workers_wanted: standing.wanted as usize,
            workers_ready: standing.ready as usize,
            scaling: self.supervisor.range(),
            listeners: live.map(|live| shown(live.sockets())).unwrap_or_default(),
            requests: self.count_before(),
            app_cpu_ms: account.processor_us / 1_000,
            received: account.received,
            sent: account.sent,
            outbound: account.outbound,
            in_flight: sum(|worker| worker.in_flight),
            waiting: self.supervisor.indices().map(|slot| self.board.slot(slot).waiting()).sum(),
            connections: sum(|worker| worker.connections),
            restarts: self.supervisor.restarts(),
            imbalance: imbalance(&workers),
            last_change: self.last_change.clone(),
            workers,
        }
    }

    fn worker_status(&self, view: WorkerView, now: u64) -> WorkerStatus {
        let slot = self.board.slot(view.slot);
        let load = slot.load();
        WorkerStatus {
            slot: view.slot,
            pid: view.pid,
            generation: view.generation,
            state: view.state.to_owned(),
            age_ms: now.saturating_sub(view.since),
            requests: slot.served(),
            // Those that wait for a place have none yet.
            in_flight: load.in_flight.saturating_sub(slot.waiting()),
            connections: load.connections,
            restarts: view.restarts,
            last_end: view.last_end,
            pss: view.pid.and_then(process::proportional_memory),
            cpu_ms: view.pid.and_then(process::processor_time_ms),
            beat_age_ms: view.pid.map(|_| now.saturating_sub(slot.last_beat())),
        }
    }
}

fn shown(sockets: &Sockets) -> Vec<String> {
    let serving = sockets.serving.iter().map(|listener| listener.shown().to_owned());
    serving.chain(sockets.health.iter().map(|listener| format!("{} (health)", listener.shown()))).collect()
}

/// By how much the worker with the most connections has more than the mean.
fn imbalance(workers: &[WorkerStatus]) -> Option<f64> {
    let serving = workers.iter().filter(|worker| worker.state == "ready");
    let connections: Vec<u64> = serving.map(|worker| worker.connections).collect();
    let (most, all) = (*connections.iter().max()?, connections.iter().sum::<u64>());
    (all > 0).then(|| most as f64 * connections.len() as f64 / all as f64)
}
