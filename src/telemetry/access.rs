//! The access log: one write a line, reopened on USR1.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::outlet::{Outlet, Written};
use crate::config::{AccessLogTarget, Config};

/// Where access lines go. Lines of several workers do not mix: each is one
/// `write(2)`, and a file is opened for appending.
#[derive(Debug)]
pub struct AccessLog {
    /// `None`: standard output.
    path: Option<PathBuf>,
    /// `None`: a pipe that nobody has open for reading.
    outlet: Mutex<Option<Outlet>>,
}

/// Makes the file of the access log, if there is none, for whom the workers will
/// be: these may not be allowed to make it. What is there is left as it is, since
/// whoever may write to its directory could have put a link there.
///
/// # Errors
/// The file cannot be made.
pub fn create(config: &Config) -> Result<()> {
    let Some(AccessLogTarget::File(path)) = &config.log.access else { return Ok(()) };
    let identity = &config.master.identity;
    let (uid, gid) = (identity.uid.map(|uid| uid.as_raw()), identity.gid.map(|gid| gid.as_raw()));
    let made = match OpenOptions::new().create_new(true).append(true).open(path) {
        Ok(file) => std::os::unix::fs::fchown(file, uid, gid),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    made.with_context(|| format!("--access-log {}", path.display()))
}

/// Opens it; a pipe without waiting for its reader, neither now nor later.
fn open(path: Option<&PathBuf>) -> io::Result<Option<Outlet>> {
    let Some(path) = path else { return Ok(Some(Outlet::new(1))) };
    let mut options = OpenOptions::new();
    match options.create(true).append(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) && is_pipe(path) => Ok(None),
        opened => opened.map(Outlet::file).map(Some),
    }
}

fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

impl AccessLog {
    /// Opens it.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(target: &AccessLogTarget) -> io::Result<Self> {
        let path = match target {
            AccessLogTarget::Stdout => None,
            AccessLogTarget::File(path) => Some(path.clone()),
        };
        Ok(Self { outlet: Mutex::new(open(path.as_ref())?), path })
    }

    /// Opens the file anew, after it was moved away.
    ///
    /// # Errors
    /// It cannot be opened; the old one is used further.
    pub fn reopen(&self) -> io::Result<()> {
        if self.path.is_some() {
            let fresh = open(self.path.as_ref())?;
            *self.lock() = fresh;
        }
        Ok(())
    }

    /// Writes one line, which ends in a newline. A full disk or a reader that is
    /// stuck must not stop requests: the line is lost, and the log says so.
    pub fn write(&self, line: &[u8]) {
        let mut outlet = self.lock();
        if outlet.is_none() {
            *outlet = open(self.path.as_ref()).ok().flatten();
        }
        match outlet.as_ref().map(|outlet| outlet.write_line(line)) {
            Some(Written::AfterLoss(lost)) => tracing::warn!("{lost} lines of the access log were lost"),
            Some(Written::Lost(error)) => {
                tracing::warn!("lines of the access log are lost: {error}");
                if error.kind() == io::ErrorKind::BrokenPipe && self.path.is_some() {
                    *outlet = None;
                }
            }
            Some(Written::Well | Written::LostToo) | None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Outlet>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
