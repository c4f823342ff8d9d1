//! The sockets the server listens on: bound by the master, inherited by all.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, getsockname,
    listen, setsockopt, socket, sockopt,
};
use socket2::SockRef;

use crate::config::BindAddr;
use crate::sys::fd;

/// Bytes of a response that the kernel takes beyond what it can send (`TCP_NOTSENT_LOWAT`,
/// Linux 3.12). It would take megabytes: a flood of slow readers would fill its memory, and
/// have guests make what nobody reads.
const MOST_UNSENT: u32 = 256 << 10;

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    asked: BindAddr,
    shown: String,
    socket: Socket,
    /// Device and inode of the file of a unix socket.
    file: Option<(u64, u64)>,
}

/// What kind of socket it is.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A unix stream socket.
    Unix(UnixListener),
}

/// The sockets that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where to listen.
    pub addresses: &'a [BindAddr],
    /// Room for connections that nobody has accepted yet.
    pub backlog: u32,
    /// User and group that a unix socket's file is given to.
    pub owner: (Option<u32>, Option<u32>),
}

/// Listens on every address that is wanted; those in `known` are used further, so
/// that no queued connection is lost. If one fails, nothing is left of the rest.
///
/// # Errors
/// See [`Listener::bind`].
pub fn bind_all(
    wanted: &Wanted,
    known: &[Arc<Listener>],
    handed_down: &[RawFd],
) -> Result<Vec<Arc<Listener>>> {
    let (mut all, mut made) = (Vec::<Arc<Listener>>::new(), Vec::<Arc<Listener>>::new());
    for address in wanted.addresses {
        // Each once: port 0 twice is two ports.
        let unused = known
            .iter()
            .find(|known| known.asked() == address && !all.iter().any(|taken| Arc::ptr_eq(known, taken)));
        if let Some(listener) = unused {
            // It sets the backlog anew.
            listen(listener, backlog_of(wanted.backlog))?;
            all.push(listener.clone());
            continue;
        }
        let listener = Listener::bind(address, wanted, handed_down)
            .inspect_err(|_| made.iter().for_each(|listener| listener.unlink()))?;
        made.push(Arc::new(listener));
        all.extend(made.last().cloned());
    }
    Ok(all)
}

impl Listener {
    /// Binds `address` and listens. A descriptor has to be one of `handed_down`.
    ///
    /// # Errors
    /// The address is in use or may not be bound, or the descriptor is no
    /// listening stream socket.
    pub fn bind(address: &BindAddr, wanted: &Wanted, handed_down: &[RawFd]) -> Result<Self> {
        let socket = match address {
            BindAddr::Tcp(at) => tcp(*at, wanted.backlog),
            BindAddr::Unix(path) => unix(path, wanted),
            BindAddr::Fd(number) if handed_down.contains(number) => inherited(*number),
            BindAddr::Fd(_) => Err(anyhow!("the descriptor was not handed to wasgun")),
        }
        .map_err(|error| match error.downcast_ref() {
            Some(Errno::EADDRINUSE) => error.context("somebody else listens there"),
            Some(Errno::EACCES) => error.context("ports below 1024 take root or CAP_NET_BIND_SERVICE"),
            _ => error,
        })
        .with_context(|| format!("cannot listen on {address}"))?;
        Self::of(address.clone(), socket).map_err(anyhow::Error::from)
    }

    /// A socket that another master has bound for `address`.
    ///
    /// # Errors
    /// It is none that listens.
    pub fn adopted(address: BindAddr, fd: OwnedFd) -> Result<Self> {
        let socket = listening(fd).with_context(|| format!("the socket handed over for {address}"))?;
        Ok(Self::of(address, socket)?)
    }

