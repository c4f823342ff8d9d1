//! Messages between the processes of the server: one JSON value a packet.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest message; a reason longer than that is cut by its sender.
const LONGEST: usize = 64 * 1024;

/// One end of a pair of sockets that keep message boundaries.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
}

/// What a receive found.
#[derive(Debug)]
pub enum Received<T> {
    /// A message.
    Message(T),
    /// Nothing yet.
    Nothing,
    /// Every holder of the other end is gone.
    Closed,
}

impl Channel {
    /// Two connected ends.
    ///
    /// # Errors
    /// `socketpair(2)` fails.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self { fd: one }, Self { fd: other }))
    }

    /// An end that this process was started with.
    pub fn adopted(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Sends `message`; waits for room.
    ///
    /// # Errors
    /// Nobody holds the other end.
    pub fn send<T: Serialize>(&self, message: &T) -> io::Result<()> {
        self.send_with(message, MsgFlags::MSG_NOSIGNAL)
    }

    /// Sends `message` if there is room for it at once.
    ///
    /// # Errors
    /// There is none, or nobody holds the other end.
    pub fn offer<T: Serialize>(&self, message: &T) -> io::Result<()> {
        self.send_with(message, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
    }

    fn send_with<T: Serialize>(&self, message: &T, flags: MsgFlags) -> io::Result<()> {
        let packet = serde_json::to_vec(message)?;
        loop {
            match send(self.fd.as_raw_fd(), &packet, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// The message is not one of ours.
    pub fn wait<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        self.receive(MsgFlags::empty())
    }

    /// Takes a message that is there already.
    ///
    /// # Errors
    /// The message is not one of ours.
    pub fn poll<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        self.receive(MsgFlags::MSG_DONTWAIT)
    }

    fn receive<T: DeserializeOwned>(&self, flags: MsgFlags) -> io::Result<Received<T>> {
        let mut packet = vec![0; LONGEST];
        let mut was_reset = false;
        loop {
            match recv(self.fd.as_raw_fd(), &mut packet, flags) {
                // The other end closed without having read everything: told once, and
                // before what it had sent.
                Err(Errno::ECONNRESET) if !was_reset => was_reset = true,
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(Received::Closed),
                Ok(length) => return Ok(Received::Message(serde_json::from_slice(&packet[..length])?)),
                Err(Errno::EAGAIN) => return Ok(Received::Nothing),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
