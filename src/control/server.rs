//! The master's end of the control socket.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, Result};
use nix::poll::PollFlags;

use crate::config::ControlAction;

use super::peer::{ClientId, Peer};
use super::place::{InUse, Place};
use super::protocol::Reply;

/// Clients served at the same time.
pub const CLIENTS: usize = 16;
/// Milliseconds that a client has for its first word before it can lose its place.
pub const GRACE_MS: u64 = 1_000;
/// Milliseconds without accepting, when no descriptor is left.
pub const PAUSE_MS: u64 = 100;

/// Listens on the control socket and holds its clients. Never waits for anything:
/// poll its [`descriptors`](Self::descriptors) up to its
/// [`next_deadline`](Self::next_deadline), then [`hear`](Self::hear).
///
/// The file stays when this is dropped, since forked children have a copy:
/// see [`unlink`](Self::unlink).
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    place: Place,
    peers: Vec<Peer>,
    accepted: u64,
    /// No descriptor was left: accept nobody before then.
    paused_until: Option<u64>,
    /// The time of the last `hear`.
    heard_at: u64,
}

impl ControlServer {
    /// Listens on `path`, with mode 0600. The socket of a server that is gone is
    /// replaced.
    ///
    /// # Errors
    /// Somebody answers there, something is there that is no socket, the path is too
    /// long for one, or the directory may not be written to.
    pub fn bind(path: &Path) -> Result<Self> {
        Self::open(path, InUse::Refuse)
    }

    /// Like [`bind`](Self::bind), and takes the name of a server that still listens.
    /// Those who are connected to that one stay with it.
    ///
    /// # Errors
    /// As with [`bind`](Self::bind), but that nobody may answer.
    pub fn take_over(path: &Path) -> Result<Self> {
        Self::open(path, InUse::Replace)
    }

    fn open(path: &Path, in_use: InUse) -> Result<Self> {
        let (listener, place) = Place::listen(path, in_use)
            .with_context(|| format!("cannot listen on the control socket {}", path.display()))?;
        Ok(Self { listener, place, peers: Vec::new(), accepted: 0, paused_until: None, heard_at: 0 })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Whether its file is there, and not another server's.
    pub fn is_own(&self) -> bool {
        self.place.is_own()
    }

    /// Removes the socket's file, unless another server has put its own there.
    pub fn unlink(&self) {
        self.place.remove();
    }

    /// What to poll, and for what. Whatever is reported, hang-ups too, is dealt with by
    /// the next [`hear`](Self::hear).
    pub fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listener = self.admits().then(|| (self.listener.as_fd(), PollFlags::POLLIN));
        listener.into_iter().chain(self.peers.iter().map(|peer| (peer.as_fd(), peer.interest())))
    }

    /// When to [`hear`](Self::hear), even if nothing is reported.
    pub fn next_deadline(&self) -> Option<u64> {
        let place = if self.admits() { None } else { self.place_at() };
        self.peers.iter().filter_map(Peer::deadline).chain(self.paused_until).chain(place).min()
    }

    /// Accepts, reads and writes what can be at once, and returns the requests that came.
    /// Each is to be answered with [`reply`](Self::reply); its client is not read from
    /// before.
    pub fn hear(&mut self, now_ms: u64) -> Vec<(ClientId, ControlAction)> {
        self.heard_at = now_ms;
        self.paused_until = self.paused_until.filter(|until| *until > now_ms);
        let mut asked = Vec::new();
        self.peers.retain_mut(|peer| step(peer, now_ms, &mut asked));
        for _ in 0..CLIENTS {
            if !self.admits() {
                break;
            }
            let Some(mut peer) = self.accept() else { break };
            if step(&mut peer, now_ms, &mut asked) {
                self.make_room();
                self.peers.push(peer);
            }
        }
        asked
    }

    /// Answers a request. If its client is gone, nothing happens.
    pub fn reply(&mut self, client: ClientId, reply: &Reply) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == client) {
            peer.reply(reply);
        }
    }

    fn accept(&mut self) -> Option<Peer> {
        let accepted =
            self.listener.accept().and_then(|(stream, _)| stream.set_nonblocking(true).map(|()| stream));
        match accepted {
            Ok(stream) => {
                self.accepted += 1;
                Some(Peer::new(ClientId(self.accepted), stream))
            }
            Err(error) => {
                // It would be reported again at once, and fail again.
                if error.kind() != ErrorKind::WouldBlock {
                    self.paused_until = Some(self.heard_at.saturating_add(PAUSE_MS));
                }
                None
            }
        }
    }

    /// Whether one more may come.
    fn admits(&self) -> bool {
        let place = self.peers.len() < CLIENTS || self.place_at().is_some_and(|at| at <= self.heard_at);
        place && self.paused_until.is_none()
    }

    /// When a place can be had from a client that makes no use of it, if all are taken.
    fn place_at(&self) -> Option<u64> {
        let idle = self.peers.iter().filter_map(Peer::idle_since).min()?;
        (self.peers.len() >= CLIENTS).then(|| idle.saturating_add(GRACE_MS))
    }

    /// Drops who has been idle for longest, if all places are taken.
    fn make_room(&mut self) {
        let idle =
            self.peers.iter().enumerate().filter_map(|(at, peer)| Some((peer.idle_since()?, at))).min();
        if let Some((_, at)) = idle.filter(|_| self.peers.len() >= CLIENTS) {
            self.peers.remove(at);
        }
    }

    /// Bytes its clients occupy.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.peers.iter().map(Peer::held).sum()
    }

    /// Clients it has.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.peers.len()
    }
}

/// Lets a client get on; tells whether it stays.
fn step(peer: &mut Peer, now_ms: u64, asked: &mut Vec<(ClientId, ControlAction)>) -> bool {
    let heard = peer.step(now_ms);
    let stays = heard.is_ok();
    asked.extend(heard.ok().flatten().map(|action| (peer.id, action)));
    stays
}
