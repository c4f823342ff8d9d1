//! What a reload changes, and which sockets are open because of it.

use std::sync::Arc;

use nix::unistd::{Gid, Uid};

use super::Master;
use super::generation::{self, Generation};
use super::supervisor::Event;
use crate::config::{BindAddr, Command, Config, MasterConfig};
use crate::listeners::{self, Listener, Wanted};
use crate::sys::fd;
use crate::telemetry;

/// The sockets that a configuration asks for.
pub(super) fn wanted(config: &Config) -> Wanted<'_> {
    let identity = &config.master.identity;
    Wanted {
        addresses: &config.bind,
        backlog: config.backlog,
        owner: (identity.uid.map(Uid::as_raw), identity.gid.map(Gid::as_raw)),
    }
}

pub(super) fn announce(listener: &Listener) {
    tracing::info!("listening on {} (pid {})", listener.shown(), std::process::id());
}

impl Master {
    /// Reads the configuration anew; a bad one changes nothing.
    pub(super) fn reload(&mut self) -> Option<Event> {
        if self.stopping {
            tracing::warn!("the reload is refused: the server is stopping");
            return None;
        }
        let config = match self.invocation.resolve() {
            Ok(Command::Serve(config)) => *config,
            Ok(_) => return None,
            Err(problems) => {
                let problems: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
                tracing::error!(
                    "the reload is refused, the configuration stays as it was: {}",
                    problems.join("; ")
                );
                return None;
            }
        };
        let known: Vec<_> = self.listeners().cloned().collect();
        let bound = telemetry::create_access_log(&config)
            .and_then(|()| listeners::bind_all(&wanted(&config), &known, &self.handed_down));
        match bound {
            Ok(listeners) => {
                tracing::info!("reloading");
                self.say_what_stays(&config.master);
                let is_new =
                    |listener: &&Arc<Listener>| !known.iter().any(|known| Arc::ptr_eq(known, listener));
                listeners.iter().filter(is_new).for_each(|listener| announce(listener));
                let event = Event::Reload(generation::settings(&config));
                if let Some((_, replaced)) = self.pending.replace((Arc::new(config), listeners)) {
                    self.unlink_unused(&replaced);
                }
                Some(event)
            }
            Err(error) => {
                tracing::error!("the reload is refused, the configuration stays as it was: {error:#}");
                None
            }
        }
    }

    /// Names what was changed and cannot be while the master runs.
    fn say_what_stays(&self, new: &MasterConfig) {
        let Some(live) = self.generations.first() else { return };
        let old = &live.config().master;
        for (option, differs) in [
            ("--pid", old.pid_file != new.pid_file),
            ("--umask", old.umask != new.umask),
            ("--chdir", old.chdir != new.chdir),
        ] {
            if differs {
                tracing::warn!("{option} was changed, which takes a restart");
            }
        }
    }

    /// Closes the sockets, so that clients are turned away, and can go elsewhere,
    /// once the workers have accepted what waits.
    pub(super) fn stop_listening(&mut self) {
        self.stopping = true;
        let waiting = self.pending.take().map(|(_, listeners)| listeners);
        let serving = self.generations.iter_mut().map(Generation::take_listeners);
        for listener in serving.chain(waiting).flatten() {
            listener.unlink();
            // The listener is a copy of what the server was started with.
            if let BindAddr::Fd(number) = listener.asked() {
                fd::close_all(&[*number]);
            }
        }
    }

    /// Every socket that is, or will be, accepted on.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let waiting = self.pending.iter().flat_map(|(_, listeners)| listeners);
        self.generations.iter().flat_map(Generation::listeners).chain(waiting)
    }

    /// Removes the files of those unix sockets in `gone` that are not used further.
    pub(super) fn unlink_unused(&self, gone: &[Arc<Listener>]) {
        for listener in gone {
            if !self.listeners().any(|used| used.asked() == listener.asked()) {
                listener.unlink();
            }
        }
    }
}
