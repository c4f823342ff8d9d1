//! What to do about the processes: a pure function of events and time.
//!
//! No clock, no system call and no randomness but a seed, so that a simulation
//! can run it through years of crashes in a second. [`super`] turns system
//! events into [`Event`]s and carries out the [`Action`]s.

mod backoff;
mod converge;
mod endings;
mod event;
#[cfg(test)]
mod simulation;

use std::collections::BTreeMap;

use backoff::Backoff;
pub use event::{Action, Event, Millis, Pid, Settings, workers};

/// A worker that ran this long had no trouble starting.
const STEADY: Millis = 10_000;

/// How long a worker or a mold may take to become ready.
const BOOT_TIMEOUT: Millis = 60_000;

/// How long a generation may take from its mold's being ready to its last
/// worker's.
const READY_TIMEOUT: Millis = 120_000;

/// How long a mold may leave an order unanswered; forking takes it a millisecond.
const ORDER_TIMEOUT: Millis = 10_000;

/// Orders a mold has at the same time: fewer than its channel holds.
const ORDERS: usize = 64;

/// How long a quick stop may take.
const QUICK: Millis = 2_000;

/// Ticks come every second; after a pause like this the whole machine stood
/// still, and silence says nothing about a worker.
const STALL: Millis = 5_000;

/// Boot failures that end a reload.
const PATIENCE: u32 = 3;

#[derive(Debug)]
struct Generation {
    number: u32,
    mold: Mold,
    settings: Settings,
    boot_failures: u32,
    /// When all its workers must be, known once its mold is.
    ready_by: Option<Millis>,
}

#[derive(Debug, PartialEq, Eq)]
enum Mold {
    Starting,
    Ready,
    Broken { retry_at: Millis },
}

#[derive(Debug)]
struct Worker {
    generation: u32,
    pid: Option<Pid>,
    state: State,
    since: Millis,
    backoff: Backoff,
    complaint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be forked, not before `until`.
    Waiting { until: Millis },
    /// Asked of the mold.
    Forking,
    /// Forked, and not yet ready.
    Booting,
    /// Serving.
    Ready,
    /// Finishing; killed at `deadline`.
    Draining { deadline: Millis },
    /// Killed; its successor takes the slot if `replace`.
    Dying { replace: bool },
}

/// The supervisor's memory.
#[derive(Debug)]
pub struct Supervisor {
    live: Option<Generation>,
    next: Option<Generation>,
    again: Option<Settings>,
    workers: BTreeMap<usize, Worker>,
    target: usize,
    generations: u32,
    stopping: Option<Millis>,
    slots: usize,
    seed: u64,
    mold_backoff: Backoff,
    mold_since: Millis,
    last_tick: Option<Millis>,
    /// Beats are not looked at before this.
    patience_until: Millis,
}

impl Supervisor {
    /// With `slots` slots to give out, and a seed for the jitter of retries.
    pub fn new(slots: usize, seed: u64) -> Self {
        Self {
            live: None,
            next: None,
            again: None,
            workers: BTreeMap::new(),
            target: 0,
            generations: 0,
            stopping: None,
            slots,
            seed: seed | 1,
            mold_backoff: Backoff::default(),
            mold_since: 0,
            last_tick: None,
            patience_until: 0,
        }
    }

