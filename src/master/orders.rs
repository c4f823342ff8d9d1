//! What the operator asks for, by signal or by `wasgun ctl`.

use std::path::Path;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::supervisor::{self, Event};
use super::{ClientId, Master};
use crate::config::{ControlAction, LogConfig, LogLevel, MasterConfig};
use crate::control::{ControlServer, Reply};
use crate::sys::{clock, process};
use crate::systemd::Notifier;
use crate::telemetry::{self, SLOTS};

/// The socket at which `wasgun ctl` is heard, if there is to be one.
///
/// # Errors
/// Somebody asked for it, and it cannot be had.
pub(super) fn control_socket(config: &MasterConfig) -> Result<Option<ControlServer>> {
    let Some(socket) = &config.control_socket else { return Ok(None) };
    match ControlServer::bind(&socket.path) {
        Ok(control) => {
            announce(&control);
            Ok(Some(control))
        }
        Err(error) if socket.is_wanted => Err(error.context("--control-socket")),
        Err(error) => {
            tracing::info!("there is no control socket: {error:#}");
            Ok(None)
        }
    }
}

pub(super) fn announce(control: &ControlServer) {
    tracing::info!("wasgun ctl is heard at {}", control.path().display());
}

/// What is said of a change at once: that it is refused, or, to who does not wait
/// for its end, that it has begun.
fn change_reply(
    ordered: Result<Option<Event>, String>,
    wait: bool,
    begun: &str,
    events: &mut Vec<Event>,
) -> Option<Reply> {
    match ordered {
        Ok(event) => {
            events.extend(event);
            (!wait).then(|| Reply::done(begun))
        }
        Err(reason) => Some(Reply::failed(reason)),
    }
}

impl Master {
    pub(super) fn on_signal(&mut self, signal: Signal) -> Option<Event> {
        match signal {
            Signal::SIGTERM => Some(self.order_stop()),
            Signal::SIGINT | Signal::SIGQUIT => Some(self.order_stop_now()),
            Signal::SIGHUP => self.order_reload(None, None).ok().flatten(),
            Signal::SIGTTIN => Some(Event::ScaleUp),
            Signal::SIGTTOU => Some(Event::ScaleDown),
            Signal::SIGUSR1 => {
                self.reopen_logs();
                None
            }
            Signal::SIGUSR2 => {
                drop(self.order_upgrade(None));
                None
            }
            // CHLD: whoever ended is reaped in any case.
            _ => None,
        }
    }

    /// Hears those who are connected to the control socket.
    pub(super) fn hear_operators(&mut self, events: &mut Vec<Event>) {
        let now = clock::monotonic_ms();
        let heard = self.control.as_mut().map(|control| control.hear(now)).unwrap_or_default();
        for (client, action) in heard {
            self.obey(client, action, events);
            // The next order finds what this one has done.
            self.decide(events);
        }
    }

