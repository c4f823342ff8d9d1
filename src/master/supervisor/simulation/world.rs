//! A seeded world of processes that crash, hang and start badly, around the real
//! supervisor.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, Event, Legacy, Millis, Pid, Settings, Supervisor};
use crate::config::Surge;

const SLOTS: usize = 64;
pub(super) const GRACEFUL: Millis = 3_000;
const SILENCE: Millis = 5_000;

pub(super) fn settings(workers: usize) -> Settings {
    Settings {
        workers,
        most: workers,
        surge: Surge::Percent(25),
        graceful_timeout: GRACEFUL,
        worker_timeout: SILENCE,
        boot_timeout: 60_000,
        shutdown_delay: 0,
        lifetime: None,
    }
}

/// xorshift64*, so that a failing seed fails again.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) slot: usize,
    pub(super) generation: u32,
    /// Whether it tries the app first.
    is_canary: bool,
    pub(super) ready: bool,
    told_to_end: bool,
    /// A stopped process beats no more, and hears nothing but a kill.
    stopped: bool,
    born: Millis,
}

/// What the world does to the server.
#[derive(Clone, Copy)]
pub(super) struct Weather {
    /// One in how many steps something bad happens; 0 for never.
    pub(super) trouble: u64,
    /// Whether new generations start at all.
    pub(super) builds: bool,
    /// Whether molds can fork.
    pub(super) forks: bool,
    /// Whether apps pass the try of a canary.
    pub(super) apps_work: bool,
}

pub(super) const FAIR: Weather = Weather { trouble: 0, builds: true, forks: true, apps_work: true };

