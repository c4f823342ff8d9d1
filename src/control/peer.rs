//! One client of the control socket.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::config::ControlAction;

use super::protocol::Reply;

/// Bytes of a request, its newline not counted.
pub const LONGEST_LINE: usize = 16 * 1024;
/// Milliseconds that a client may take to go on with what it began.
pub const PATIENCE_MS: u64 = 10_000;
/// Characters of what is said about a malformed request: the library quotes it whole.
const LONGEST_REASON: usize = 200;

/// A client of a [`ControlServer`](super::ControlServer); no two get the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(pub(super) u64);

/// The client is gone, or to be dropped.
#[derive(Debug)]
pub struct Over;

/// A connection: it reads a request, waits for the answer to be known, writes it, and
/// reads on. So neither side of it ever holds more than one message.
#[derive(Debug)]
pub struct Peer {
    /// Who it is.
    pub id: ClientId,
    stream: UnixStream,
    stage: Stage,
    input: Vec<u8>,
    output: Vec<u8>,
    /// When what it does now began, or last got on; `None` until that was looked at.
    since: Option<u64>,
    /// The client has sent all it will send.
    ended: bool,
    /// Nothing is read after this answer.
    last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reading,
    Working,
    Writing,
}

impl Peer {
    /// A client that has just been accepted.
    pub fn new(id: ClientId, stream: UnixStream) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Self { id, stream, stage: Stage::Reading, input, output, since: None, ended: false, last: false }
    }

    /// What to poll for. Input that is not read yet would be reported again and again,
    /// and a client that hung up is reported in any case.
    pub fn interest(&self) -> PollFlags {
        match self.stage {
            Stage::Reading => PollFlags::POLLIN,
            Stage::Working => PollFlags::empty(),
            Stage::Writing => PollFlags::POLLOUT,
        }
    }

    /// Since when it has had nothing to say.
    pub fn idle_since(&self) -> Option<u64> {
        self.since.filter(|_| self.stage == Stage::Reading && self.input.is_empty())
    }

    /// When it has to be looked at again.
    pub fn deadline(&self) -> Option<u64> {
        let idle = self.stage == Stage::Reading && self.input.is_empty();
        (self.stage != Stage::Working && !idle)
            .then(|| self.since.map_or(0, |since| since.saturating_add(PATIENCE_MS)))
    }

    /// Does what can be done at once, with one read and one write at most.
    pub fn step(&mut self, now_ms: u64) -> Result<Option<ControlAction>, Over> {
        match self.stage {
            Stage::Working => return if self.has_hung_up() { Err(Over) } else { Ok(None) },
            Stage::Writing => self.write()?,
            Stage::Reading => {}
        }
        if self.stage == Stage::Writing && self.output.is_empty() {
            if self.last {
                return Err(Over);
            }
            (self.stage, self.since) = (Stage::Reading, None);
        }
        let action = if self.stage == Stage::Reading { self.read()? } else { None };
        self.since.get_or_insert(now_ms);
        if self.deadline().is_some_and(|deadline| deadline <= now_ms) {
            return Err(Over);
        }
        Ok(action)
    }

    /// Answers the request being worked on, if there is one. Even if all of it is
    /// written here, `poll` reports room for more and the next line is looked at.
    pub fn reply(&mut self, reply: &Reply) {
        if self.stage == Stage::Working {
            self.answer(reply);
        }
    }

    fn answer(&mut self, reply: &Reply) {
        self.output =
            serde_json::to_vec(reply).unwrap_or_else(|_| br#"{"ok":false,"error":"no JSON"}"#.to_vec());
        self.output.push(b'\n');
        (self.stage, self.since) = (Stage::Writing, None);
        // The master may be about to end. Whoever is gone is found so by the next step.
        drop(self.write());
    }

    fn read(&mut self) -> Result<Option<ControlAction>, Over> {
        if !self.ended && !self.input.contains(&b'\n') {
            self.receive()?;
        }
        let Some(line) = self.next_line() else {
            if self.input.len() > LONGEST_LINE {
                self.last = true;
                self.answer(&Reply::failed(format!("a request has {LONGEST_LINE} bytes at most")));
            } else if self.ended {
                return Err(Over);
            }
            return Ok(None);
        };
        match serde_json::from_slice(&line) {
            Ok(action) => {
                (self.stage, self.since) = (Stage::Working, None);
                Ok(Some(action))
            }
            Err(error) => {
                let reason: String = error.to_string().chars().take(LONGEST_REASON).collect();
                self.answer(&Reply::failed(format!(
                    "not a request: {reason}; one is a JSON object a line, such as {{\"command\":\"status\"}}, \
                     and the commands are: {}",
                    ControlAction::COMMANDS
                )));
                Ok(None)
            }
        }
    }

    /// Takes a line off the input. What comes before the end counts as one.
    fn next_line(&mut self) -> Option<Vec<u8>> {
        let blank = self.input.len() - self.input.trim_ascii_start().len();
        self.input.drain(..blank);
        let end = match self.input.iter().position(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if self.ended && !self.input.is_empty() && self.input.len() <= LONGEST_LINE => {
                self.input.len()
            }
            None => return None,
        };
        Some(self.input.drain(..end).collect())
    }

    fn receive(&mut self) -> Result<(), Over> {
        let mut piece = [0; 4096];
        // One byte more than a line can have tells that it is too long.
        let room = (LONGEST_LINE + 1).saturating_sub(self.input.len()).min(piece.len());
        match recv(self.stream.as_raw_fd(), &mut piece[..room], MsgFlags::MSG_DONTWAIT) {
            Ok(0) => self.ended = true,
            Ok(length) => {
                if self.input.is_empty() {
                    self.since = None;
                }
                self.input.extend_from_slice(&piece[..length]);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return Err(Over),
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Over> {
        if self.output.is_empty() {
            return Ok(());
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.stream.as_raw_fd(), &self.output, flags) {
            Ok(length) => {
                self.output.drain(..length);
                self.output.shrink_to(LONGEST_LINE);
                self.since = None;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return Err(Over),
        }
        Ok(())
    }

    /// Whether nobody is there to answer to. A client that has only closed its sending
    /// half still listens.
    fn has_hung_up(&self) -> bool {
        let mut watched = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        matches!(poll(&mut watched, PollTimeout::ZERO), Ok(1..))
    }

    /// Bytes it occupies.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
