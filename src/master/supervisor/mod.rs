//! What to do about the processes: a pure function of events and time.
//!
//! No clock, no system call and no randomness but a seed, so that a simulation
//! can run it through years of crashes in a second. [`super`] turns system
//! events into [`Event`]s and carries out the [`Action`]s.

mod backoff;
mod converge;
mod endings;
mod event;
mod look;
mod reload;
mod scaling;
#[cfg(test)]
mod simulation;
mod stop;

use std::collections::BTreeMap;

use backoff::Backoff;
pub use event::{Action, Event, Millis, Pid, Pressure, Settings, workers};
pub use look::WorkerView;
pub use scaling::Scale;

/// A worker that ran this long had no trouble starting.
const STEADY: Millis = 10_000;

/// How much longer than one worker a whole generation may take, from its mold's
/// being ready to its last worker's.
const READY_TIMEOUT: Millis = 60_000;

/// How long a mold may leave an order unanswered; forking takes it a millisecond.
const ORDER_TIMEOUT: Millis = 10_000;

/// How long an order without an answer holds up a stop, whose first step was to end
/// the mold.
const LOST_AT_STOP: Millis = 500;

/// Orders a mold has at the same time: fewer than its channel holds.
const ORDERS: usize = 64;

/// How long a quick stop may take.
const QUICK: Millis = 2_000;

/// How much later than a worker's own deadline it is killed: it ends itself
/// then, and tells what it cut.
const LAST_WORDS: Millis = 1_000;

/// After a pause like this between two looks, the whole machine stood still, and
/// silence says nothing about a worker.
const STALL: Millis = 5_000;

/// Boot failures that end a reload.
const PATIENCE: u32 = 3;

#[derive(Debug)]
struct Generation {
    number: u32,
    mold: Mold,
    settings: Settings,
    boot_failures: u32,
    /// Whether one of its workers has tried the app, and was ready then.
    is_proven: bool,
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
    /// When it is old enough to be replaced.
    expires: Option<Millis>,
    /// Whether it serves only until somebody else is ready in its place.
    is_recycled: bool,
    /// Whether it was told to let go of idle connections, too.
    is_hurried: bool,
    /// How often somebody ended in this slot who should not have, and how the
    /// last one did.
    restarts: u32,
    last_end: Option<String>,
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

/// What a master has from the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Legacy {
    /// How many workers were wanted.
    pub scale: Scale,
    /// Number of the last generation.
    pub generations: u32,
}

/// The supervisor's memory.
#[derive(Debug)]
pub struct Supervisor {
    live: Option<Generation>,
    next: Option<Generation>,
    again: Option<Settings>,
    workers: BTreeMap<usize, Worker>,
    scale: Scale,
    scaler: scaling::Scaler,
    generations: u32,
    /// When a stop that was asked for begins.
    leaving: Option<Millis>,
    stopping: Option<Millis>,
    /// Whether it stops because another master serves, and nobody has asked for it.
    has_handed_over: bool,
    /// What to leave with.
    exit_code: u8,
    /// Those of a generation that is gone already, when none is left.
    last_settings: Option<Settings>,
    slots: usize,
    seed: u64,
    /// Whether a first generation of which not all workers start is no good: somebody
    /// else still serves.
    is_heir: bool,
    mold_backoff: Backoff,
    mold_since: Millis,
    last_tick: Option<Millis>,
    /// Beats are not looked at before this.
    patience_until: Millis,
    /// When the next worker will have been silent for too long, as far as is known.
    silence_ends: Option<Millis>,
    restarts: u64,
}