pub(super) struct World {
    pub(super) supervisor: Supervisor,
    pub(super) dice: Dice,
    pub(super) now: Millis,
    next_pid: Pid,
    pub(super) processes: BTreeMap<Pid, Process>,
    /// Whether each of them answers.
    pub(super) molds: BTreeMap<u32, bool>,
    pending: Vec<(Millis, Event)>,
    pub(super) live: Option<u32>,
    pub(super) exit: Option<u8>,
    pub(super) weather: Weather,
    pub(super) forks: usize,
    pub(super) abandoned: Vec<(u32, String)>,
    pub(super) is_listening: bool,
    /// Whether nobody must be killed who was not told to end before.
    pub(super) kills_are_faults: bool,
    /// Generations whose app a canary has tried.
    has_tried: BTreeSet<u32>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, None)
    }

    /// A world in which another master may still serve.
    pub(super) fn with(seed: u64, legacy: Option<Legacy>) -> Self {
        Self {
            supervisor: Supervisor::new(SLOTS, seed, legacy),
            dice: Dice(seed.wrapping_mul(2).wrapping_add(1)),
            now: 1_000,
            next_pid: 100,
            processes: BTreeMap::new(),
            molds: BTreeMap::new(),
            pending: Vec::new(),
            live: None,
            exit: None,
            weather: FAIR,
            forks: 0,
            abandoned: Vec::new(),
            is_listening: true,
            kills_are_faults: false,
            has_tried: BTreeSet::new(),
        }
    }

    /// A world in which `workers` workers serve.
    pub(super) fn serving(seed: u64, workers: usize) -> Self {
        let mut world = Self::new(seed);
        world.tell(Event::Reload(settings(workers)));
        world.run(2_000);
        assert_eq!(world.ready(), workers);
        world
    }

    pub(super) fn ready(&self) -> usize {
        self.processes
            .values()
            .filter(|process| process.ready && !process.told_to_end && !process.stopped)
            .count()
    }

    fn soon(&mut self, event: Event) {
        let delay = self.dice.below(40);
        self.pending.push((self.now + delay, event));
    }

    pub(super) fn tell(&mut self, event: Event) {
        let actions = self.supervisor.step(event, self.now);
        assert!(actions.len() < 200, "one event, {} actions", actions.len());
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        assert!(self.exit.is_none(), "{action:?} after the exit");
        match action {
            Action::StartMold(number) => {
                self.molds.insert(number, true);
                let event = if self.weather.builds || self.live == Some(number) {
                    Event::MoldReady(number)
                } else {
                    Event::MoldGone(number, "bad build".to_owned())
                };
                self.soon(event);
            }
            Action::StopMold(number) => drop(self.molds.remove(&number)),
            Action::Fork { generation, slot, is_canary } => self.fork(generation, slot, is_canary),
            Action::Drain(pid) | Action::Retire(pid) | Action::Quit(pid) => {
                let process = self.processes.get_mut(&pid).expect("only living ones are told");
                process.told_to_end = true;
                if !process.stopped && !self.dice.one_in(8) {
                    self.soon(exited(pid, "exit code 0"));
                }
            }
            Action::Kill(pid) => {
                let process = self.processes.get(&pid);
                let is_late = process.is_none_or(|process| process.stopped || process.told_to_end);
                assert!(is_late || !self.kills_are_faults, "{pid} may serve somebody");
                self.end(pid, "SIGKILL");
            }
            Action::RetireStray(pid) => {
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.told_to_end = true;
                    self.soon(exited(pid, "exit code 0"));
                }
            }
            Action::Live(number) => {
                let ready =
                    self.processes.values().filter(|process| process.generation == number && process.ready);
                assert!(ready.count() > 0, "a generation without workers went live");
                self.live = Some(number);
            }
            Action::Exit(code) => {
                assert!(code != 0 || self.processes.is_empty(), "exit with {:?}", self.processes);
                self.exit = Some(code);
            }
            Action::Release(slot) => {
                assert!(self.processes.values().all(|process| process.slot != slot), "slot {slot} is in use");
            }
            Action::Abandoned(number, reason) => self.abandoned.push((number, reason)),
            Action::StopListening => self.is_listening = false,
            Action::Info(_) | Action::Warn(_) => {}
        }
    }

    fn fork(&mut self, generation: u32, slot: usize, is_canary: bool) {
        assert!(self.molds.contains_key(&generation), "a fork from a mold that was stopped");
        self.forks += 1;
        if !self.molds[&generation] {
            return;
        }
        if !self.weather.forks || self.weather.trouble > 0 && self.dice.one_in(20) {
            self.soon(Event::ForkFailed(generation, slot, "EAGAIN".to_owned()));
            return;
        }
        let pid = self.next_pid;
        self.next_pid += 1;
        let process = Process {
            slot,
            generation,
            is_canary,
            ready: false,
            told_to_end: false,
            stopped: false,
            born: self.now,
        };
        assert!(
            self.processes.values().all(|other| other.slot != slot),
            "slot {slot} would have two processes"
        );
        self.processes.insert(pid, process);
        let at = self.now + self.dice.below(10);
        self.pending.push((at, Event::Forked(generation, slot, pid)));
        if is_canary && !self.weather.apps_work {
            self.pending.push((at + 5, Event::BootFailed(pid, "the app traps".to_owned())));
            self.pending.push((at + 6, exited(pid, "exit code 3")));
        } else if self.weather.trouble > 0 && self.dice.one_in(10) {
            self.pending.push((at + 5, Event::BootFailed(pid, "no luck".to_owned())));
            self.pending.push((at + 6, exited(pid, "exit code 3")));
        } else {
            self.pending.push((at + 1 + self.dice.below(30), Event::Ready(pid)));
        }
    }

    /// A process is gone from the world; the supervisor hears of it later.
    pub(super) fn end(&mut self, pid: Pid, how: &str) {
        self.pending.retain(|(_, event)| !matches!(event, Event::Ready(other) if *other == pid));
        if self.processes.contains_key(&pid) {
            let is_birth =
                |(_, event): &&(Millis, Event)| matches!(event, Event::Forked(_, _, born) if *born == pid);
            // A process is heard of before it is seen to end.
            let born = self.pending.iter().find(is_birth).map_or(0, |(at, _)| *at);
            self.pending.push((born.max(self.now) + 1, exited(pid, how)));
        }
    }

    fn misfortune(&mut self) {
        let pids: Vec<_> = self.processes.keys().copied().collect();
        if pids.is_empty() {
            return;
        }
        let victim = pids[self.dice.below(pids.len() as u64) as usize];
        match self.dice.below(5) {
            0 => self.end(victim, "SIGSEGV"),
            1 => self.processes.get_mut(&victim).unwrap().stopped = true,
            2 => {
                if let Some(live) = self.live
                    && self.molds.contains_key(&live)
                {
                    self.pending.push((self.now + 1, Event::MoldGone(live, "SIGKILL".to_owned())));
                }
            }
            3 => self.molds.values_mut().for_each(|answers| *answers = false),
            // The machine stands still.
            _ => self.now += self.dice.below(20_000),
        }
    }

    pub(super) fn run(&mut self, time: Millis) {
        let end = self.now + time;
        let mut next_tick = self.now;
        while self.now < end && self.exit.is_none() {
            if self.weather.trouble > 0 && self.dice.one_in(self.weather.trouble) {
                self.misfortune();
            }
            self.pending.sort_by_key(|(at, _)| *at);
            let due: Vec<_> = {
                let split = self.pending.partition_point(|(at, _)| *at <= self.now);
                self.pending.drain(..split).collect()
            };
            for (_, event) in due {
                match &event {
                    Event::Exited { pid, .. } if self.processes.remove(pid).is_none() => continue,
                    Event::Ready(pid) => match self.processes.get_mut(pid) {
                        Some(process) if !process.stopped => {
                            process.ready = true;
                            self.has_tried.extend(process.is_canary.then_some(process.generation));
                            let tried = self.has_tried.contains(&process.generation);
                            assert!(tried, "a worker serves what no canary has tried");
                        }
                        _ => continue,
                    },
                    _ => {}
                }
                self.tell(event);
                if self.exit.is_some() {
                    return;
                }
            }
            let is_due = self.supervisor.next_deadline().is_some_and(|due| due <= self.now);
            if self.now >= next_tick || is_due {
                next_tick = self.now + 1_000;
                let beat = |process: &Process| if process.stopped { process.born } else { self.now };
                let beats = self.processes.values().map(|process| (process.slot, beat(process))).collect();
                self.tell(Event::Tick(beats));
            }
            self.now += 10;
        }
    }
}

pub(super) fn exited(pid: Pid, how: &str) -> Event {
    Event::Exited { pid, how: how.to_owned(), is_clean: how == "exit code 0" }
}
