//! One generation in place of another: a canary first, then a few workers at a
//! time, and back again if they do not hold out.

use super::{Action, Generation, Millis, Mold, Settings, State, Supervisor};

impl Supervisor {
    pub(super) fn begin(&mut self, settings: Settings, actions: &mut Vec<Action>) {
        self.generations += 1;
        self.next = Some(Generation {
            number: self.generations,
            mold: Mold::Starting,
            settings,
            boot_failures: 0,
            is_proven: false,
            ready_by: None,
        });
        actions.push(Action::StartMold(self.generations));
    }

    /// Makes the next generation the live one once all its workers serve; when
    /// nothing serves yet and some do not start, those that do are enough.
    pub(super) fn promote(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let Some(next) = &self.next else { return };
        let wanted = self.scale.under(&next.settings);
        let some_will_do = self.live.is_none() && !self.is_heir && next.boot_failures > 0;
        let enough = if some_will_do { 1 } else { wanted };
        if self.ready_in(next.number) < enough {
            return;
        }
        let time = self.time_to_drain();
        let Some(next) = self.next.take() else { return };
        if let Some(old) = self.live.take() {
            self.retire_all(old.number, time, now, actions);
        }
        self.scale.adopt(&next.settings);
        self.scaler.settle(now);
        self.mold_backoff.reset();
        actions.push(Action::Live(next.number));
        self.live = Some(next);
        if let Some(settings) = self.again.take() {
            self.begin(settings, actions);
        }
    }

    /// Gives up a generation that does not come up; at the first start the workers
    /// that it has are better than none.
    pub(super) fn give_up_late(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let Some(next) = self.next.as_mut().filter(|next| next.ready_by.is_some_and(|limit| now >= limit))
        else {
            return;
        };
        let number = next.number;
        next.boot_failures += 1;
        self.promote(now, actions);
        if self.next.as_ref().is_some_and(|next| next.number == number) {
            self.abandon("not all workers were ready in time", now, actions);
        }
    }

    /// Gives up the generation that is coming up.
    pub(super) fn abandon(&mut self, reason: &str, now: Millis, actions: &mut Vec<Action>) {
        self.last_settings = self.settings();
        self.drop_next(reason, now, actions);
        if self.live.is_none() {
            // Those that serve already finish what they have, first.
            self.exit_code = 1;
            self.hand_over(now, actions);
            self.has_handed_over = false;
        } else if let Some(settings) = self.again.take() {
            self.begin(settings, actions);
        }
    }

    /// Ends the generation that is coming up; those of its workers that serve
    /// already finish what they have.
    pub(super) fn drop_next(&mut self, reason: &str, now: Millis, actions: &mut Vec<Action>) {
        let time = self.time_to_drain();
        let Some(next) = self.next.take() else { return };
        self.retire_all(next.number, time, now, actions);
        actions.push(Action::Abandoned(next.number, reason.to_owned()));
    }

    /// Ends a generation's mold, and has its workers finish what they have within
    /// `time`.
    fn retire_all(&mut self, number: u32, time: Millis, now: Millis, actions: &mut Vec<Action>) {
        let deadline = now + time;
        actions.push(Action::StopMold(number));
        self.workers.retain(|_, worker| {
            worker.generation != number || !matches!(worker.state, State::Waiting { .. })
        });
        for worker in self.workers.values_mut().filter(|worker| worker.generation == number) {
            match (worker.state, worker.pid) {
                (State::Draining { .. } | State::Dying { .. }, _) => {}
                (_, None) => worker.lose(now),
                // One that has not said so may serve as well.
                (_, Some(pid)) => {
                    worker.state = State::Draining { deadline };
                    actions.push(Action::Retire(pid));
                }
            }
        }
    }

    /// How many workers each generation should have now.
    pub(super) fn plan(&self) -> [Option<(u32, usize)>; 2] {
        let Some(next) = &self.next else {
            return [self.live.as_ref().map(|live| (live.number, self.scale.workers)), None];
        };
        let ready = self.ready_in(next.number);
        let all = self.scale.under(&next.settings);
        let coming = match &self.live {
            // Nobody is let at clients before one has tried the app.
            _ if !next.is_proven => 1,
            None => all,
            // Those that are there already are not undone when one of them dies.
            Some(_) => {
                let stay = self.workers.values();
                let stay = stay.filter(|worker| worker.generation == next.number && worker.stays()).count();
                (ready + next.settings.surge.of(all)).max(stay).min(all)
            }
        };
        let old = self.live.as_ref().map(|live| (live.number, self.scale.workers.saturating_sub(ready)));
        [old, Some((next.number, coming))]
    }
}
