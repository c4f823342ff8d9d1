//! A generation as the master sees it: one configuration, its sockets, and the
//! processes that make workers of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::reload::Pending;
use super::supervisor::{Event, Millis, Settings};
use super::watch::Watch;
use super::{ClientId, Roles};
use crate::artifact::Fingerprint;
use crate::config::Config;
use crate::handoff::{
    self, Channel, CompilerNews, CompilerSeed, Inheritance, MoldNews, MoldSeed, Order, Received,
};
use crate::listeners::Listener;
use crate::sandbox::Cgroup;
use crate::sys::process::{self, Exit, Forked};
use crate::telemetry::{self, Board};

/// A component that changes while it is compiled is compiled again, this often.
const COMPILATIONS: u32 = 3;

/// How long a worker may take to become ready, beside the trial of its apps.
const BOOT_TIMEOUT: Millis = 60_000;

/// How long a mold may take to load what is compiled.
const LOAD_TIMEOUT: Millis = 60_000;

/// A child on its way to serve, or to let others serve.
struct Child {
    pid: Pid,
    channel: Channel,
    since: Millis,
    ready: bool,
}

/// What clients, and those who ask after the server's health, connect to.
pub(super) struct Sockets {
    pub serving: Vec<Arc<Listener>>,
    pub health: Option<Arc<Listener>>,
}

impl Sockets {
    pub fn all(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.serving.iter().chain(&self.health)
    }
}

/// One configuration in force, or on its way.
pub(super) struct Generation {
    pub number: u32,
    /// Who waits to hear what comes of it, and since when it is wanted.
    pub askers: Vec<ClientId>,
    pub asked_at: Millis,
    /// What is to be watched once it serves.
    pub watch: Option<Watch>,
    sockets: Sockets,
    inheritance: Inheritance,
    roles: Roles,
    mold: Option<Child>,
    compiler: Option<Child>,
    compilations: u32,
    /// What its first mold loaded: a later one loads the same.
    pinned: Option<Vec<Fingerprint>>,
}

impl Generation {
    pub fn new(
        number: u32,
        pending: Pending,
        board: Board,
        cgroup: Option<Cgroup>,
        to_master: Arc<Channel>,
        roles: Roles,
    ) -> Self {
        let Pending { config, sockets, pinned, askers, asked_at, watch } = pending;
        let master = Pid::this();
        let inheritance = Inheritance {
            generation: number,
            config,
            listeners: Vec::new(),
            health: None,
            board,
            cgroup,
            master,
            to_master,
        };
        Self {
            number,
            askers,
            asked_at,
            watch,
            sockets,
            inheritance,
            roles,
            mold: None,
            compiler: None,
            compilations: 0,
            pinned,
        }
    }

    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Gives up its sockets: whoever accepts on them has descriptors of its own.
    pub fn take_sockets(&mut self) -> Sockets {
        std::mem::replace(&mut self.sockets, Sockets { serving: Vec::new(), health: None })
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.inheritance.config
    }

    /// What it runs, once that is known.
    pub fn pinned(&self) -> Option<&Vec<Fingerprint>> {
        self.pinned.as_ref()
    }

