//! A new master's side of an upgrade: what it has from the one before it, and
//! what it tells that one.

use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::generation::Sockets;
use super::pid_file::PidFile;
use super::supervisor::{Legacy, Scale};
use super::{Master, orders};
use crate::config::{BindAddr, HANDOVER, Invocation};
use crate::control::ControlServer;
use crate::handoff::{Channel, Received};
use crate::listeners::Listener;
use crate::sys::fd;
use crate::telemetry::Board;

/// What a master leaves to the next one. Descriptors by number: they are open in
/// it when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Estate {
    /// Who leaves it.
    pub master: u32,
    /// Sockets, each with the address it was bound for.
    pub listeners: Vec<(String, RawFd)>,
    /// The board of those who still work for it.
    pub board: RawFd,
    /// Requests counted there until now.
    pub requests: u64,
    /// The pid file, with the lock on it.
    pub pid_file: Option<(PathBuf, RawFd)>,
    /// How many workers were wanted, and under which configuration.
    pub workers: usize,
    pub configured: (usize, usize),
    /// Number of its last generation.
    pub generations: u32,
}

/// What the new master says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HeirNews {
    /// It serves.
    Ready,
    /// It cannot, and ends.
    Failed(String),
}

/// What this master has from the one before it.
pub(super) struct Inherited {
    /// `None` once that one has ended.
    channel: Option<Channel>,
    master: u32,
    /// Until this one serves: then nobody uses those any more that it does not.
    listeners: Vec<Arc<Listener>>,
    /// Counted on, until its workers have ended; `None` if it is of another kind.
    board: Option<Board>,
    requests: u64,
    pid_file: Option<(PathBuf, OwnedFd)>,
    legacy: Legacy,
    has_succeeded: bool,
}

/// The channel to the master before this one, if there is one.
fn channel(invocation: &Invocation) -> Result<Option<Channel>> {
    let Some((_, value)) = invocation.env.iter().rev().find(|(name, _)| name == HANDOVER) else {
        return Ok(None);
    };
    let number = value.to_str().and_then(|text| text.parse::<RawFd>().ok());
    let adopted = number.filter(|number| *number > 2).and_then(|number| fd::adopt(number).ok());
    let adopted = adopted.with_context(|| {
        format!("{HANDOVER}={} is set, but no master hands over to this one: unset it", value.display())
    })?;
    Ok(Some(Channel::adopted(adopted)))
}

/// Takes what the master before this one leaves, if there is one.
///
/// # Errors
/// Not all of it can be had.
pub(super) fn inherit(invocation: &Invocation, handed_down: &mut Vec<RawFd>) -> Result<Option<Inherited>> {
    let Some(channel) = channel(invocation)? else { return Ok(None) };
    match take_over(&channel, handed_down) {
        Ok(inherited) => Ok(Some(Inherited { channel: Some(channel), ..inherited })),
        Err(error) => {
            fail(&channel, &format!("{error:#}"));
            Err(error)
        }
    }
}

/// The same, still without the channel.
fn take_over(channel: &Channel, handed_down: &mut Vec<RawFd>) -> Result<Inherited> {
    let estate: Estate = match channel.wait()? {
        Received::Message(estate) => estate,
        Received::Nothing | Received::Closed => bail!("the master that started this one has ended"),
    };
    let mut take = |number| {
        handed_down.retain(|other| *other != number);
        fd::adopt(number).context("a descriptor was not handed over")
    };
    let board = take(estate.board)?;
    let listeners = estate.listeners.into_iter().map(|(address, number)| {
        let address: BindAddr = address.parse().map_err(anyhow::Error::msg)?;
        Ok(Arc::new(Listener::adopted(address, take(number)?)?))
    });
    let listeners = listeners.collect::<Result<_>>()?;
    let pid_file = estate.pid_file.map(|(path, number)| Ok::<_, anyhow::Error>((path, take(number)?)));
    let board = Board::of(&board);
    if let Err(error) = &board {
        tracing::warn!("what the old workers still count is not seen by the new master: {error}");
    }
    Ok(Inherited {
        channel: None,
        master: estate.master,
        listeners,
        board: board.ok(),
        requests: estate.requests,
        pid_file: pid_file.transpose()?,
        legacy: Legacy {
            scale: Scale { workers: estate.workers, configured: estate.configured },
            generations: estate.generations,
        },
        has_succeeded: false,
    })
}