impl Supervisor {
    /// With `slots` slots to give out, a seed for the jitter of retries, and what
    /// there is of a master that serves until this one does.
    pub fn new(slots: usize, seed: u64, legacy: Option<Legacy>) -> Self {
        let is_heir = legacy.is_some();
        let Legacy { scale, generations } = legacy.unwrap_or_default();
        Self {
            live: None,
            next: None,
            again: None,
            workers: BTreeMap::new(),
            scale,
            scaler: scaling::Scaler::default(),
            generations,
            leaving: None,
            stopping: None,
            has_handed_over: false,
            exit_code: 0,
            last_settings: None,
            slots,
            seed: seed | 1,
            is_heir,
            mold_backoff: Backoff::default(),
            mold_since: 0,
            last_tick: None,
            patience_until: 0,
            silence_ends: None,
            restarts: 0,
        }
    }

    /// Takes note of `event`, and says what follows from it.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Action> {
        let mut actions = Vec::new();
        self.note(event, now, &mut actions);
        if self.stopping.is_none() && self.leaving.is_some_and(|leaving| now >= leaving) {
            self.drain(now, &mut actions);
        }
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
            State::Booting => Some(worker.since + self.boot_timeout(worker.generation)),
            State::Draining { deadline } => Some(deadline),
            State::Ready => worker.expires.filter(|_| !worker.is_recycled && self.next.is_none()),
            State::Dying { .. } => worker
                .is_lost()
                .then_some(worker.since + if self.stopping.is_some() { LOST_AT_STOP } else { ORDER_TIMEOUT }),
        });
        let molds = self.live.iter().filter_map(|generation| match generation.mold {
            Mold::Broken { retry_at } => Some(retry_at),
            Mold::Starting | Mold::Ready => None,
        });
        let next = self.next.as_ref().and_then(|next| next.ready_by);
        workers.chain(molds).chain(next).chain(self.leaving).chain(self.silence_ends).min()
    }

    fn note(&mut self, event: Event, now: Millis, actions: &mut Vec<Action>) {
        let deadline = now + self.time_to_drain();
        match event {
            Event::Reload(_) if self.stopping.is_some() || self.leaving.is_some() => {}
            Event::Reload(settings) if self.next.is_some() => {
                actions.push(Action::Info("a reload is under way; another follows it".to_owned()));
                self.again = Some(settings);
            }
            Event::Reload(settings) => self.begin(settings, actions),
            Event::MoldReady(number) => {
                self.mold_since = now;
                if let Some(generation) = self.generation(number) {
                    generation.mold = Mold::Ready;
                    generation.ready_by = Some(now + generation.settings.boot_timeout + READY_TIMEOUT);
                }
            }
            Event::MoldGone(number, reason) => self.mold_gone(number, &reason, now, actions),
            Event::Forked(number, index, pid) => match self.workers.get_mut(&index) {
                Some(worker) if worker.generation == number && worker.pid.is_none() && !worker.is_lost() => {
                    (worker.pid, worker.state, worker.since) = (Some(pid), State::Booting, now);
                }
                // Wanted once, and no longer; its slot is free when it has ended.
                Some(worker) if worker.generation == number && worker.is_lost() => {
                    // It may have accepted somebody by now.
                    (worker.pid, worker.state) = (Some(pid), State::Draining { deadline });
                    actions.push(Action::Retire(pid));
                }
                _ => actions.push(Action::RetireStray(pid)),
            },
            Event::ForkFailed(number, index, reason) => {
                let lost = |worker: &Worker| worker.generation == number && worker.is_lost();
                if self.workers.get(&index).is_some_and(lost) {
                    self.workers.remove(&index);
                }
                if let Some(worker) = self.workers.get_mut(&index)
                    && worker.generation == number
                    && worker.state == State::Forking
                {
                    let until = now + worker.backoff.next(&mut self.seed);
                    worker.state = State::Waiting { until };
                    actions.push(Action::Warn(format!("worker {index} could not be forked: {reason}")));
                    self.boot_failed(number, &reason, now, actions);
                }
            }
            Event::Ready(pid) => self.became_ready(pid, now, actions),
            Event::BootFailed(pid, reason) => {
                if let Some(worker) = self.find(pid).and_then(|index| self.workers.get_mut(&index)) {
                    worker.complaint = Some(reason);
                }
            }
            Event::Exited { pid, how, is_clean } => self.exited(pid, &how, is_clean, now, actions),
            Event::Tick(beats) => self.tick(&beats, now, actions),
            Event::Load(pressure) => self.feel(pressure, now, actions),
            Event::ScaleUp => self.scale_to(self.scale.workers + 1, now, actions),
            Event::ScaleDown => self.scale_to(self.scale.workers.saturating_sub(1), now, actions),
            Event::Scale(workers) => self.scale_to(workers, now, actions),
            Event::Recycle(pid, why) => self.recycle(pid, &why, actions),
            Event::Stop if self.stopping.is_none() && self.leaving.is_none() => self.leave(now, actions),
            // The first that was meant so.
            Event::Stop if std::mem::take(&mut self.has_handed_over) => self.drain(now, actions),
            Event::Stop | Event::StopNow => self.stop(now, QUICK, Action::Quit, actions),
            Event::HandOver if self.stopping.is_some() => {}
            Event::HandOver => self.hand_over(now, actions),
        }
    }

    fn became_ready(&mut self, pid: Pid, now: Millis, actions: &mut Vec<Action>) {
        let Some(worker) = self.find(pid).and_then(|index| self.workers.get_mut(&index)) else {
            // Forked by a mold that was ended before it could say so.
            actions.push(Action::RetireStray(pid));
            return;
        };
        if worker.state != State::Booting {
            return;
        }
        (worker.state, worker.since) = (State::Ready, now);
        let number = worker.generation;
        let Some(generation) = self.generation(number) else { return };
        generation.is_proven = true;
        let lifetime = generation.settings.lifetime;
        let jitter = backoff::random(&mut self.seed);
        if let Some(worker) = self.find(pid).and_then(|index| self.workers.get_mut(&index)) {
            worker.expires = lifetime.map(|time| now + time + jitter % (time / 10 + 1));
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

    fn ready_in(&self, number: u32) -> usize {
        let workers = self.workers.values();
        workers.filter(|worker| worker.generation == number && worker.state == State::Ready).count()
    }

    fn settings(&self) -> Option<Settings> {
        let known = self.live.as_ref().or(self.next.as_ref());
        known.map(|generation| generation.settings).or(self.last_settings)
    }

    /// How long a worker has that is told to end.
    fn time_to_drain(&self) -> Millis {
        self.settings().map_or(QUICK, |settings| settings.graceful_timeout + LAST_WORDS)
    }

    fn boot_timeout(&self, number: u32) -> Millis {
        let known = [&self.live, &self.next].into_iter().flatten().find(|known| known.number == number);
        known.map_or(QUICK, |known| known.settings.boot_timeout)
    }

    fn worker_timeout(&self) -> Millis {
        self.settings().map_or(Millis::MAX / 2, |settings| settings.worker_timeout)
    }
}

impl Worker {
    /// One to be forked.
    fn new(generation: u32, now: Millis) -> Self {
        Self {
            generation,
            pid: None,
            state: State::Waiting { until: now },
            since: now,
            backoff: Backoff::default(),
            complaint: None,
            expires: None,
            is_recycled: false,
            is_hurried: false,
            restarts: 0,
            last_end: None,
        }
    }

    /// It is not wanted any more. If it was asked of a mold, its slot stays taken
    /// until it is known what came of that.
    fn lose(&mut self, now: Millis) {
        (self.state, self.since) = (State::Dying { replace: false }, now);
    }

    /// Whether it was asked of a mold, and then no longer wanted.
    fn is_lost(&self) -> bool {
        self.pid.is_none() && matches!(self.state, State::Dying { .. })
    }

    /// Whether it serves, or is to.
    fn stays(&self) -> bool {
        !matches!(self.state, State::Draining { .. } | State::Dying { replace: false })
    }
}