    fn of(asked: BindAddr, socket: Socket) -> io::Result<Self> {
        let shown = match &socket {
            Socket::Tcp(listener) => format!("http://{}", listener.local_addr()?),
            Socket::Unix(listener) => {
                let path = listener.local_addr()?.as_pathname().map(Path::to_path_buf);
                format!("unix:{}", path.unwrap_or_else(|| PathBuf::from("(unnamed)")).display())
            }
        };
        let file = file_of(&asked);
        Ok(Self { asked, shown, socket, file })
    }

    /// A listener of this process's own on the same socket, so that dropping it
    /// closes something.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn duplicate(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            Socket::Tcp(listener) => Socket::Tcp(listener.try_clone()?),
            Socket::Unix(listener) => Socket::Unix(listener.try_clone()?),
        };
        Ok(Self { asked: self.asked.clone(), shown: self.shown.clone(), socket, file: self.file })
    }

    /// The address as the configuration has it.
    pub fn asked(&self) -> &BindAddr {
        &self.asked
    }

    /// The address as a person would use it, with the port the kernel chose.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Removes the file of a unix socket, once nobody listens on it any more; not one
    /// that somebody else has put in its place.
    pub fn unlink(&self) {
        if let BindAddr::Unix(path) = &self.asked
            && file_of(&self.asked) == self.file
        {
            drop(fs::remove_file(path));
        }
    }
}

impl fd::Owner for Listener {}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

fn file_of(address: &BindAddr) -> Option<(u64, u64)> {
    let BindAddr::Unix(path) = address else { return None };
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn tcp(at: SocketAddr, backlog: u32) -> Result<Socket> {
    let family = if at.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    // Without it a restarted server waits out TIME_WAIT of its predecessor.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if at.is_ipv6() {
        // `[::]:80` beside `0.0.0.0:80` is two sockets, not a conflict.
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(at))?;
    listen(&fd, backlog_of(backlog))?;
    serving_tcp(fd)
}

/// What is set here, each connection has that it accepts.
fn serving_tcp(fd: OwnedFd) -> Result<Socket> {
    SockRef::from(&fd).set_tcp_notsent_lowat(MOST_UNSENT)?;
    Ok(Socket::Tcp(TcpListener::from(fd)))
}

fn backlog_of(wanted: u32) -> Backlog {
    Backlog::new(i32::try_from(wanted).unwrap_or(i32::MAX)).unwrap_or(Backlog::MAXCONN)
}

fn unix(path: &Path, wanted: &Wanted) -> Result<Socket> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    std::os::unix::fs::lchown(path, wanted.owner.0, wanted.owner.1)?;
    listener.set_nonblocking(true)?;
    // std listens with a backlog of its own; listening again sets ours.
    listen(&listener, backlog_of(wanted.backlog))?;
    Ok(Socket::Unix(listener))
}

/// Removes the socket file of a server that is gone; refuses to touch anything
/// else, or a socket somebody answers on.
fn remove_stale(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        bail!("{} exists and is not a socket", path.display());
    }
    // Without waiting for a place in its queue.
    let probe = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN) => bail!("another server listens on {}", path.display()),
        Err(Errno::ECONNREFUSED) => fs::remove_file(path)
            .with_context(|| format!("cannot remove the stale socket {}", path.display())),
        Err(errno) => Err(errno).context("a socket is there already, and cannot be probed"),
    }
}

fn inherited(number: i32) -> Result<Socket> {
    listening(fd::duplicate(number)?)
}

fn listening(fd: OwnedFd) -> Result<Socket> {
    if !nix::sys::socket::getsockopt(&fd, sockopt::AcceptConn).context("it is not a socket")? {
        bail!("it is a socket that does not listen");
    }
    let address: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    match nix::sys::socket::SockaddrLike::family(&address) {
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            SockRef::from(&fd).set_nonblocking(true)?;
            serving_tcp(fd)
        }
        Some(AddressFamily::Unix) => {
            let listener = UnixListener::from(fd);
            listener.set_nonblocking(true)?;
            Ok(Socket::Unix(listener))
        }
        family => bail!("it is a socket of family {family:?}, neither TCP nor unix"),
    }
}
