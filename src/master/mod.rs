//! The master: one thread, one loop, no runtime and no wasm engine. It binds
//! the sockets, has workers made, reaps them and decides.

mod act;
mod daemon;
mod generation;
mod heir;
mod orders;
mod pid_file;
mod reload;
mod rounds;
mod status;
pub mod supervisor;
mod upgrade;
mod watch;

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use crate::config::{Config, Invocation};
use crate::control::{ClientId, ControlServer};
use crate::handoff::{Channel, CompilerSeed, MoldSeed, Received, WorkerNews};
use crate::listeners::Listener;
use crate::sandbox::{Cgroup, Confinement};
use crate::sys::signals::SignalQueue;
use crate::sys::{clock, fd, process};
use crate::systemd::Notifier;
use crate::telemetry::{self, Board, SLOTS};

use daemon::Launched;
use generation::Generation;
use heir::Inherited;
pub use heir::tell_predecessor;
use pid_file::PidFile;
use reload::{Past, Pending};
use rounds::Rounds;
use supervisor::{Event, Millis, Supervisor};
use upgrade::Upgrade;

/// Signals that are looked at in one turn: nobody must be able to keep the master
/// from its other work.
const SIGNALS: usize = 32;

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
    // Before anything else is opened.
    let mut handed_down = fd::handed_down()?;
    telemetry::init_log(&config.log);
    let inherited = heir::inherit(&invocation, &mut handed_down)?;
    let launcher = match config.master.daemon && inherited.is_none() {
        true => match daemon::launch()? {
            Launched::Launcher(code) => return Ok(code),
            Launched::Daemon(launcher) => Some(launcher),
        },
        false => None,
    };
    let mut inherited = inherited;
    let mut master =
        Master::new(invocation, config, roles, handed_down, &mut inherited).inspect_err(|error| {
            if let Some(inherited) = &inherited {
                inherited.fail(&format!("{error:#}"));
            }
        })?;
    master.launcher = launcher;
    let code = master.supervise();
    master.clean_up();
    Ok(code)
}

struct Master {
    invocation: Invocation,
    /// The file that this program was started by, links and all.
    program: PathBuf,
    /// What --umask took the place of.
    umask_before: Option<Mode>,
    started: Millis,
    roles: Roles,
    cgroup: Option<Cgroup>,
    board: Board,
    board_fd: OwnedFd,
    signals: SignalQueue,
    supervisor: Supervisor,
    generations: Vec<Generation>,
    /// What the next generation is made of.
    pending: Option<Pending>,
    /// The generation before the one that serves, to go back to.
    past: Option<Past>,
    from_workers: Channel,
    to_master: Arc<Channel>,
    handed_down: Vec<RawFd>,
    pid_file: Option<PidFile>,
    control: Option<ControlServer>,
    /// Where health is told while the server ends.
    last_health: Option<Arc<Listener>>,
    manager: Notifier,
    rounds: Rounds,
    upgrade: Option<Upgrade>,
    /// New masters that are not wanted any more, and when they are killed.
    dismissed: Vec<(i32, Millis)>,
    predecessor: Option<Inherited>,
    launcher: Option<Channel>,
    last_change: Option<String>,
    stopping: bool,
    exit: Option<u8>,
}

