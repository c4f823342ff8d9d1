//! The file that tells where the master is. A lock on it, which ends with the
//! process, tells whether what it says is true: numbers of processes come again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;

/// A pid file of this process; removed with it.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    /// Never unlocked: the lock is with the open file, which a new master shares, and
    /// ends when nobody has that any more (`flock(2)`).
    file: File,
}

impl PidFile {
    /// Writes it; one that a dead process left is replaced.
    ///
    /// # Errors
    /// Another process holds it, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let context = || format!("--pid {}", path.display());
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            // A link there could lead to a file of somebody else.
            let mut file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path).with_context(context)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    drop(file.read_to_string(&mut text));
                    bail!(
                        "{}: it is held by process {}, which is running; stop that first",
                        context(),
                        text.trim()
                    );
                }
                Err(TryLockError::Error(error)) => return Err(error).with_context(context),
            }
            // Whoever held it may have removed it in between.
            let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            if fs::symlink_metadata(path).map(inode).ok() != file.metadata().map(inode).ok() {
                continue;
            }
            let mut made = Self { path: path.to_path_buf(), file };
            made.write()?;
            return Ok(made);
        }
    }

    /// The one of the master before this one, which goes on to tell of that.
    pub fn inherited(path: &Path, fd: OwnedFd) -> Self {
        Self { path: path.to_path_buf(), file: File::from(fd) }
    }

    /// Has it tell of this process.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self) -> Result<()> {
        let mut file = &self.file;
        let text = format!("{}\n", std::process::id());
        // In this order somebody who reads meanwhile finds a number, or nothing.
        let written = file.set_len(0).and_then(|()| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(text.as_bytes())
        });
        written.with_context(|| format!("--pid {}", self.path.display()))
    }

    /// Whether it tells of this process.
    pub fn is_own(&self) -> bool {
        let own = std::process::id().to_string();
        fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == own)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, if it still is this process's.
    pub fn remove(self) {
        if self.is_own() {
            drop(fs::remove_file(&self.path));
        }
    }
}

impl AsFd for PidFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
