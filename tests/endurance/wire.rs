//! A client's end of a connection, that reads responses strictly.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, UnixAddr, connect, recv, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Longer than any test server may take for an answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An open connection.
pub struct Wire {
    socket: File,
    /// What was received; a response that was taken is removed.
    buffer: Vec<u8>,
}

/// A whole response.
pub struct Response {
    pub status: u16,
    /// It announces that it is the last one.
    pub close: bool,
    pub body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug)]
pub enum Lost {
    /// An end of the stream, behind so many bytes of the response.
    Closed(usize),
    Reset(io::Error),
    Timeout,
    /// It is not what a response looks like.
    Garbage(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(received) => write!(f, "closed behind {received} bytes of a response"),
            Self::Reset(error) => write!(f, "{error}"),
            Self::Timeout => write!(f, "no whole response within {PATIENCE:?}"),
            Self::Garbage(what) => write!(f, "no HTTP: {what}"),
        }
    }
}

/// What a connection looks like on which nothing is outstanding.
pub enum Look {
    Quiet,
    Closed,
    /// Bytes that nobody asked for.
    Talkative,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// As of connect(2); `EAGAIN` and `EINPROGRESS` mean that it took too long.
    pub fn open(address: &Address) -> io::Result<Self> {
        let open = |family| socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
        let limit = TimeVal::milliseconds(PATIENCE.as_millis() as i64);
        let socket = match address {
            Address::Tcp(_) => open(AddressFamily::Inet)?,
            Address::Unix(_) => open(AddressFamily::Unix)?,
        };
        setsockopt(&socket, sockopt::ReceiveTimeout, &limit)?;
        setsockopt(&socket, sockopt::SendTimeout, &limit)?;
        match address {
            Address::Tcp(address) => {
                setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
                connect(socket.as_raw_fd(), &SockaddrStorage::from(*address))?;
            }
            Address::Unix(path) => connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?,
        }
        Ok(Self { socket: File::from(socket), buffer: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// The next response, whole by `deadline`.
    pub fn response(&mut self, deadline: Instant) -> Result<Response, Lost> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.fill(deadline)?;
        };
        let head =
            str::from_utf8(&self.buffer[..head_end]).map_err(|error| Lost::Garbage(error.to_string()))?;
        let (status, close, length) = read_head(head).map_err(Lost::Garbage)?;
        let (start, end) = (head_end + 4, head_end + 4 + length);
        while self.buffer.len() < end {
            self.fill(deadline)?;
        }
        let body = self.buffer[start..end].to_vec();
        self.buffer.drain(..end);
        Ok(Response { status, close, body })
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Lost> {
        let mut piece = [0; 4096];
        let received = loop {
            match self.socket.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        match received {
            Ok(0) => Err(Lost::Closed(self.buffer.len())),
            Ok(_) if Instant::now() > deadline => Err(Lost::Timeout),
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Lost::Timeout),
            Err(error) => Err(Lost::Reset(error)),
        }
    }

    /// Whether the server has closed a connection on which nothing is
    /// outstanding; waits up to `wait` for that to happen.
    pub fn look(&self, wait: Duration) -> Look {
        if !self.buffer.is_empty() {
            return Look::Talkative;
        }
        let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // Rounded up, or the last millisecond would be spent looking.
        let wait = PollTimeout::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut watched, wait) {
            Ok(0) | Err(_) => return Look::Quiet,
            Ok(_) => {}
        }
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recv(self.socket.as_raw_fd(), &mut [0], flags) {
            Ok(0) => Look::Closed,
            Ok(_) => Look::Talkative,
            Err(Errno::EAGAIN | Errno::EINTR) => Look::Quiet,
            Err(_) => Look::Closed,
        }
    }
}

/// The status, whether the connection ends behind it, and the body's length,
/// which it must say.
fn read_head(head: &str) -> Result<(u16, bool, usize), String> {
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.filter(|status| (200..600).contains(status));
    let status = status.ok_or_else(|| format!("no status line: {line:?}"))?;
    let (mut close, mut length) = (false, None);
    for field in lines {
        let (name, value) = field.split_once(':').ok_or_else(|| format!("no field: {field:?}"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("connection") {
            close |= value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"));
        } else if name.eq_ignore_ascii_case("content-length") {
            let number = value.parse().map_err(|_| format!("no length: {field:?}"))?;
            if length.replace(number).is_some() {
                return Err("two lengths".to_owned());
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(format!("not what the app has answered: {field:?}"));
        }
    }
    Ok((status, close, length.ok_or("no length")?))
}
