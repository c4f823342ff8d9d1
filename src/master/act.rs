//! What the supervisor decides, done.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::Master;
use super::generation::Generation;
use super::reload::Past;
use super::supervisor::{self, Action, Event, Millis};
use crate::control::Reply;
use crate::sys::{clock, process};
use crate::telemetry;

impl Master {
    /// Has the supervisor look at `events`, and does what it says.
    pub(super) fn decide(&mut self, events: &mut Vec<Event>) {
        let mut queue: VecDeque<_> = events.drain(..).collect();
        while let Some(event) = queue.pop_front() {
            let now = clock::monotonic_ms();
            for action in self.supervisor.step(event, now) {
                self.act(action, now, &mut queue);
            }
        }
        self.tell_standing();
    }

    fn act(&mut self, action: Action, now: Millis, events: &mut VecDeque<Event>) {
        match action {
            Action::StartMold(number) => {
                let started = self.generation(number).and_then(|generation| generation.start_mold(now));
                if let Err(error) = started {
                    events.push_back(Event::MoldGone(number, format!("{error:#}")));
                }
            }
            Action::StopMold(number) => {
                for generation in self.generations.iter_mut().filter(|generation| generation.number == number)
                {
                    generation.stop();
                }
            }
            Action::Fork { generation: number, slot, is_canary } => {
                if let Some(generation) =
                    self.generations.iter().find(|generation| generation.number == number)
                {
                    generation.fork(slot, is_canary);
                }
            }
            Action::Drain(pid) => process::send_signal(pid, Signal::SIGTERM),
            Action::Retire(pid) => process::send_signal(pid, Signal::SIGUSR2),
            Action::Quit(pid) => process::send_signal(pid, Signal::SIGQUIT),
            Action::Kill(pid) => process::send_signal(pid, Signal::SIGKILL),
            // Whoever speaks for a worker may say any number: only a child of
            // this process is ended on such a word.
            Action::RetireStray(pid) if process::parent(pid) == Some(Pid::this()) => {
                process::send_signal(pid, Signal::SIGUSR2);
            }
            Action::RetireStray(_) => {}
            Action::Release(index) => self.board.slot(index).release(),
            Action::Live(number) => self.live(number, now),
            Action::Abandoned(number, reason) => self.abandoned(number, &reason),
            Action::StopListening => self.stop_listening(),
            Action::Info(text) => tracing::info!("{text}"),
            Action::Warn(text) => tracing::warn!("{text}"),
            Action::Exit(code) => self.exit = Some(self.exit.unwrap_or(code)),
        }
    }

    /// The generation `number`, made of the pending configuration if it is new.
    fn generation(&mut self, number: u32) -> Result<&mut Generation> {
        if let Some(at) = self.generations.iter().position(|generation| generation.number == number) {
            return Ok(&mut self.generations[at]);
        }
        let pending = self.pending.take().context("there is no configuration for it")?;
        let (cgroup, to_master) = (self.cgroup.clone(), self.to_master.clone());
        let generation = Generation::new(number, pending, self.board, cgroup, to_master, self.roles);
        self.generations.push(generation);
        Ok(self.generations.last_mut().expect("just pushed"))
    }

    fn live(&mut self, number: u32, now: Millis) {
        let Some(at) = self.generations.iter().position(|generation| generation.number == number) else {
            return;
        };
        let mut now_live = self.generations.remove(at);
        telemetry::init_log(&now_live.config().log);
        self.board.set_level(None);
        let count = supervisor::workers(self.supervisor.scale().workers);
        let took = now.saturating_sub(now_live.asked_at) as f64 / 1000.0;
        tracing::info!("ready: generation {number}, {count}, after {took:.2} s");
        let text = format!("generation {number} serves with {count}, after {took:.2} s");
        for client in now_live.askers.drain(..) {
            self.answer(client, &Reply::done(&text));
        }
        self.rounds.watch(now_live.watch.take());
        // A later reload may already be on its way.
        let (coming, retired): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.generations).into_iter().partition(|other| other.number > number);
        self.generations = coming;
        self.generations.insert(0, now_live);
        retired.iter().for_each(|generation| self.unlink_unused(generation.sockets()));
        if let Some(before) = retired.into_iter().last() {
            self.past = Some(Past::of(&before));
        }
        self.changed(text);
        self.first_live();
    }

    /// Somebody serves: whoever waits for that hears of it.
    fn first_live(&mut self) {
        if let Some(launcher) = self.launcher.take() {
            super::daemon::let_go(&launcher);
        }
        self.succeed();
    }

    fn abandoned(&mut self, number: u32, reason: &str) {
        let (given_up, kept) = std::mem::take(&mut self.generations)
            .into_iter()
            .partition::<Vec<_>, _>(|generation| generation.number == number);
        self.generations = kept;
        let is_first = self.generations.is_empty();
        if is_first {
            tracing::error!("cannot start: {reason}");
            self.failed_to_succeed(reason);
        } else {
            tracing::error!("the reload is given up, the generation before it goes on: {reason}");
        }
        for generation in &given_up {
            self.unlink_unused(generation.sockets());
            for client in &generation.askers {
                self.answer(*client, &Reply::failed(reason));
            }
        }
        if !is_first {
            self.changed(format!("a reload was given up: {reason}"));
        }
    }

    /// Notes what became of a change, for whoever looks later.
    pub(super) fn changed(&mut self, what: String) {
        self.last_change = Some(what);
        self.tell_manager_ready();
    }
}
