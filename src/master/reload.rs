//! What a reload changes, and which sockets are open because of it.

use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::unistd::{Gid, Uid};

use super::generation::{self, Generation, Sockets};
use super::supervisor::{Event, Millis};
use super::watch::Watch;
use super::{ClientId, Master};
use crate::artifact::Fingerprint;
use crate::config::{BindAddr, Command, Config, MasterConfig};
use crate::listeners::{self, Listener, Wanted};
use crate::sys::{clock, fd};
use crate::telemetry;

/// What a generation is made of that was not begun yet.
pub(super) struct Pending {
    pub config: Arc<Config>,
    pub sockets: Sockets,
    /// What it runs, if that is not for its mold to find out.
    pub pinned: Option<Vec<Fingerprint>>,
    /// Who waits to hear what comes of it.
    pub askers: Vec<ClientId>,
    pub asked_at: Millis,
    /// What is to be watched when it serves, as it was before it was read.
    pub watch: Option<Watch>,
}

impl Pending {
    pub fn new(config: Arc<Config>, sockets: Sockets, now: Millis) -> Self {
        let watch = Watch::of(&config);
        Self { config, sockets, pinned: None, askers: Vec::new(), asked_at: now, watch }
    }

    pub fn event(&self) -> Event {
        Event::Reload(generation::settings(&self.config))
    }
}

/// A generation that served: its compiled components are in the cache.
pub(super) struct Past {
    pub number: u32,
    config: Arc<Config>,
    pinned: Option<Vec<Fingerprint>>,
}

impl Past {
    pub fn of(generation: &Generation) -> Self {
        let (config, pinned) = (generation.config().clone(), generation.pinned().cloned());
        Self { number: generation.number, config, pinned }
    }
}

/// Binds what a configuration asks for; what is in `known` is used further.
///
/// # Errors
/// See [`listeners::bind_all`].
pub(super) fn bind(config: &Config, known: &[Arc<Listener>], handed_down: &[RawFd]) -> Result<Sockets> {
    let identity = &config.master.identity;
    let wanted = |addresses| Wanted {
        addresses,
        backlog: config.backlog,
        owner: (identity.uid.map(Uid::as_raw), identity.gid.map(Gid::as_raw)),
    };
    let serving = listeners::bind_all(&wanted(&config.bind), known, handed_down)?;
    let addresses = config.health.bind.as_slice();
    let health = listeners::bind_all(&wanted(addresses), known, handed_down).context("--health-bind");
    let health = health.inspect_err(|_| {
        serving.iter().filter(|listener| !is_among(listener, known)).for_each(|listener| listener.unlink());
    })?;
    Ok(Sockets { serving, health: health.into_iter().next() })
}

pub(super) fn announce((listener, is_health): (&Arc<Listener>, bool)) {
    let (verb, pid) = (if is_health { "health is told on" } else { "listening on" }, std::process::id());
    tracing::info!("{verb} {} (pid {pid})", listener.shown());
}

fn is_among(listener: &Arc<Listener>, known: &[Arc<Listener>]) -> bool {
    known.iter().any(|known| Arc::ptr_eq(known, listener))
}

impl Sockets {
    /// Those that are not in `known`, and whether they are for health.
    pub fn new_beside(&self, known: &[Arc<Listener>]) -> impl Iterator<Item = (&Arc<Listener>, bool)> {
        let serving = self.serving.iter().map(|listener| (listener, false));
        let all = serving.chain(self.health.iter().map(|listener| (listener, true)));
        all.filter(|(listener, _)| !is_among(listener, known))
    }
}

impl Master {
    /// Reads the configuration anew; a bad one changes nothing. `changed` is the file
    /// that was found to be another one, if that is why.
    ///
    /// # Errors
    /// Why there is no reload.
    pub(super) fn reload(
        &mut self,
        asker: Option<ClientId>,
        changed: Option<&Path>,
    ) -> Result<Event, String> {
        self.may_reload()?;
        let config = match self.invocation.resolve() {
            Ok(Command::Serve(config)) => *config,
            Ok(_) => return Err("the configuration says to do something else than to serve".to_owned()),
            Err(problems) => {
                let problems: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
                return Err(problems.join("; "));
            }
        };
        match changed {
            Some(path) => tracing::info!("reloading, since {} has changed", path.display()),
            None => tracing::info!("reloading"),
        }
        self.say_what_stays(&config.master);
        self.prepare(Arc::new(config), None, asker)
    }

