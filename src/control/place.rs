//! The file of the control socket: how it appears, and how it goes.

use std::fs::{self, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use nix::sys::stat::{Mode, fchmod};

/// Longest path of a socket: `sun_path` with its final zero is 108 bytes.
const LONGEST_PATH: usize = 107;
/// How many temporary names are tried; each is in use for a moment only.
const NAMES: usize = 10;
/// Clients that wait to be accepted.
const BACKLOG: i32 = 128;

/// What becomes of a socket that somebody answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// It stays, and nothing is bound.
    Refuse,
    /// It loses its name.
    Replace,
}

/// A socket file made by this process.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Device and inode: whose file it is.
    identity: (u64, u64),
}

impl Place {
    /// Listens on `path`, which gets its name only once the socket is complete.
    ///
    /// # Errors
    /// See [`ControlServer::bind`](super::ControlServer::bind).
    pub fn listen(path: &Path, in_use: InUse) -> Result<(UnixListener, Self)> {
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            bail!("its path has {length} bytes, and that of a socket can have {LONGEST_PATH}");
        }
        check_vacant(path, in_use)?;
        let (listener, temporary) = bind_beside(path)?;
        let placed = (|| {
            // For a umask that took from the owner.
            fs::set_permissions(&temporary, Permissions::from_mode(0o600))?;
            listen(&listener, Backlog::new(BACKLOG)?)?;
            let identity = identity(&fs::symlink_metadata(&temporary)?);
            fs::rename(&temporary, path)?;
            anyhow::Ok(Self { path: path.to_path_buf(), identity })
        })();
        if placed.is_err() {
            drop(fs::remove_file(&temporary));
        }
        Ok((listener, placed?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is still the one that was made here.
    pub fn is_own(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// Removes the file, unless a successor has put its own there.
    pub fn remove(&self) {
        if self.is_own() {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Sees to it that nothing is at `path` but perhaps a socket that may be replaced.
fn check_vacant(path: &Path, in_use: InUse) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => bail!("it exists and is not a socket"),
        Ok(_) if in_use == InUse::Replace => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    // Without waiting for a place in its queue.
    match connect(unix_socket()?.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN) => bail!("another server listens there"),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).context("a socket is there already, and cannot be probed"),
    }
}

/// Binds under a name in the same directory that nobody uses. Nobody can connect
/// before it listens, whatever its mode.
fn bind_beside(path: &Path) -> Result<(UnixListener, PathBuf)> {
    let socket = unix_socket()?;
    // The file inherits the mode of the socket, less the umask. That is the mask of the
    // whole process, so it is better not to touch it.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    for number in 0..NAMES {
        let temporary = path.with_file_name(format!(".wasgun-{number}"));
        let length = temporary.as_os_str().len();
        if length > LONGEST_PATH {
            bail!(
                "its directory's path is too long: with room for a temporary name it makes {length} bytes, \
                 and the path of a socket can have {LONGEST_PATH}"
            );
        }
        match bind(socket.as_raw_fd(), &UnixAddr::new(&temporary)?) {
            Ok(()) => return Ok((UnixListener::from(socket), temporary)),
            Err(Errno::EADDRINUSE) => {}
            Err(errno) => return Err(errno).context("its directory takes no socket"),
        }
    }
    bail!("the temporary names .wasgun-0 to .wasgun-{} beside it are all taken: remove them", NAMES - 1)
}

fn unix_socket() -> Result<std::os::fd::OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}
