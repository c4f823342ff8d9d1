//! What ended, failed or fell silent, and what follows from that.

use super::{Action, Millis, Mold, PATIENCE, Pid, STALL, STEADY, State, Supervisor};

impl Supervisor {
    pub(super) fn mold_gone(&mut self, number: u32, reason: &str, now: Millis, actions: &mut Vec<Action>) {
        let ready = self.ready();
        for worker in self.workers.values_mut() {
            if worker.generation == number && worker.state == State::Forking {
                worker.state = State::Waiting { until: now };
            }
        }
        if self.next.as_ref().is_some_and(|next| next.number == number) {
            self.abandon(reason, actions);
        } else if let Some(live) = self.live.as_mut().filter(|live| live.number == number) {
            if live.mold == Mold::Ready && now.saturating_sub(self.mold_since) >= STEADY {
                self.mold_backoff.reset();
            }
            let wait = self.mold_backoff.next(&mut self.seed);
            live.mold = Mold::Broken { retry_at: now + wait };
            if self.stopping.is_none() {
                actions.push(Action::Warn(format!(
                    "the mold, which forks workers, ended ({reason}); {} on, a new mold starts in {wait} ms",
                    if ready == 1 { "1 worker goes".to_owned() } else { format!("{ready} workers go") },
                )));
            }
        }
    }

    /// Gives up the generation that is coming up.
    pub(super) fn abandon(&mut self, reason: &str, actions: &mut Vec<Action>) {
        let Some(next) = self.next.take() else { return };
        actions.push(Action::StopMold(next.number));
        actions.push(Action::Abandoned(next.number, reason.to_owned()));
        self.workers.retain(|_, worker| worker.generation != next.number || worker.pid.is_some());
        for worker in self.workers.values_mut().filter(|worker| worker.generation == next.number) {
            worker.state = State::Dying { replace: false };
            actions.extend(worker.pid.map(Action::Kill));
        }
        if self.live.is_none() {
            actions.push(Action::Exit(1));
        } else if let Some(settings) = self.again.take() {
            self.begin(settings, actions);
        }
    }

    pub(super) fn exited(&mut self, pid: Pid, how: &str, now: Millis, actions: &mut Vec<Action>) {
        let Some(index) = self.find(pid) else { return };
        let Some(worker) = self.workers.get_mut(&index) else { return };
        actions.push(Action::Release(index));
        let complaint = worker.complaint.take();
        let replace = match worker.state {
            State::Draining { .. } | State::Dying { replace: false } => false,
            State::Waiting { .. } | State::Forking | State::Dying { replace: true } => true,
            State::Booting => {
                let why = complaint.unwrap_or_else(|| how.to_owned());
                actions.push(Action::Warn(format!("worker {index} (pid {pid}) did not start: {why}")));
                let number = worker.generation;
                self.boot_failed(number, &why, actions);
                true
            }
            State::Ready => {
                if now.saturating_sub(worker.since) >= STEADY {
                    worker.backoff.reset();
                }
                actions.push(Action::Warn(format!("worker {index} (pid {pid}) died: {how}")));
                true
            }
        };
        let Some(worker) = self.workers.get_mut(&index) else { return };
        if replace
            && [&self.live, &self.next].into_iter().flatten().any(|known| known.number == worker.generation)
        {
            let until = now + worker.backoff.next(&mut self.seed);
            (worker.pid, worker.state, worker.since) = (None, State::Waiting { until }, now);
        } else {
            self.workers.remove(&index);
        }
    }

    pub(super) fn boot_failed(&mut self, number: u32, why: &str, actions: &mut Vec<Action>) {
        let ready =
            self.workers.values().any(|worker| worker.generation == number && worker.state == State::Ready);
        let first = self.live.is_none();
        let Some(next) = self.next.as_mut().filter(|next| next.number == number) else { return };
        next.boot_failures += 1;
        let patience = PATIENCE.max(if first { next.settings.workers as u32 } else { 0 });
        if next.boot_failures >= patience && !(first && ready) {
            let reason = format!("workers do not start: {why}");
            self.abandon(&reason, actions);
        }
    }

    pub(super) fn tick(&mut self, beats: &[(usize, Millis)], now: Millis, actions: &mut Vec<Action>) {
        let stalled = self.last_tick.is_some_and(|last| now.saturating_sub(last) > STALL);
        self.last_tick = Some(now);
        let timeout = self.worker_timeout();
        if stalled {
            self.patience_until = now + timeout;
        }
        if now < self.patience_until {
            return;
        }
        for (index, beat) in beats {
            let Some(worker) = self.workers.get_mut(index) else { continue };
            let replace = match worker.state {
                State::Ready => true,
                State::Draining { .. } => false,
                _ => continue,
            };
            let silence = now.saturating_sub((*beat).max(worker.since));
            if let Some(pid) = worker.pid
                && silence > timeout
            {
                worker.state = State::Dying { replace };
                actions.push(Action::Warn(format!(
                    "worker {index} (pid {pid}) has been silent for {silence} ms, longer than --worker-timeout; killed"
                )));
                actions.push(Action::Kill(pid));
            }
        }
    }
}