    /// Goes back to the generation before.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn roll_back(&mut self, asker: Option<ClientId>) -> Result<Option<Event>, String> {
        self.may_reload()?;
        if self.supervisor.is_reloading() {
            return Err("a reload is under way; its failure is a rollback too".to_owned());
        }
        let past = self.past.as_ref().ok_or("there is no generation before this one")?;
        tracing::info!("rolling back to what generation {} was", past.number);
        self.prepare(past.config.clone(), past.pinned.clone(), asker).map(Some)
    }

    fn may_reload(&self) -> Result<(), String> {
        if self.stopping {
            return Err("the server is stopping".to_owned());
        }
        if let Some(upgrade) = &self.upgrade {
            return Err(upgrade.refusal());
        }
        Ok(())
    }

    /// Has a configuration be the next one.
    fn prepare(
        &mut self,
        config: Arc<Config>,
        pinned: Option<Vec<Fingerprint>>,
        asker: Option<ClientId>,
    ) -> Result<Event, String> {
        let known: Vec<_> = self.listeners().cloned().collect();
        let sockets = telemetry::create_access_log(&config)
            .and_then(|()| bind(&config, &known, &self.handed_down))
            .map_err(|error| format!("{error:#}"))?;
        sockets.new_beside(&known).for_each(announce);
        let mut pending = Pending { pinned, ..Pending::new(config, sockets, clock::monotonic_ms()) };
        let event = pending.event();
        pending.askers.extend(asker);
        if let Some(replaced) = self.pending.take() {
            // They hear what becomes of this one.
            pending.askers.extend(&replaced.askers);
            self.pending = Some(pending);
            self.unlink_unused(&replaced.sockets);
        } else {
            self.pending = Some(pending);
        }
        Ok(event)
    }

    /// Names what was changed and cannot be while the master runs.
    fn say_what_stays(&self, new: &MasterConfig) {
        let Some(live) = self.generations.first() else { return };
        let old = &live.config().master;
        for (option, differs) in [
            ("--pid", old.pid_file != new.pid_file),
            ("--umask", old.umask != new.umask),
            ("--chdir", old.chdir != new.chdir),
            ("--control-socket", old.control_socket != new.control_socket),
            ("--daemon", old.daemon != new.daemon),
        ] {
            if differs {
                tracing::warn!("{option} was changed, which takes a restart");
            }
        }
    }

    /// Closes the sockets for clients, so that these are turned away, and can go elsewhere,
    /// once the workers have accepted what waits.
    pub(super) fn stop_listening(&mut self) {
        self.stopping = true;
        let waiting = self.pending.take().map(|pending| {
            self.refuse(&pending.askers, "the server is stopping");
            pending.sockets
        });
        let is_succeeded = self.is_succeeded();
        let serving: Vec<_> = self.generations.iter_mut().map(Generation::take_sockets).collect();
        for mut sockets in serving.into_iter().chain(waiting) {
            // Until the last worker has ended there is something to ask it.
            self.last_health = sockets.health.take().or(self.last_health.take());
            self.close(sockets.serving, is_succeeded);
        }
    }

    /// Closes sockets for good.
    pub(super) fn close(&self, sockets: Vec<Arc<Listener>>, is_succeeded: bool) {
        for listener in sockets {
            // Another master's, by now or still.
            if !is_succeeded && !self.is_lent(&listener) {
                listener.unlink();
            }
            // The listener is a copy of what the server was started with.
            if let BindAddr::Fd(number) = listener.asked() {
                fd::close_all(&[*number]);
            }
        }
    }

    /// Every socket that is, or will be, accepted on.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let waiting = self.pending.iter().map(|pending| &pending.sockets);
        self.generations.iter().map(Generation::sockets).chain(waiting).flat_map(Sockets::all)
    }

    /// Removes the files of those unix sockets in `gone` that are not used further.
    pub(super) fn unlink_unused(&self, gone: &Sockets) {
        for listener in gone.all() {
            if !self.listeners().any(|used| used.asked() == listener.asked()) && !self.is_lent(listener) {
                listener.unlink();
            }
        }
    }

    fn is_lent(&self, listener: &Listener) -> bool {
        self.predecessor.as_ref().is_some_and(|before| before.lends(listener))
    }
}