impl Master {
    fn new(
        invocation: Invocation,
        config: Config,
        roles: Roles,
        handed_down: Vec<RawFd>,
        inherited: &mut Option<Inherited>,
    ) -> Result<Self> {
        let program = upgrade::program(&invocation)?;
        let confinement = Confinement::prepare(&config)?;
        if let Some(dir) = &config.master.chdir {
            std::env::set_current_dir(dir).with_context(|| format!("--chdir {}", dir.display()))?;
        }
        let umask_before = config.master.umask.map(|mask| umask(Mode::from_bits_truncate(mask)));
        let signals = SignalQueue::new(&[
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGHUP,
            Signal::SIGCHLD,
            Signal::SIGTTIN,
            Signal::SIGTTOU,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
        ])?;
        process::become_subreaper().context("PR_SET_CHILD_SUBREAPER")?;
        // As root, before the workers are somebody else.
        telemetry::create_access_log(&config)?;
        let pid_file = match (&config.master.pid_file, inherited.as_mut()) {
            (Some(path), Some(inherited)) => Some(inherited.pid_file(path)?),
            (path, _) => path.as_deref().map(PidFile::create).transpose()?,
        };
        let known = inherited.as_ref().map(Inherited::listeners).unwrap_or_default();
        let bound = reload::bind(&config, known, &handed_down).and_then(|sockets| {
            // An heir takes it over when it serves.
            let control = if inherited.is_some() { None } else { orders::control_socket(&config.master)? };
            Ok((sockets, control))
        });
        let (sockets, control) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                pid_file.into_iter().for_each(PidFile::remove);
                return Err(error);
            }
        };
        sockets.new_beside(known).for_each(reload::announce);
        let wanted = &config.pool.workers;
        tracing::info!("{} ({})", supervisor::workers(wanted.count), wanted.reason);
        tracing::info!("{}", confinement.shown);
        let (from_workers, to_master) = Channel::pair()?;
        let started = clock::monotonic_ms();
        let seed = started ^ u64::from(std::process::id()) << 32;
        let (board, board_fd) = Board::new()?;
        let legacy = inherited.as_ref().map(Inherited::legacy);
        let manager = rounds::manager(&invocation, inherited.is_some());
        let mut master = Self {
            program,
            umask_before,
            started,
            roles,
            cgroup: confinement.cgroup,
            board,
            board_fd,
            signals,
            supervisor: Supervisor::new(SLOTS, seed, legacy),
            generations: Vec::new(),
            pending: None,
            past: None,
            from_workers,
            to_master: Arc::new(to_master),
            handed_down,
            pid_file,
            control,
            last_health: None,
            manager,
            rounds: Rounds::default(),
            upgrade: None,
            dismissed: Vec::new(),
            predecessor: inherited.take(),
            launcher: None,
            last_change: None,
            stopping: false,
            exit: None,
            invocation,
        };
        master.pending = Some(Pending::new(Arc::new(config), sockets, started));
        Ok(master)
    }

    fn supervise(&mut self) -> u8 {
        let mut events = Vec::from_iter(self.pending.as_ref().map(Pending::event));
        loop {
            self.decide(&mut events);
            if let Some(code) = self.exit.filter(|_| self.dismissed.is_empty()) {
                return code;
            }
            if let Err(error) = self.wait() {
                tracing::error!("poll: {error}");
            }
            self.gather(&mut events);
        }
    }

    /// Sleeps until something happens or falls due.
    fn wait(&self) -> nix::Result<()> {
        let mut watched = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.from_workers.as_fd(), PollFlags::POLLIN),
        ];
        let channels = self.generations.iter().flat_map(Generation::channels);
        let others = self.upgrade.iter().filter_map(Upgrade::channel);
        let others = others.chain(self.predecessor.iter().filter_map(Inherited::channel));
        watched.extend(channels.chain(others).map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
        let control = self.control.iter().flat_map(ControlServer::descriptors);
        watched.extend(control.map(|(fd, interest)| PollFd::new(fd, interest)));
        let due = [
            Some(self.rounds.due()),
            self.supervisor.next_deadline(),
            self.control.as_ref().and_then(ControlServer::next_deadline),
        ];
        let due = due.into_iter().flatten().min().unwrap_or(0);
        let wait = due.saturating_sub(clock::monotonic_ms());
        match poll(&mut watched, PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Collects what has happened, in an order in which a worker is heard of
    /// before it is seen to end.
    fn gather(&mut self, events: &mut Vec<Event>) {
        for _ in 0..SIGNALS {
            let Ok(Some(signal)) = self.signals.next() else { break };
            events.extend(self.on_signal(signal));
            // The next one finds what this one has begun.
            self.decide(events);
        }
        self.hear(events);
        self.decide(events);
        while let Some((pid, exit)) = process::reap() {
            // What it, or its mold of it, has said since the channels were read.
            self.hear(events);
            self.decide(events);
            let mut makers = self.generations.iter_mut();
            if !makers.any(|generation| generation.reaped(pid, exit, events))
                && !self.successor_ended(pid, exit)
            {
                events.push(self.ended(pid.as_raw(), exit));
            }
            self.decide(events);
        }
        self.hear_operators(events);
        self.hear_successor(events);
        self.hear_predecessor();
        self.make_rounds(events);
        let slots = self.supervisor.indices().map(|index| (index, self.board.slot(index).last_beat()));
        events.push(Event::Tick(slots.collect()));
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
                WorkerNews::Spent(pid) => Event::Recycle(pid, "it has answered --max-requests".to_owned()),
                WorkerNews::Leaving(pid) => {
                    Event::Recycle(pid, "somebody sent it a signal to end".to_owned())
                }
                WorkerNews::Failed { pid, reason } => Event::BootFailed(pid, reason),
            });
        }
        let now = clock::monotonic_ms();
        for generation in &mut self.generations {
            generation.news(now, events);
        }
        events.append(&mut from_workers);
    }

    /// What a process took along that ended.
    fn ended(&self, pid: i32, exit: process::Exit) -> Event {
        let mut how = exit.to_string();
        if let Some(why) = self.cgroup.as_ref().and_then(|cgroup| cgroup.ended(pid)) {
            how = format!("{how}: {why}");
        }
        let load = self.supervisor.slot_of(pid).map(|slot| self.board.slot(slot).load()).unwrap_or_default();
        if exit != process::Exit::Code(0) && (load.in_flight > 0 || load.connections > 0) {
            let some = |count: u64, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
            let (requests, connections) =
                (some(load.in_flight, "request"), some(load.connections, "connection"));
            how = format!("{how}; {requests} in flight on {connections} were lost");
        }
        Event::Exited { pid, how, is_clean: exit == process::Exit::Code(0) }
    }

    fn clean_up(&mut self) {
        self.stop_listening();
        let health = self.last_health.take();
        self.close(Vec::from_iter(health), self.is_succeeded());
        if let Some(control) = &self.control {
            control.unlink();
        }
        if let Some(pid_file) = self.pid_file.take() {
            pid_file.remove();
        }
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.release();
        }
        tracing::info!("stopped");
    }
}
