//! The way from what is to what is wanted.

use super::{
    Action, BOOT_TIMEOUT, Backoff, Millis, Mold, ORDER_TIMEOUT, ORDERS, Pid, State, Supervisor, Worker,
};

impl Supervisor {
    pub(super) fn stop(
        &mut self,
        now: Millis,
        time: Millis,
        tell: fn(Pid) -> Action,
        actions: &mut Vec<Action>,
    ) {
        let deadline = now + time;
        self.stopping = Some(self.stopping.map_or(deadline, |earlier| earlier.min(deadline)));
        self.again = None;
        for generation in [self.next.take(), self.live.take()].into_iter().flatten() {
            actions.push(Action::StopMold(generation.number));
        }
        self.workers.retain(|_, worker| worker.pid.is_some());
        for worker in self.workers.values_mut() {
            if !matches!(worker.state, State::Dying { .. }) {
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
            actions.push(Action::Exit(0));
        }
    }

    /// Moves the processes towards what is wanted.
    pub(super) fn converge(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.kill_late(now, actions);
        self.replace_hung_molds(now, actions);
        self.promote(now, actions);
        self.give_up_late(now, actions);
        if let Some(live) = &mut self.live
            && matches!(live.mold, Mold::Broken { retry_at } if retry_at <= now)
        {
            live.mold = Mold::Starting;
            actions.push(Action::StartMold(live.number));
        }
        let live = self.live.as_ref().map(|live| (live.number, self.target));
        let next = self.next.as_ref().map(|next| (next.number, next.settings.workers));
        for (number, wanted) in live.into_iter().chain(next) {
            self.match_count(number, wanted, now, actions);
            if self.mold_is_ready(number) {
                self.fork_due(number, now, actions);
            }
        }
    }

    /// Makes the next generation the live one once all its workers serve; when
    /// nothing serves yet and some do not start, those that do are enough.
    fn promote(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let Some(next) = &self.next else { return };
        let ready = self
            .workers
            .values()
            .filter(|worker| worker.generation == next.number && worker.state == State::Ready)
            .count();
        let enough = if self.live.is_none() && next.boot_failures > 0 { 1 } else { next.settings.workers };
        if ready < enough {
            return;
        }
        let Some(next) = self.next.take() else { return };
        let deadline = now + self.graceful_timeout();
        if let Some(old) = self.live.take() {
            actions.push(Action::StopMold(old.number));
            self.workers.retain(|_, worker| worker.generation != old.number || worker.pid.is_some());
            for worker in self.workers.values_mut().filter(|worker| worker.generation == old.number) {
                if !matches!(worker.state, State::Dying { .. }) {
                    worker.state = State::Draining { deadline };
                    actions.extend(worker.pid.map(Action::Retire));
                }
            }
        }
        self.target = next.settings.workers;
        self.mold_backoff.reset();
        actions.push(Action::Live(next.number));
        self.live = Some(next);
        if let Some(settings) = self.again.take() {
            self.begin(settings, actions);
        }
    }

    fn match_count(&mut self, number: u32, wanted: usize, now: Millis, actions: &mut Vec<Action>) {
        let mut staying: Vec<usize> = self
            .workers
            .iter()
            .filter(|(_, worker)| {
                worker.generation == number
                    && !matches!(worker.state, State::Draining { .. } | State::Dying { replace: false })
            })
            .map(|(index, _)| *index)
            .collect();
        while staying.len() > wanted
            && let Some(index) = staying.pop()
        {
            self.retire(index, now, actions);
        }
        for _ in staying.len()..wanted {
            let Some(index) = (0..self.slots).find(|index| !self.workers.contains_key(index)) else { return };
            self.workers.insert(
                index,
                Worker {
                    generation: number,
                    pid: None,
                    state: State::Waiting { until: now },
                    since: now,
                    backoff: Backoff::default(),
                    complaint: None,
                },
            );
        }
    }

    fn retire(&mut self, index: usize, now: Millis, actions: &mut Vec<Action>) {
        let deadline = now + self.graceful_timeout();
        let Some(worker) = self.workers.get_mut(&index) else { return };
        match worker.pid {
            Some(pid) => {
                worker.state = State::Draining { deadline };
                actions.push(Action::Retire(pid));
            }
            None => {
                self.workers.remove(&index);
            }
        }
    }

    fn fork_due(&mut self, number: u32, now: Millis, actions: &mut Vec<Action>) {
        let mut more = ORDERS.saturating_sub(self.ordered(number));
        for (index, worker) in &mut self.workers {
            if more > 0
                && worker.generation == number
                && matches!(worker.state, State::Waiting { until } if until <= now)
            {
                more -= 1;
                (worker.state, worker.since) = (State::Forking, now);
                actions.push(Action::Fork(number, *index));
            }
        }
    }

    /// Ends molds that have not answered an order for long.
    fn replace_hung_molds(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let is_late = |worker: &Worker| worker.state == State::Forking && now >= worker.since + ORDER_TIMEOUT;
        while let Some(number) =
            self.workers.values().find(|worker| is_late(worker)).map(|late| late.generation)
        {
            actions.push(Action::StopMold(number));
            self.mold_gone(number, "it has not answered for 10 s; killed", now, actions);
        }
    }

    /// Gives up a generation that does not come up; at the first start the workers
    /// that it has are better than none.
    fn give_up_late(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let Some(next) = self.next.as_mut().filter(|next| next.ready_by.is_some_and(|limit| now >= limit))
        else {
            return;
        };
        let number = next.number;
        next.boot_failures += 1;
        self.promote(now, actions);
        if self.next.as_ref().is_some_and(|next| next.number == number) {
            self.abandon("not all workers were ready after 120 s", actions);
        }
    }

    /// Kills who is past a deadline.
    fn kill_late(&mut self, now: Millis, actions: &mut Vec<Action>) {
        for (index, worker) in &mut self.workers {
            let late = match worker.state {
                State::Draining { deadline } => now >= deadline,
                State::Booting => now >= worker.since + BOOT_TIMEOUT,
                _ => false,
            };
            if let Some(pid) = worker.pid
                && late
            {
                if worker.state == State::Booting {
                    // Its end counts as a failed start.
                    worker.complaint = Some("it was not ready after 60 s".to_owned());
                    worker.since = now;
                } else {
                    worker.state = State::Dying { replace: false };
                    actions.push(Action::Warn(format!(
                        "worker {index} (pid {pid}) still had requests in flight at its deadline; killed"
                    )));
                }
                actions.push(Action::Kill(pid));
            }
        }
    }
}
