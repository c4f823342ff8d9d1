//! The way from what is to what is wanted.

use super::{Action, Millis, Mold, ORDER_TIMEOUT, ORDERS, Pid, State, Supervisor, Worker};

impl Supervisor {
    /// Moves the processes towards what is wanted.
    pub(super) fn converge(&mut self, now: Millis, actions: &mut Vec<Action>) {
        self.kill_late(now, actions);
        self.promote(now, actions);
        self.give_up_late(now, actions);
        if let Some(live) = &mut self.live
            && matches!(live.mold, Mold::Broken { retry_at } if retry_at <= now)
        {
            live.mold = Mold::Starting;
            actions.push(Action::StartMold(live.number));
        }
        self.expire(now, actions);
        self.hurry(actions);
        let is_rolling = self.next.as_ref().is_some_and(|next| next.is_proven);
        for (number, wanted) in self.plan().into_iter().flatten() {
            let successors = self.relieve(number, wanted, now, actions);
            // A reload that gets on replaces them all anyway.
            let extra = if is_rolling { 0 } else { successors };
            self.match_count(number, wanted + extra, now, actions);
            if self.mold_is_ready(number) {
                self.fork_due(number, now, actions);
            }
        }
    }

    /// Marks a worker that is to serve only until another one is ready.
    pub(super) fn recycle(&mut self, pid: Pid, why: &str, actions: &mut Vec<Action>) {
        let Some(index) = self.find(pid) else { return };
        let Some(worker) = self.workers.get_mut(&index) else { return };
        if worker.state == State::Ready && !worker.is_recycled {
            worker.is_recycled = true;
            actions.push(Action::Info(format!("worker {index} (pid {pid}) is replaced: {why}")));
        }
    }

    /// Marks those that are old enough.
    fn expire(&mut self, now: Millis, actions: &mut Vec<Action>) {
        // A reload replaces them all anyway.
        if self.next.is_some() {
            return;
        }
        let old = self.workers.values().filter(|worker| worker.expires.is_some_and(|at| now >= at));
        for pid in old.filter_map(|worker| worker.pid).collect::<Vec<_>>() {
            self.recycle(pid, "it has reached --max-worker-lifetime", actions);
        }
    }

    /// Of those that are to end, lets only so many wait for clients that say nothing:
    /// each holds a slot.
    fn hurry(&mut self, actions: &mut Vec<Action>) {
        let wanted = self.scale.workers;
        let most = (8 * wanted).max(64).min(self.slots.saturating_sub(2 * wanted));
        let mut draining: Vec<_> = self
            .workers
            .values_mut()
            .filter_map(|worker| match worker.state {
                State::Draining { deadline } => Some((deadline, worker)),
                _ => None,
            })
            .collect();
        draining.sort_by_key(|(deadline, _)| *deadline);
        let too_many = draining.len().saturating_sub(most);
        for (_, worker) in draining.into_iter().take(too_many).filter(|(_, worker)| !worker.is_hurried) {
            worker.is_hurried = true;
            actions.extend(worker.pid.map(Action::Drain));
        }
    }

    /// Ends marked workers whose successors are ready; how many successors should be
    /// coming: one in ten workers at a time, but at least one.
    fn relieve(&mut self, number: u32, wanted: usize, now: Millis, actions: &mut Vec<Action>) -> usize {
        let is_marked = |worker: &Worker| {
            worker.generation == number && worker.state == State::Ready && worker.is_recycled
        };
        for _ in wanted..self.ready_in(number) {
            let marked = self.workers.iter().filter(|(_, worker)| is_marked(worker));
            let Some((index, _)) = marked.min_by_key(|(_, worker)| worker.since) else { break };
            self.retire(*index, now, actions);
        }
        let marked = self.workers.values().filter(|worker| is_marked(worker)).count();
        marked.min((wanted / 10).max(1))
    }

    fn match_count(&mut self, number: u32, wanted: usize, now: Millis, actions: &mut Vec<Action>) {
        let mut staying: Vec<usize> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.generation == number && worker.stays())
            .map(|(index, _)| *index)
            .collect();
        // Those that do not serve go first, then those that would go anyway.
        staying.sort_by_key(|index| {
            let worker = &self.workers[index];
            (worker.state != State::Ready, worker.is_recycled, *index)
        });
        while staying.len() > wanted
            && let Some(index) = staying.pop()
        {
            self.retire(index, now, actions);
        }
        for _ in staying.len()..wanted {
            let Some(index) = (0..self.slots).find(|index| !self.workers.contains_key(index)) else { return };
            self.workers.insert(index, Worker::new(number, now));
        }
    }

    fn retire(&mut self, index: usize, now: Millis, actions: &mut Vec<Action>) {
        let deadline = now + self.time_to_drain();
        let Some(worker) = self.workers.get_mut(&index) else { return };
        match worker.pid {
            // It ends anyway, and nobody follows.
            Some(_) if matches!(worker.state, State::Dying { .. }) => {
                worker.state = State::Dying { replace: false };
            }
            Some(pid) => {
                worker.state = State::Draining { deadline };
                actions.push(Action::Retire(pid));
            }
            None if worker.state == State::Forking => worker.lose(now),
            None => drop(self.workers.remove(&index)),
        }
    }

    fn fork_due(&mut self, number: u32, now: Millis, actions: &mut Vec<Action>) {
        let mut more = ORDERS.saturating_sub(self.ordered(number));
        let is_canary = self.generation(number).is_some_and(|generation| !generation.is_proven);
        for (index, worker) in &mut self.workers {
            if more > 0
                && worker.generation == number
                && matches!(worker.state, State::Waiting { until } if until <= now)
            {
                more -= 1;
                (worker.state, worker.since) = (State::Forking, now);
                actions.push(Action::Fork { generation: number, slot: *index, is_canary });
            }
        }
    }

    /// Ends molds that have not answered an order for long.
    pub(super) fn replace_hung_molds(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let is_late = |worker: &Worker| worker.state == State::Forking && now >= worker.since + ORDER_TIMEOUT;
        while let Some(number) =
            self.workers.values().find(|worker| is_late(worker)).map(|late| late.generation)
        {
            actions.push(Action::StopMold(number));
            self.mold_gone(number, "it has not answered for 10 s; killed", now, actions);
        }
    }

    /// Kills who is past a deadline.
    pub(super) fn kill_late(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let known = [&self.live, &self.next]
            .map(|known| known.as_ref().map_or((0, 0), |known| (known.number, known.settings.boot_timeout)));
        for (index, worker) in &mut self.workers {
            let boot =
                known.iter().find(|(number, _)| *number == worker.generation).map_or(0, |(_, time)| *time);
            let late = match worker.state {
                State::Draining { deadline } => now >= deadline,
                State::Booting => now >= worker.since + boot,
                _ => false,
            };
            if let Some(pid) = worker.pid
                && late
            {
                if worker.state == State::Booting {
                    // Its end counts as a failed start.
                    worker.complaint = Some(format!("it was not ready after {} s", boot / 1000));
                    worker.since = now;
                } else {
                    worker.state = State::Dying { replace: false };
                    actions.push(Action::Warn(format!(
                        "worker {index} (pid {pid}) has not ended at its deadline; killed"
                    )));
                }
                actions.push(Action::Kill(pid));
            }
        }
    }
}
