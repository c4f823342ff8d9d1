//! What the master looks after from time to time.

use std::collections::HashMap;
use std::io;

use super::Master;
use super::heir::Inherited;
use super::supervisor::{Event, Millis, Pid, Pressure};
use super::watch::{INTERVAL_MS, Watch};
use crate::config::{ByteSize, Invocation};
use crate::sys::{clock, process};
use crate::systemd::Notifier;
use crate::telemetry::Standing;

/// How often compilers, molds and the load are looked at.
const TICK: Millis = 1_000;

/// How often the workers' memory is: the kernel walks their page tables for it.
const MEMORY: Millis = 5_000;

/// What was seen on the last round.
#[derive(Default)]
pub(super) struct Rounds {
    next_tick: Millis,
    next_memory: Millis,
    next_sign: Option<Millis>,
    processor: HashMap<Pid, Millis>,
    processor_at: Millis,
    waited: u64,
    standing: Standing,
    watch: Option<Watch>,
}

/// Whoever wants to hear how the server is.
pub(super) fn manager(invocation: &Invocation, is_heir: bool) -> Notifier {
    let env = |name: &str| {
        let last = invocation.env.iter().rev().find(|(key, _)| key == name);
        last.map(|(_, value)| value.as_os_str())
    };
    // It names the master before this one.
    let pid = env("WATCHDOG_PID").filter(|_| !is_heir);
    let (manager, wrong) = Notifier::new(env("NOTIFY_SOCKET"), env("WATCHDOG_USEC"), pid, std::process::id());
    for text in wrong {
        tracing::warn!("{text}");
    }
    manager
}

impl Rounds {
    /// When the next one is due.
    pub fn due(&self) -> Millis {
        let watch = self.watch.as_ref().map(|_| clock::monotonic_ms() + INTERVAL_MS);
        [Some(self.next_tick), self.next_sign, watch].into_iter().flatten().min().unwrap_or(0)
    }

    /// Watches what the generation that serves names: as before, if that is the same.
    pub fn watch(&mut self, watch: Option<Watch>) {
        let paths = |watch: &Option<Watch>| watch.as_ref().map(|watch| watch.paths().to_vec());
        if paths(&self.watch) == paths(&watch) {
            return;
        }
        if watch.as_ref().is_some_and(Watch::is_partial) {
            tracing::warn!("--reload-extra names more than can be watched: 10000 files");
        }
        self.watch = watch;
    }
}

impl Master {
    pub(super) fn make_rounds(&mut self, events: &mut Vec<Event>) {
        let now = clock::monotonic_ms();
        // A change is told once: not while nothing could be done about it.
        let may_reload = self.upgrade.is_none() && !self.stopping;
        let watch = self.rounds.watch.as_mut().filter(|_| may_reload);
        if let Some(change) = watch.and_then(|watch| watch.look(now)) {
            events.extend(self.order_reload(None, Some(&change.path)).ok().flatten());
        }
        self.give_sign(now);
        if now < self.rounds.next_tick {
            return;
        }
        self.rounds.next_tick = now + TICK;
        for generation in &mut self.generations {
            generation.tick(now, events);
        }
        self.end_dismissed(now);
        self.count_before();
        if self.supervisor.range().is_some() {
            events.push(Event::Load(self.pressure(now)));
        }
        if now >= self.rounds.next_memory {
            self.rounds.next_memory = now + MEMORY;
            self.weigh(events);
        }
        drop(self.manager.catch_up());
    }

    /// How busy the workers were since the last look.
    fn pressure(&mut self, now: Millis) -> Pressure {
        let mut pressure = Pressure::default();
        let elapsed = now.saturating_sub(std::mem::replace(&mut self.rounds.processor_at, now)).max(1);
        let mut seen = HashMap::new();
        for (_, pid) in self.supervisor.serving() {
            let Some(used) = process::processor_time_ms(pid) else { continue };
            // One that is new tells nothing yet.
            let before = self.rounds.processor.get(&pid).copied().unwrap_or(used);
            pressure.busy += used.saturating_sub(before) * 1000 / elapsed;
            seen.insert(pid, used);
        }
        self.rounds.processor = seen;
        let waited = self.board.waited();
        pressure.waited = waited - std::mem::replace(&mut self.rounds.waited, waited).min(waited);
        pressure
    }

    /// Has workers replaced that have grown too large.
    fn weigh(&self, events: &mut Vec<Event>) {
        let Some(limit) = self.generations.first().and_then(|live| live.config().pool.recycling.memory)
        else {
            return;
        };
        for (_, pid) in self.supervisor.serving() {
            if let Some(bytes) = process::proportional_memory(pid).filter(|bytes| *bytes > limit) {
                let has = ByteSize(bytes / 1024 * 1024);
                let text = format!("it has {has} of memory, --worker-max-memory is {}", ByteSize(limit));
                events.push(Event::Recycle(pid, text));
            }
        }
    }

    /// Says, when that is due, that the master is alive.
    fn give_sign(&mut self, now: Millis) {
        let Some(every) = self.manager.watchdog_interval() else { return };
        if self.rounds.next_sign.is_none_or(|due| now >= due) {
            let every = u64::try_from(every.as_millis()).unwrap_or(TICK).max(1);
            self.rounds.next_sign = Some(now + every);
            self.tell_manager(Notifier::watchdog);
        }
    }

    /// Has everybody know how the server is, if that has changed.
    pub(super) fn tell_standing(&mut self) {
        let standing = self.supervisor.standing();
        let before = std::mem::replace(&mut self.rounds.standing, standing);
        if before != standing {
            self.board.set_standing(standing);
            let text = format!("{} of {} workers ready", standing.ready, standing.wanted);
            self.tell_manager(|manager| manager.status(&text));
        }
    }

    pub(super) fn tell_manager(&mut self, tell: impl FnOnce(&mut Notifier) -> io::Result<()>) {
        // One who is not the main process, yet or any more, is not believed.
        let is_main = self.predecessor.as_ref().is_none_or(Inherited::has_succeeded) && !self.is_succeeded();
        if self.manager.is_on()
            && is_main
            && let Err(error) = tell(&mut self.manager)
        {
            tracing::debug!("the service manager was not told: {error}");
        }
    }

    pub(super) fn tell_manager_ready(&mut self) {
        if self.stopping {
            return;
        }
        let standing = self.supervisor.standing();
        let what = self.last_change.clone().unwrap_or_default();
        let text = format!("{} of {} workers ready; {what}", standing.ready, standing.wanted);
        self.tell_manager(|manager| manager.ready(&text));
    }
}
