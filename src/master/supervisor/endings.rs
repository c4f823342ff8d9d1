//! What ended, failed or fell silent, and what follows from that.

use super::{
    Action, LOST_AT_STOP, Millis, Mold, ORDER_TIMEOUT, PATIENCE, Pid, STALL, STEADY, State, Supervisor,
};

impl Supervisor {
    pub(super) fn mold_gone(&mut self, number: u32, reason: &str, now: Millis, actions: &mut Vec<Action>) {
        let ready = self.ready();
        for worker in self.workers.values_mut() {
            if worker.generation == number && worker.state == State::Forking {
                worker.state = State::Waiting { until: now };
            }
        }
        if self.next.as_ref().is_some_and(|next| next.number == number) {
            self.abandon(reason, now, actions);
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

    pub(super) fn exited(
        &mut self,
        pid: Pid,
        how: &str,
        is_clean: bool,
        now: Millis,
        actions: &mut Vec<Action>,
    ) {
        let Some(index) = self.find(pid) else { return };
        let Some(worker) = self.workers.get_mut(&index) else { return };
        actions.push(Action::Release(index));
        let (complaint, number, state) = (worker.complaint.take(), worker.generation, worker.state);
        // Nobody must be told anything by that number any more.
        (worker.pid, worker.state) = (None, State::Waiting { until: now });
        let replace = match state {
            State::Draining { .. } => {
                if !is_clean {
                    let text = format!("worker {index} (pid {pid}), which was to end, died: {how}");
                    actions.push(Action::Warn(text));
                }
                false
            }
            State::Dying { replace } => {
                if now.saturating_sub(worker.since) >= STEADY {
                    worker.backoff.reset();
                }
                replace
            }
            State::Waiting { .. } | State::Forking => true,
            State::Booting => {
                let told = complaint.is_some();
                let why = complaint.unwrap_or_else(|| how.to_owned());
                actions.push(Action::Warn(format!("worker {index} (pid {pid}) did not start: {why}")));
                worker.last_end = Some(why.clone());
                if told && self.next.as_ref().is_some_and(|next| next.number == number && !next.is_proven) {
                    // The canary said what is wrong; another one would say the same.
                    self.workers.remove(&index);
                    self.abandon(&why, now, actions);
                    return;
                }
                self.boot_failed(number, &why, now, actions);
                true
            }
            State::Ready => {
                actions.push(Action::Warn(format!("worker {index} (pid {pid}) died: {how}")));
                worker.last_end = Some(how.to_owned());
                if now.saturating_sub(worker.since) >= STEADY {
                    worker.backoff.reset();
                } else if self.live.is_some() {
                    // One that does not hold out was never really ready.
                    self.boot_failed(number, how, now, actions);
                }
                true
            }
        };
        let known = [&self.live, &self.next].into_iter().flatten().any(|known| known.number == number);
        let Some(worker) = self.workers.get_mut(&index) else { return };
        if replace && known {
            let until = now + worker.backoff.next(&mut self.seed);
            (worker.state, worker.since) = (State::Waiting { until }, now);
            (worker.is_recycled, worker.expires) = (false, None);
            worker.restarts += 1;
            self.restarts += 1;
        } else {
            self.workers.remove(&index);
        }
    }

    pub(super) fn boot_failed(&mut self, number: u32, why: &str, now: Millis, actions: &mut Vec<Action>) {
        let ready = self.ready_in(number) > 0;
        let first = self.live.is_none() && !self.is_heir;
        let Some(next) = self.next.as_mut().filter(|next| next.number == number) else { return };
        next.boot_failures += 1;
        let patience = PATIENCE.max(if first { next.settings.workers as u32 } else { 0 });
        if next.boot_failures >= patience && !(first && ready) {
            let reason = format!("workers do not start: {why}");
            self.abandon(&reason, now, actions);
        }
    }

    pub(super) fn tick(&mut self, beats: &[(usize, Millis)], now: Millis, actions: &mut Vec<Action>) {
        let stalled = self.last_tick.is_some_and(|last| now.saturating_sub(last) > STALL);
        self.last_tick = Some(now);
        // Only here: all that was said before is heard by now, also after a pause.
        let time = if self.stopping.is_some() { LOST_AT_STOP } else { ORDER_TIMEOUT };
        self.workers.retain(|_, worker| !worker.is_lost() || now < worker.since + time);
        if self.stopping.is_none() {
            self.replace_hung_molds(now, actions);
        }
        let timeout = self.worker_timeout();
        if stalled {
            self.patience_until = now + timeout;
        }
        self.silence_ends = None;
        if now < self.patience_until || self.stopping.is_some() && self.workers.is_empty() {
            return;
        }
        for (index, beat) in beats {
            let Some(worker) = self.workers.get_mut(index) else { continue };
            let replace = match worker.state {
                State::Ready => true,
                State::Draining { .. } => false,
                _ => continue,
            };
            let Some(pid) = worker.pid else { continue };
            let heard = (*beat).max(worker.since);
            let silence = now.saturating_sub(heard);
            if silence > timeout {
                let text = format!("it was silent for {silence} ms, longer than --worker-timeout; killed");
                actions.push(Action::Warn(format!("worker {index} (pid {pid}): {text}")));
                worker.state = State::Dying { replace };
                worker.last_end = Some(text);
                actions.push(Action::Kill(pid));
            } else if silence >= timeout / 2 {
                // Not left to the next look that happens to come.
                let ends = heard + timeout + 1;
                self.silence_ends = Some(self.silence_ends.map_or(ends, |earlier| earlier.min(ends)));
            }
        }
    }
}