    /// Descriptors that news arrive on.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        [&self.mold, &self.compiler].into_iter().flatten().map(|child| &child.channel)
    }

    /// Starts the mold.
    pub fn start_mold(&mut self, now: Millis) -> Result<()> {
        let (ours, theirs) = Channel::pair()?;
        match process::fork_single_threaded()? {
            Forked::Child => {
                drop(ours);
                let inheritance = Inheritance {
                    listeners: self.sockets.serving.clone(),
                    health: self.sockets.health.clone(),
                    ..self.inheritance.clone()
                };
                let seed = MoldSeed { inheritance, orders: theirs, pinned: self.pinned.clone() };
                process::exit_now((self.roles.mold)(seed))
            }
            Forked::Parent(pid) => self.mold = Some(Child { pid, channel: ours, since: now, ready: false }),
        }
        Ok(())
    }

    fn start_compiler(&mut self, now: Millis) -> Result<()> {
        let (ours, theirs) = Channel::pair()?;
        match process::fork_single_threaded()? {
            Forked::Child => {
                drop(ours);
                let config = self.inheritance.config.clone();
                let seed = CompilerSeed { config, report: theirs, master: self.inheritance.master };
                process::exit_now((self.roles.compiler)(seed))
            }
            Forked::Parent(pid) => {
                self.compiler = Some(Child { pid, channel: ours, since: now, ready: false })
            }
        }
        tracing::info!("compiling {}", self.shown());
        Ok(())
    }

    /// What it serves, for people.
    pub fn shown(&self) -> String {
        let names: Vec<_> = self
            .inheritance
            .config
            .pool
            .apps
            .iter()
            .map(|app| {
                let before = app.middleware.iter().map(|path| format!("{} before ", path.display()));
                before.collect::<String>() + &app.source.to_string()
            })
            .collect();
        names.join(", ")
    }

    /// Has the mold fork a worker.
    pub fn fork(&self, index: usize, is_canary: bool) {
        if let Some(mold) = &self.mold {
            // Without waiting for a mold that hangs. An order that is lost is one
            // that is not answered, and after those the mold is replaced.
            drop(mold.channel.offer(&Order::Fork { index, is_canary }));
        }
    }

    /// Takes what mold and compiler have to say.
    pub fn news(&mut self, now: Millis, events: &mut Vec<Event>) {
        while let Some(news) = self.mold.as_ref().map(|mold| mold.channel.poll()) {
            match news {
                Ok(Received::Message(MoldNews::Ready(loaded))) => {
                    self.pinned = Some(loaded);
                    if let Some(mold) = &mut self.mold {
                        mold.ready = true;
                    }
                    events.push(Event::MoldReady(self.number));
                }
                Ok(Received::Message(MoldNews::NotCompiled)) => {
                    self.mold = None;
                    self.compile(now, events);
                }
                Ok(Received::Message(MoldNews::Failed(reason))) => {
                    self.mold = None;
                    events.push(Event::MoldGone(self.number, reason));
                }
                Ok(Received::Message(MoldNews::Forked { index, pid })) => {
                    events.push(Event::Forked(self.number, index, pid));
                }
                Ok(Received::Message(MoldNews::ForkFailed { index, reason })) => {
                    events.push(Event::ForkFailed(self.number, index, reason));
                }
                // How it ended is for the reaper to say.
                Ok(Received::Nothing | Received::Closed) => break,
                Err(error) => {
                    tracing::error!("a mold said something odd: {error}");
                    break;
                }
            }
        }
        let Some(compiler) = &self.compiler else { return };
        match compiler.channel.poll() {
            Ok(Received::Message(CompilerNews::Compiled { millis })) => {
                telemetry::clear_progress();
                tracing::info!("compiled in {:.1?}; kept in the cache", Duration::from_millis(millis));
                self.compiler = None;
                if let Err(error) = self.start_mold(now) {
                    events.push(Event::MoldGone(self.number, handoff::reason(&error)));
                }
            }
            Ok(Received::Message(CompilerNews::Failed(reason))) => {
                telemetry::clear_progress();
                self.compiler = None;
                events.push(Event::MoldGone(self.number, reason));
            }
            _ => {}
        }
    }

    fn compile(&mut self, now: Millis, events: &mut Vec<Event>) {
        self.compilations += 1;
        let started = if self.compilations > COMPILATIONS {
            Err(anyhow::anyhow!("{} changes faster than it compiles", self.shown()))
        } else {
            self.start_compiler(now)
        };
        if let Err(error) = started {
            events.push(Event::MoldGone(self.number, handoff::reason(&error)));
        }
    }

    /// Takes note that `pid` ended; whether it was one of this generation's.
    pub fn reaped(&mut self, pid: Pid, exit: Exit, events: &mut Vec<Event>) -> bool {
        if self.mold.as_ref().is_some_and(|mold| mold.pid == pid) {
            self.mold = None;
            events.push(Event::MoldGone(self.number, exit.to_string()));
            return true;
        }
        if self.compiler.as_ref().is_some_and(|compiler| compiler.pid == pid) {
            telemetry::clear_progress();
            self.compiler = None;
            let reason = handoff::compiler_died(&self.shown(), exit, &self.config().compile);
            events.push(Event::MoldGone(self.number, reason));
            return true;
        }
        false
    }

    /// Shows that the compiler works, and ends it when its time is up.
    pub fn tick(&mut self, now: Millis, events: &mut Vec<Event>) {
        if let Some(mold) = self.mold.as_ref().filter(|mold| !mold.ready && now > mold.since + LOAD_TIMEOUT) {
            // That it ended is found out as for any other end.
            tracing::error!("the mold has not loaded {} after 60 s; killed", self.shown());
            process::send_signal(mold.pid.as_raw(), Signal::SIGKILL);
        }
        let Some(compiler) = &self.compiler else { return };
        let (elapsed, limit) = (now - compiler.since, self.config().compile.timeout);
        if u128::from(elapsed) >= limit.as_millis() {
            process::send_signal(compiler.pid.as_raw(), Signal::SIGKILL);
            telemetry::clear_progress();
            self.compiler = None;
            let reason = handoff::took_too_long(&self.shown(), &self.config().compile);
            events.push(Event::MoldGone(self.number, reason));
        } else {
            telemetry::show_progress(&format!("compiling, {} s ", elapsed / 1000));
        }
    }

    /// Ends mold and compiler, which serve nobody.
    pub fn stop(&mut self) {
        // Closing the channel would not do: molds forked later have copies.
        if let Some(mold) = self.mold.take() {
            process::send_signal(mold.pid.as_raw(), Signal::SIGKILL);
        }
        if let Some(compiler) = self.compiler.take() {
            telemetry::clear_progress();
            process::send_signal(compiler.pid.as_raw(), Signal::SIGKILL);
        }
    }
}

pub(super) fn settings(config: &Config) -> Settings {
    let millis = |time: Duration| Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX / 4);
    Settings {
        workers: config.pool.workers.count,
        most: config.pool.workers.most,
        surge: config.pool.reload_surge,
        graceful_timeout: millis(config.master.graceful_timeout),
        worker_timeout: millis(config.master.worker_timeout),
        boot_timeout: BOOT_TIMEOUT
            + config.pool.apps.iter().map(|app| millis(app.request_timeout)).sum::<Millis>(),
        shutdown_delay: millis(config.master.shutdown_delay),
        lifetime: config.pool.recycling.lifetime.map(millis),
    }
}