    /// Processes that should hear of a signal to all workers.
    pub fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.workers.values().filter_map(|worker| worker.pid)
    }

    /// Slots that are in use.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.workers.keys().copied()
    }

    /// Workers that serve.
    pub fn ready(&self) -> usize {
        self.workers.values().filter(|worker| worker.state == State::Ready).count()
    }

    /// Takes note of `event`, and says what follows from it.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Action> {
        let mut actions = Vec::new();
        self.note(event, now, &mut actions);
        if self.stopping.is_some() {
            self.wind_down(now, &mut actions);
        } else {
            self.converge(now, &mut actions);
        }
        actions
    }

    /// When [`step`](Self::step) has something to do without any event but a tick.
    pub fn next_deadline(&self) -> Option<Millis> {
        let workers = self.workers.values().filter_map(|worker| match worker.state {
            State::Waiting { until } => {
                let possible =
                    self.mold_is_ready(worker.generation) && self.ordered(worker.generation) < ORDERS;
                possible.then_some(until)
            }
            State::Forking => Some(worker.since + ORDER_TIMEOUT),
            State::Booting => Some(worker.since + BOOT_TIMEOUT),
            State::Draining { deadline } => Some(deadline),
            State::Ready | State::Dying { .. } => None,
        });
        let molds = self.live.iter().filter_map(|generation| match generation.mold {
            Mold::Broken { retry_at } => Some(retry_at),
            Mold::Starting | Mold::Ready => None,
        });
        let next = self.next.as_ref().and_then(|next| next.ready_by);
        workers.chain(molds).chain(next).min()
    }

    fn note(&mut self, event: Event, now: Millis, actions: &mut Vec<Action>) {
        match event {
            Event::Reload(_) if self.stopping.is_some() => {}
            Event::Reload(settings) if self.next.is_some() => {
                actions.push(Action::Info("a reload is under way; another follows it".to_owned()));
                self.again = Some(settings);
            }
            Event::Reload(settings) => self.begin(settings, actions),
            Event::MoldReady(number) => {
                self.mold_since = now;
                if let Some(generation) = self.generation(number) {
                    generation.mold = Mold::Ready;
                    generation.ready_by = Some(now + READY_TIMEOUT);
                }
            }
            Event::MoldGone(number, reason) => self.mold_gone(number, &reason, now, actions),
            Event::Forked(number, index, pid) => match self.workers.get_mut(&index) {
                Some(worker) if worker.generation == number && worker.pid.is_none() => {
                    (worker.pid, worker.state, worker.since) = (Some(pid), State::Booting, now);
                }
                // Wanted once, and no longer.
                _ => actions.push(Action::KillStray(pid)),
            },
            Event::ForkFailed(number, index, reason) => {
                if let Some(worker) = self.workers.get_mut(&index)
                    && worker.generation == number
                    && worker.state == State::Forking
                {
                    let until = now + worker.backoff.next(&mut self.seed);
                    worker.state = State::Waiting { until };
                    actions.push(Action::Warn(format!("worker {index} could not be forked: {reason}")));
                    self.boot_failed(number, &reason, actions);
                }
            }
            Event::Ready(pid) => match self.find(pid).and_then(|index| self.workers.get_mut(&index)) {
                Some(worker) if worker.state == State::Booting => {
                    (worker.state, worker.since) = (State::Ready, now);
                }
                Some(_) => {}
                // Forked by a mold that was ended before it could say so.
                None => actions.push(Action::KillStray(pid)),
            },
            Event::BootFailed(pid, reason) => {
                if let Some(worker) = self.find(pid).and_then(|index| self.workers.get_mut(&index)) {
                    worker.complaint = Some(reason);
                }
            }
            Event::Exited(pid, how) => self.exited(pid, &how, now, actions),
            Event::Tick(beats) => self.tick(&beats, now, actions),
            Event::Due => {}
            Event::ScaleUp if self.target < self.slots / 2 => self.scale(self.target + 1, actions),
            Event::ScaleUp => {}
            Event::ScaleDown => self.scale(self.target.saturating_sub(1).max(1), actions),
            Event::Stop if self.stopping.is_none() => {
                self.stop(now, self.graceful_timeout(), Action::Drain, actions);
            }
            Event::Stop | Event::StopNow => self.stop(now, QUICK, Action::Quit, actions),
        }
    }

    fn begin(&mut self, settings: Settings, actions: &mut Vec<Action>) {
        self.generations += 1;
        self.next = Some(Generation {
            number: self.generations,
            mold: Mold::Starting,
            settings,
            boot_failures: 0,
            ready_by: None,
        });
        actions.push(Action::StartMold(self.generations));
    }

    fn scale(&mut self, target: usize, actions: &mut Vec<Action>) {
        if target != self.target {
            self.target = target;
            actions.push(Action::Info(format!("{} wanted", workers(target))));
        }
    }

    /// How many orders the mold of a generation has not answered.
    fn ordered(&self, number: u32) -> usize {
        let orders = self.workers.values();
        orders.filter(|worker| worker.generation == number && worker.state == State::Forking).count()
    }

    fn find(&self, pid: Pid) -> Option<usize> {
        self.workers.iter().find(|(_, worker)| worker.pid == Some(pid)).map(|(index, _)| *index)
    }

    fn generation(&mut self, number: u32) -> Option<&mut Generation> {
        [&mut self.live, &mut self.next].into_iter().flatten().find(|generation| generation.number == number)
    }

    fn mold_is_ready(&self, number: u32) -> bool {
        [&self.live, &self.next]
            .into_iter()
            .flatten()
            .any(|generation| generation.number == number && generation.mold == Mold::Ready)
    }

    fn settings(&self) -> Option<Settings> {
        self.live.as_ref().or(self.next.as_ref()).map(|generation| generation.settings)
    }

    fn graceful_timeout(&self) -> Millis {
        self.settings().map_or(QUICK, |settings| settings.graceful_timeout)
    }

    fn worker_timeout(&self) -> Millis {
        self.settings().map_or(Millis::MAX / 2, |settings| settings.worker_timeout)
    }
}
