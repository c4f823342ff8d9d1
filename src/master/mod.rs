//! The master: one thread, one loop, no runtime and no wasm engine. It binds
//! the sockets, has workers made, reaps them and decides.

mod generation;
mod pid_file;
mod reload;
pub mod supervisor;

use std::collections::VecDeque;
use std::os::fd::{AsFd, RawFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::config::{Config, Invocation};
use crate::handoff::{Channel, CompilerSeed, MoldSeed, Received, WorkerNews};
use crate::listeners::{self, Listener};
use crate::sys::signals::SignalQueue;
use crate::sys::{clock, fd, process};
use crate::telemetry::{self, Board, SLOTS};

use generation::Generation;
use pid_file::PidFile;
use supervisor::{Action, Event, Millis, Supervisor};

/// How often beats are looked at.
const TICK: Millis = 1_000;

/// What forked children do; plain functions, so that the master names none of
/// their modules.
#[derive(Debug, Clone, Copy)]
pub struct Roles {
    /// Compiles, and ends.
    pub compiler: fn(CompilerSeed) -> i32,
    /// Loads, and forks workers.
    pub mold: fn(MoldSeed) -> i32,
}

/// Serves until told to stop; returns the exit code.
///
/// # Errors
/// The server cannot start: an address is taken, a user unknown.
pub fn run(invocation: Invocation, config: Config, roles: Roles) -> Result<u8> {
    telemetry::init_log(&config.log);
    let mut master = Master::new(invocation, config, roles)?;
    let code = master.supervise();
    master.clean_up();
    Ok(code)
}

struct Master {
    invocation: Invocation,
    roles: Roles,
    board: Board,
    signals: SignalQueue,
    supervisor: Supervisor,
    generations: Vec<Generation>,
    /// The configuration that the next generation gets.
    pending: Option<(Arc<Config>, Vec<Arc<Listener>>)>,
    from_workers: Channel,
    to_master: Arc<Channel>,
    handed_down: Vec<RawFd>,
    pid_file: Option<PidFile>,
    next_tick: Millis,
    stopping: bool,
    exit: Option<u8>,
}

impl Master {
    fn new(invocation: Invocation, config: Config, roles: Roles) -> Result<Self> {
        if let Some(dir) = &config.master.chdir {
            std::env::set_current_dir(dir).with_context(|| format!("--chdir {}", dir.display()))?;
        }
        if let Some(mask) = config.master.umask {
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
        }
        let handed_down = fd::handed_down()?;
        let signals = SignalQueue::new(&[
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGHUP,
            Signal::SIGCHLD,
            Signal::SIGTTIN,
            Signal::SIGTTOU,
            Signal::SIGUSR1,
            // Reserved for a binary upgrade; until then it must not kill.
            Signal::SIGUSR2,
        ])?;
        process::become_subreaper().context("PR_SET_CHILD_SUBREAPER")?;
        // As root, before the workers are somebody else.
        telemetry::create_access_log(&config)?;
        let pid_file = config.master.pid_file.as_deref().map(PidFile::create).transpose()?;
        let bound = listeners::bind_all(&reload::wanted(&config), &[], &handed_down);
        let (listeners, pid_file) = match (bound, pid_file) {
            (Ok(listeners), pid_file) => (listeners, pid_file),
            (Err(error), pid_file) => {
                pid_file.into_iter().for_each(PidFile::remove);
                return Err(error);
            }
        };
        listeners.iter().for_each(|listener| reload::announce(listener));
        let wanted = &config.pool.workers;
        tracing::info!("{} ({})", supervisor::workers(wanted.count), wanted.reason);
        let (from_workers, to_master) = Channel::pair()?;
        let seed = clock::monotonic_ms() ^ u64::from(std::process::id()) << 32;
        Ok(Self {
            invocation,
            roles,
            board: Board::new()?,
            signals,
            supervisor: Supervisor::new(SLOTS, seed),
            generations: Vec::new(),
            pending: Some((Arc::new(config), listeners)),
            from_workers,
            to_master: Arc::new(to_master),
            handed_down,
            pid_file,
            next_tick: 0,
            stopping: false,
            exit: None,
        })
    }

    fn supervise(&mut self) -> u8 {
        let mut events = vec![self.first()];
        loop {
            self.decide(&mut events);
            if let Some(code) = self.exit {
                return code;
            }
            if let Err(error) = self.wait() {
                tracing::error!("poll: {error}");
            }
            self.gather(&mut events);
        }
    }

    fn first(&self) -> Event {
        let config = &self.pending.as_ref().expect("set by new").0;
        Event::Reload(generation::settings(config))
    }

    /// Sleeps until something happens or falls due.
    fn wait(&self) -> nix::Result<()> {
        let mut watched = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.from_workers.as_fd(), PollFlags::POLLIN),
        ];
        let channels = self.generations.iter().flat_map(Generation::channels);
        watched.extend(channels.map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
        let due = self.supervisor.next_deadline().map_or(self.next_tick, |due| due.min(self.next_tick));
        let wait = due.saturating_sub(clock::monotonic_ms());
        match poll(&mut watched, PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Collects what has happened, in an order in which a worker is heard of
    /// before it is seen to end.
    fn gather(&mut self, events: &mut Vec<Event>) {
        while let Ok(Some(signal)) = self.signals.next() {
            events.extend(self.on_signal(signal));
        }
        self.hear(events);
        self.decide(events);
        while let Some((pid, exit)) = process::reap() {
            // What it, or its mold of it, has said since the channels were read.
            self.hear(events);
            self.decide(events);
            if !self.generations.iter_mut().any(|generation| generation.reaped(pid, exit, events)) {
                events.push(Event::Exited(pid.as_raw(), exit.to_string()));
            }
            self.decide(events);
        }
        let now = clock::monotonic_ms();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            for generation in &mut self.generations {
                generation.tick(now, events);
            }
            let slots = self.supervisor.indices().map(|index| (index, self.board.slot(index).last_beat()));
            events.push(Event::Tick(slots.collect()));
        } else {
            // Something may have fallen due; a tick without beats looks at that.
            events.push(Event::Due);
        }
    }

    fn hear(&mut self, events: &mut Vec<Event>) {
        // Read first and told last: a worker speaks after its mold has spoken of
        // it, so that this finds the word of the mold in any case.
        let mut from_workers = Vec::new();
        // Bounded, since nobody must be able to keep the master listening.
        while from_workers.len() < SLOTS
            && let Ok(Received::Message(news)) = self.from_workers.poll()
        {
            from_workers.push(match news {
                WorkerNews::Ready(pid) => Event::Ready(pid),
                WorkerNews::Failed { pid, reason } => Event::BootFailed(pid, reason),
            });
        }
        let now = clock::monotonic_ms();
        for generation in &mut self.generations {
            generation.news(now, events);
        }
        events.append(&mut from_workers);
    }

    fn on_signal(&mut self, signal: Signal) -> Option<Event> {
        match signal {
            Signal::SIGTERM => {
                tracing::info!("stopping: requests in flight are finished");
                self.stop_listening();
                Some(Event::Stop)
            }
            Signal::SIGINT | Signal::SIGQUIT => {
                tracing::info!("stopping now");
                self.stop_listening();
                Some(Event::StopNow)
            }
            Signal::SIGHUP => self.reload(),
            Signal::SIGTTIN => Some(Event::ScaleUp),
            Signal::SIGTTOU => Some(Event::ScaleDown),
            Signal::SIGUSR1 => {
                tracing::info!("logs are opened again");
                // Here, where root can; workers that are somebody else open
                // what they find.
                for generation in &self.generations {
                    if let Err(error) = telemetry::create_access_log(generation.config()) {
                        tracing::error!("{error:#}");
                    }
                }
                for pid in self.supervisor.pids() {
                    process::send_signal(pid, Signal::SIGUSR1);
                }
                None
            }
            Signal::SIGUSR2 => {
                tracing::warn!(
                    "USR2 is reserved for a binary upgrade, which this version cannot do; ignored"
                );
                None
            }
            // CHLD: whoever ended is reaped in any case.
            _ => None,
        }
    }

    /// Has the supervisor look at `events`, and does what it says.
    fn decide(&mut self, events: &mut Vec<Event>) {
        let mut queue: VecDeque<_> = events.drain(..).collect();
        while let Some(event) = queue.pop_front() {
            let now = clock::monotonic_ms();
            for action in self.supervisor.step(event, now) {
                self.act(action, now, &mut queue);
            }
        }
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
            Action::Fork(number, index) => {
                if let Some(generation) =
                    self.generations.iter().find(|generation| generation.number == number)
                {
                    generation.fork(index);
                }
            }
            Action::Drain(pid) => process::send_signal(pid, Signal::SIGTERM),
            Action::Retire(pid) => process::send_signal(pid, Signal::SIGUSR2),
            Action::Quit(pid) => process::send_signal(pid, Signal::SIGQUIT),
            Action::Kill(pid) => process::send_signal(pid, Signal::SIGKILL),
            // Whoever speaks for a worker may say any number: only a child of
            // this process is ended on such a word.
            Action::KillStray(pid) if process::parent(pid) == Some(Pid::this()) => {
                process::send_signal(pid, Signal::SIGKILL);
            }
            Action::KillStray(_) => {}
            Action::Release(index) => self.board.slot(index).release(),
            Action::Live(number) => self.live(number),
            Action::Abandoned(number, reason) => self.abandoned(number, reason),
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
        let (config, listeners) = self.pending.take().context("there is no configuration for it")?;
        let to_master = self.to_master.clone();
        let generation = Generation::new(number, config, listeners, self.board, to_master, self.roles);
        self.generations.push(generation);
        Ok(self.generations.last_mut().expect("just pushed"))
    }

    fn live(&mut self, number: u32) {
        let Some(at) = self.generations.iter().position(|generation| generation.number == number) else {
            return;
        };
        let now_live = self.generations.remove(at);
        telemetry::init_log(&now_live.config().log);
        let count = supervisor::workers(now_live.config().pool.workers.count);
        tracing::info!("ready: generation {number}, {count}");
        let retired = std::mem::replace(&mut self.generations, vec![now_live]);
        retired.iter().for_each(|generation| self.unlink_unused(generation.listeners()));
    }

    fn abandoned(&mut self, number: u32, reason: String) {
        let (given_up, kept) = std::mem::take(&mut self.generations)
            .into_iter()
            .partition::<Vec<_>, _>(|generation| generation.number == number);
        self.generations = kept;
        if self.generations.is_empty() {
            tracing::error!("cannot start: {reason}");
        } else {
            tracing::error!("the reload is given up, the generation before it goes on: {reason}");
            given_up.iter().for_each(|generation| self.unlink_unused(generation.listeners()));
        }
    }

    fn clean_up(&mut self) {
        self.stop_listening();
        if let Some(pid_file) = self.pid_file.take() {
            pid_file.remove();
        }
        tracing::info!("stopped");
    }
}
