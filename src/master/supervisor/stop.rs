//! The ways to an end: with a delay, with patience, at once, or to a successor.

use super::{Action, Millis, Pid, State, Supervisor};

impl Supervisor {
    /// A stop is asked for: whoever sends requests has some time to notice.
    pub(super) fn leave(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let delay = self.settings().map_or(0, |settings| settings.shutdown_delay);
        if delay == 0 || self.live.is_none() {
            self.drain(now, actions);
            return;
        }
        self.leaving = Some(now + delay);
        self.again = None;
        self.drop_next("the server is stopping", now, actions);
    }

    /// Finishes what is there, as the last ones to do so.
    pub(super) fn drain(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.stop(now, self.time_to_drain(), Action::Drain, actions);
    }

    /// Another master serves: everybody finishes what they have.
    pub(super) fn hand_over(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.stop(now, self.time_to_drain(), Action::Retire, actions);
        self.has_handed_over = true;
    }

    pub(super) fn stop(
        &mut self,
        now: Millis,
        time: Millis,
        tell: fn(Pid) -> Action,
        actions: &mut Vec<Action>,
    ) {
        let deadline = now + time;
        if self.stopping.is_none() {
            actions.push(Action::StopListening);
        }
        self.last_settings = self.settings();
        self.stopping = Some(self.stopping.map_or(deadline, |earlier| earlier.min(deadline)));
        (self.again, self.leaving, self.silence_ends) = (None, None, None);
        if let Some(next) = &self.next
            && self.live.is_some()
        {
            actions.push(Action::Abandoned(next.number, "the server is stopping".to_owned()));
        }
        for generation in [self.next.take(), self.live.take()].into_iter().flatten() {
            actions.push(Action::StopMold(generation.number));
        }
        self.workers.retain(|_, worker| !matches!(worker.state, State::Waiting { .. }));
        for worker in self.workers.values_mut() {
            if worker.pid.is_none() {
                worker.lose(now);
            } else if !matches!(worker.state, State::Dying { .. }) {
                // Asking again does not give more time.
                let deadline = match worker.state {
                    State::Draining { deadline: earlier } => earlier.min(deadline),
                    _ => deadline,
                };
                worker.state = State::Draining { deadline };
                actions.extend(worker.pid.map(tell));
            }
        }
    }

    pub(super) fn wind_down(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.kill_late(now, actions);
        if self.workers.is_empty() {
            actions.push(Action::Exit(self.exit_code));
        }
    }
}
