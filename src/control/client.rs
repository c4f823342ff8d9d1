//! The end of `wasgun ctl`.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use crate::config::ControlAction;

use super::protocol::Reply;

/// Longest answer: thousands of workers, and an end to what a stranger may send.
const LONGEST_REPLY: usize = 16 * 1024 * 1024;

/// Asks the server behind `socket`, and waits for its answer, for as long as `patience`
/// if that is given.
///
/// # Errors
/// Nobody is there, or answers in time, or in words that make sense. That a server
/// refuses is an answer.
pub fn call(socket: &Path, action: &ControlAction, patience: Option<Duration>) -> Result<Reply> {
    let until = patience.and_then(|patience| Instant::now().checked_add(patience));
    let line = exchange(socket, action, until).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            anyhow!("no answer from {} within {:?}", socket.display(), patience.unwrap_or_default())
        }
        ErrorKind::UnexpectedEof => anyhow!("the server ended before it answered"),
        _ => explain(socket, error),
    })?;
    serde_json::from_slice(&line)
        .with_context(|| format!("what answers on {} does not seem to be wasgun", socket.display()))
}

fn exchange(path: &Path, action: &ControlAction, until: Option<Instant>) -> io::Result<Vec<u8>> {
    let mut stream = dial(path, until)?;
    let mut request = serde_json::to_vec(action)?;
    request.push(b'\n');
    stream.set_write_timeout(remaining(until)?)?;
    match stream.write_all(&request) {
        // It may have said why before it closed.
        Err(error) if is_closed(&error) => {}
        written => written?,
    }
    let (mut line, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    while line.last() != Some(&b'\n') {
        stream.set_read_timeout(remaining(until)?)?;
        match stream.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if line.len() > LONGEST_REPLY => return Err(io::Error::other("the answer has no end")),
            Ok(length) => line.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_closed(&error) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

fn dial(path: &Path, until: Option<Instant>) -> io::Result<UnixStream> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if let Some(left) = remaining(until)? {
        // It bounds connecting too, which waits while the server's queue is full. Zero would
        // be no bound.
        let micros = i64::from(left.subsec_micros()).max(1);
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(seconds, micros))?;
    }
    loop {
        match connect(fd.as_raw_fd(), &UnixAddr::new(path)?) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The time that is left; none is an error.
fn remaining(until: Option<Instant>) -> io::Result<Option<Duration>> {
    match until.map(|until| until.saturating_duration_since(Instant::now())) {
        Some(Duration::ZERO) => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn explain(path: &Path, error: io::Error) -> anyhow::Error {
    let shown = path.display();
    let found = fs::symlink_metadata(path).ok();
    let is_socket = fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("there is no socket {shown}: start wasgun with --control-socket {shown}")
        }
        ErrorKind::PermissionDenied => match found {
            Some(found) => anyhow!("{shown} may be used by user {} and root only", found.uid()),
            None => anyhow!("its directory keeps you from {shown}"),
        },
        ErrorKind::ConnectionRefused if !is_socket => anyhow!("{shown} is not a socket"),
        ErrorKind::ConnectionRefused => {
            anyhow!("nobody listens on {shown}: the server that made it is gone")
        }
        _ => anyhow::Error::new(error).context(format!("cannot talk to {shown}")),
    }
}