    fn obey(&mut self, client: ClientId, action: ControlAction, events: &mut Vec<Event>) {
        let done = |text: &str| Some(Reply::done(text));
        let reply = match action {
            ControlAction::Status => Some(Reply::status(self.status())),
            ControlAction::Scale { workers } => {
                let most = SLOTS / 2;
                if (1..=most).contains(&workers) && self.supervisor.live().is_some() && !self.stopping {
                    events.push(Event::Scale(workers));
                    Some(Reply::done(format!("{} wanted", supervisor::workers(workers))))
                } else if self.stopping || self.supervisor.live().is_none() {
                    Some(Reply::failed("the server is starting or stopping"))
                } else {
                    Some(Reply::failed(format!("{workers} workers: write a number from 1 to {most}")))
                }
            }
            ControlAction::Reload { wait } => {
                let ordered = self.order_reload(wait.then_some(client), None);
                change_reply(ordered, wait, "reloading", events)
            }
            ControlAction::Rollback { wait } => {
                let ordered = self.roll_back(wait.then_some(client));
                if ordered.is_ok() {
                    self.tell_manager(Notifier::reloading);
                }
                change_reply(ordered, wait, "rolling back", events)
            }
            ControlAction::Upgrade { wait } => {
                let ordered = self.order_upgrade(wait.then_some(client));
                change_reply(ordered.map(|()| None), wait, "upgrading", events)
            }
            ControlAction::Recycle { pid } => {
                let is_serving = self.supervisor.serving().any(|(_, serving)| serving == pid);
                if is_serving {
                    events.push(Event::Recycle(pid, "wasgun ctl asked for it".to_owned()));
                    Some(Reply::done(format!("worker {pid} is replaced")))
                } else {
                    Some(Reply::failed(format!("{pid} is no worker that serves; status shows which are")))
                }
            }
            ControlAction::LogLevel { level } => Some(match level.parse() {
                Ok(level) => self.set_log_level(level),
                Err(error) => Reply::failed(error),
            }),
            ControlAction::Stop { now: false } if self.stopping => {
                done("the server is stopping already; --now cuts what is still in flight")
            }
            ControlAction::Stop { now: false } => {
                let event = self.order_stop();
                events.push(event);
                done("stopping")
            }
            ControlAction::Stop { now: true } => {
                let event = self.order_stop_now();
                events.push(event);
                done("stopping now")
            }
        };
        if let Some(reply) = reply {
            self.answer(client, &reply);
        }
    }

    fn order_stop(&mut self) -> Event {
        if self.stopping && !self.is_succeeded() {
            tracing::info!("stopping now, since that is asked for again");
            return Event::Stop;
        }
        let live = self.generations.first();
        match live.map(|live| live.config().master.shutdown_delay).filter(|delay| !delay.is_zero()) {
            Some(delay) => tracing::info!("stopping in {delay:?}; until then requests are served"),
            None => tracing::info!("stopping: requests in flight are finished"),
        }
        self.begin_stop();
        Event::Stop
    }

    fn order_stop_now(&mut self) -> Event {
        tracing::info!("stopping now");
        self.begin_stop();
        Event::StopNow
    }

    fn begin_stop(&mut self) {
        self.stopping = true;
        self.give_up_upgrade("the server is stopping", true);
        self.tell_manager(Notifier::stopping);
    }

    /// Reloads. `asker` hears what comes of it, but not that it is refused.
    pub(super) fn order_reload(
        &mut self,
        asker: Option<ClientId>,
        changed: Option<&Path>,
    ) -> Result<Option<Event>, String> {
        self.tell_manager(Notifier::reloading);
        self.reload(asker, changed).map(Some).inspect_err(|reason| {
            tracing::error!("the reload is refused, the configuration stays as it was: {reason}");
            if !self.stopping {
                self.changed(format!("a reload was refused: {reason}"));
            }
        })
    }

    fn order_upgrade(&mut self, asker: Option<ClientId>) -> Result<(), String> {
        self.begin_upgrade(asker).inspect_err(|reason| tracing::error!("the upgrade is refused: {reason}"))
    }

    fn reopen_logs(&self) {
        tracing::info!("logs are opened again");
        // Here, where root can; workers that are somebody else open what they find.
        for generation in &self.generations {
            if let Err(error) = telemetry::create_access_log(generation.config()) {
                tracing::error!("{error:#}");
            }
        }
        for pid in self.supervisor.pids() {
            process::send_signal(pid, Signal::SIGUSR1);
        }
    }

    fn set_log_level(&self, level: LogLevel) -> Reply {
        let Some(live) = self.generations.first() else { return Reply::failed("nothing serves yet") };
        telemetry::init_log(&LogConfig { level, ..live.config().log.clone() });
        self.board.set_level(Some(level));
        Reply::done("the log has another level until the next reload; workers have it within a second")
    }

    pub(super) fn answer(&mut self, client: ClientId, reply: &Reply) {
        if let Some(control) = &mut self.control {
            control.reply(client, reply);
        }
    }

    pub(super) fn refuse(&mut self, clients: &[ClientId], reason: &str) {
        for client in clients {
            self.answer(*client, &Reply::failed(reason));
        }
    }
}
