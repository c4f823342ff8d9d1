//! What the rest of the master may see of the processes.

use super::{Millis, Pid, State, Supervisor};
use crate::telemetry::{ServerState, Standing};

/// A slot that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// Which.
    pub slot: usize,
    /// Of the process in it, if there is one.
    pub pid: Option<Pid>,
    /// Its generation.
    pub generation: u32,
    /// `waiting`, `forking`, `booting`, `ready`, `recycling`, `draining` or `dying`.
    pub state: &'static str,
    /// Since when it is in that state.
    pub since: Millis,
    /// How often somebody ended in the slot who should not have.
    pub restarts: u32,
    /// How the last one did.
    pub last_end: Option<String>,
}

impl Supervisor {
    /// Processes that should hear of a signal to all workers.
    pub fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.workers.values().filter_map(|worker| worker.pid)
    }

    /// Slots that are in use.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.workers.keys().copied()
    }

    /// The slot of a process.
    pub fn slot_of(&self, pid: Pid) -> Option<usize> {
        self.find(pid)
    }

    /// The workers that serve.
    pub fn serving(&self) -> impl Iterator<Item = (usize, Pid)> + '_ {
        let ready = self.workers.iter().filter(|(_, worker)| worker.state == State::Ready);
        ready.filter_map(|(slot, worker)| Some((*slot, worker.pid?)))
    }

    /// How many workers serve.
    pub fn ready(&self) -> usize {
        self.workers.values().filter(|worker| worker.state == State::Ready).count()
    }

    /// Workers that ended and should not have.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The generation that serves.
    pub fn live(&self) -> Option<u32> {
        self.live.as_ref().map(|live| live.number)
    }

    /// Whether a generation is coming up.
    pub fn is_reloading(&self) -> bool {
        self.next.is_some()
    }

    /// The bounds between which the load decides, if it does.
    pub fn range(&self) -> Option<(usize, usize)> {
        let settings = self.live.as_ref()?.settings;
        (settings.workers < settings.most).then_some((settings.workers, settings.most))
    }

    /// How the server is as a whole.
    pub fn standing(&self) -> Standing {
        let coming = self.next.as_ref().map(|next| self.scale.under(&next.settings));
        let wanted = if self.live.is_some() || self.stopping.is_some() {
            self.scale.workers
        } else {
            coming.unwrap_or(0)
        };
        let ready = self.ready();
        let state = match &self.live {
            _ if self.stopping.is_some() || self.leaving.is_some() => ServerState::Stopping,
            None => ServerState::Starting,
            Some(_) if ready < wanted => ServerState::Degraded,
            Some(_) => ServerState::Ready,
        };
        Standing { state, ready: ready as u64, wanted: wanted as u64 }
    }

    /// Every slot that is in use.
    pub fn views(&self) -> impl Iterator<Item = WorkerView> + '_ {
        self.workers.iter().map(|(slot, worker)| WorkerView {
            slot: *slot,
            pid: worker.pid,
            generation: worker.generation,
            state: match worker.state {
                State::Waiting { .. } => "waiting",
                State::Forking => "forking",
                State::Booting => "booting",
                State::Ready if worker.is_recycled => "recycling",
                State::Ready => "ready",
                State::Draining { .. } => "draining",
                State::Dying { .. } => "dying",
            },
            since: worker.since,
            restarts: worker.restarts,
            last_end: worker.last_end.clone(),
        })
    }
}
