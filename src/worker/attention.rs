//! What a worker does beside its work: it shows that it lives, and does what the
//! master tells it.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Worker;
use super::drain::Phase;
use super::pause::Pause;
use crate::config::{LogConfig, LogLevel};
use crate::sys::fd;
use crate::sys::memory;
use crate::sys::signals::SignalQueue;
use crate::telemetry::{self, SlotState};

/// How often a worker says that its loop runs, unless `--worker-timeout` is so
/// short that this would look like silence; the master looks every second.
const BEAT: Duration = Duration::from_secs(1);

/// The master's word, and the clock.
pub(super) struct Attention {
    signals: AsyncFd<SignalQueue>,
    beat: Pause,
    phase: watch::Sender<Phase>,
    /// What the operator has set since the worker was forked.
    level: Option<LogLevel>,
    /// Requests that there were when it last looked.
    requests: u64,
    /// There have been none since, and what was kept for them is given back.
    resting: bool,
    graceful: Duration,
    /// When what is still in flight is cut.
    deadline: Option<Instant>,
}

impl Attention {
    /// Before the worker does anything that takes time.
    ///
    /// # Errors
    /// The signals, or a timer, cannot be registered.
    pub fn new(worker: &Worker, signals: SignalQueue, phase: watch::Sender<Phase>) -> Result<Self> {
        let master = &worker.inheritance.config.master;
        Ok(Self {
            signals: fd::watch(signals)?,
            beat: Pause::every(BEAT.min(master.worker_timeout / 4))?,
            phase,
            level: None,
            requests: 0,
            resting: false,
            graceful: master.graceful_timeout,
            deadline: None,
        })
    }

    /// Logs as the master says, if that has changed.
    fn set_level(&mut self, worker: &Worker) {
        let level = worker.inheritance.board.level();
        if std::mem::replace(&mut self.level, level) != level {
            let log = &worker.inheritance.config.log;
            telemetry::init_log(&LogConfig { level: level.unwrap_or(log.level), ..log.clone() });
        }
    }

    /// Has the apps give back what they keep for more, when there was no request since
    /// the last look.
    fn rest(&mut self, worker: &Worker) {
        let requests = worker.slot.requests();
        let is_quiet = requests == self.requests && worker.slot.load().in_flight == 0;
        if is_quiet && !self.resting {
            worker.apps.iter().for_each(|app| app.rest());
            memory::give_back_freed();
        }
        (self.requests, self.resting) = (requests, is_quiet);
    }

    /// Runs `work` to its end. `None`: it is cut, since the master has no patience,
    /// or has had it.
    ///
    /// # Errors
    /// The signals or the timer cannot be read.
    pub async fn beside<T>(&mut self, worker: &Worker, work: impl Future<Output = T>) -> Result<Option<T>> {
        let mut work = std::pin::pin!(work);
        loop {
            let late = async {
                match self.deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                beat = self.beat.expired() => {
                    beat?;
                    worker.slot.beat();
                    worker.settle_accounts();
                    self.rest(worker);
                    worker.tell_untold();
                    self.set_level(worker);
                }
                done = &mut work => return Ok(Some(done)),
                () = late => {
                    worker.cuts.begin("cut at --graceful-timeout");
                    return Ok(None);
                }
                ready = self.signals.readable() => {
                    let mut ready = ready?;
                    while let Some((signal, sender)) = ready.get_inner().next_from()? {
                        match signal {
                            // Nobody would take its place before it is gone.
                            Signal::SIGTERM | Signal::SIGUSR2 if sender != worker.inheritance.master => {
                                worker.ask_to_leave(sender);
                            }
                            Signal::SIGTERM | Signal::SIGUSR2 => {
                                worker.slot.set_state(SlotState::Draining);
                                let is_last = signal == Signal::SIGTERM;
                                self.phase.send_replace(if is_last { Phase::Stopping } else { Phase::Retiring });
                                // Asking again does not give more time.
                                let deadline = Instant::now().checked_add(self.graceful);
                                self.deadline = self.deadline.or(deadline);
                            }
                            Signal::SIGUSR1 => worker.reopen(),
                            // QUIT: at once, whatever is in flight.
                            _ => {
                                worker.cuts.begin("cut by a quick stop");
                                return Ok(None);
                            }
                        }
                    }
                    ready.clear_ready();
                }
            }
        }
    }
}