/// Tells the master that started this one why it does not start, if one did.
pub fn tell_predecessor(invocation: &Invocation, reason: &str) {
    if let Ok(Some(channel)) = channel(invocation) {
        fail(&channel, reason);
    }
}

fn fail(channel: &Channel, reason: &str) {
    drop(channel.offer(&HeirNews::Failed(reason.to_owned())));
}

impl Inherited {
    /// Whether the old master still serves at it, and leaves it to nobody yet.
    pub fn lends(&self, listener: &Listener) -> bool {
        let is_among = self.listeners.iter().any(|lent| lent.asked() == listener.asked());
        self.channel.is_some() && is_among
    }

    /// The sockets.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The pid file at `path`: the old one, if it is there.
    ///
    /// # Errors
    /// As for a new one.
    pub fn pid_file(&mut self, path: &Path) -> Result<PidFile> {
        match self.pid_file.take() {
            Some((old, fd)) if old == path => Ok(PidFile::inherited(path, fd)),
            _ => PidFile::create(path),
        }
    }

    pub fn legacy(&self) -> Legacy {
        self.legacy
    }

    /// The way to the old master, while it lives.
    pub fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    /// Tells the old master why this one does not start.
    pub fn fail(&self, reason: &str) {
        if let Some(channel) = &self.channel {
            fail(channel, reason);
        }
    }

    /// What was counted before, and still is.
    pub fn requests(&self) -> u64 {
        self.board.map_or(self.requests, |board| board.requests()).max(self.requests)
    }

    /// Whether this master serves in the place of that one.
    pub fn has_succeeded(&self) -> bool {
        self.has_succeeded
    }
}

impl Master {
    /// Notices that the old master has ended.
    pub(super) fn hear_predecessor(&mut self) {
        let Some(before) = &mut self.predecessor else { return };
        let Some(channel) = &before.channel else { return };
        if !matches!(channel.poll::<()>(), Ok(Received::Nothing)) {
            before.channel = None;
            tracing::info!(
                "the master before this one (pid {}) has ended, or gives this one up",
                before.master
            );
            self.finish_succession();
        }
    }

    fn finish_succession(&mut self) {
        if self.predecessor.as_ref().is_some_and(|before| before.channel.is_none() && before.has_succeeded) {
            self.count_before();
            self.predecessor = None;
        }
    }

    /// Takes over what was counted under masters before this one, and still is, so
    /// that this one's board has all of it; the sum of everything.
    pub(super) fn count_before(&self) -> u64 {
        if let Some(before) = &self.predecessor {
            self.board.set_before(before.requests());
        }
        self.board.requests()
    }

    /// This master serves: what shows which one does is its own from here on.
    pub(super) fn succeed(&mut self) {
        let Some(before) = self.predecessor.as_mut().filter(|before| !before.has_succeeded) else { return };
        before.has_succeeded = true;
        let (old, listeners) = (before.master, std::mem::take(&mut before.listeners));
        self.unlink_unused(&Sockets { serving: listeners, health: None });
        self.claim();
        if let Some(channel) = self.predecessor.as_ref().and_then(Inherited::channel) {
            drop(channel.offer(&HeirNews::Ready));
        }
        tracing::info!("serving in the place of the master with pid {old}");
        self.finish_succession();
    }

    /// This master does not serve.
    pub(super) fn failed_to_succeed(&mut self, reason: &str) {
        if let Some(before) = &self.predecessor {
            before.fail(reason);
        }
    }

    /// Writes the pid file and binds the control socket, whoever had them before.
    pub(super) fn claim(&mut self) {
        if let Some(Err(error)) = self.pid_file.as_mut().map(PidFile::write) {
            tracing::error!("{error:#}");
        }
        let Some(master) = self.generations.first().map(|live| live.config().master.clone()) else { return };
        let Some(socket) = &master.control_socket else { return };
        match ControlServer::take_over(&socket.path) {
            Ok(control) => self.control = Some(control),
            Err(error) => tracing::error!("wasgun ctl cannot reach this master: {error:#}"),
        }
        if let Some(control) = &self.control {
            orders::announce(control);
        }
    }
}
