//! The file that tells where the master is.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// A pid file of this process; removed with it.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes it; one that a dead process left is replaced.
    ///
    /// # Errors
    /// It names a process that lives, or cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let context = || format!("--pid {}", path.display());
        let own = std::process::id();
        if let Ok(text) = fs::read_to_string(path)
            && let Ok(pid) = text.trim().parse::<i32>()
            && pid > 0
            && pid as u32 != own
            && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
        {
            bail!("{}: process {pid} is running; stop it, or remove the file if it is no wasgun", context());
        }
        let temporary = path.with_extension(format!("{own}.tmp"));
        // A leftover of a namesake; create_new then follows no link that others made.
        drop(fs::remove_file(&temporary));
        let mut file =
            OpenOptions::new().create_new(true).write(true).open(&temporary).with_context(context)?;
        let written = writeln!(file, "{own}").and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            drop(fs::remove_file(&temporary));
        }
        written.with_context(context)?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// Removes it, if it still is this process's.
    pub fn remove(self) {
        let own = std::process::id().to_string();
        if fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == own) {
            drop(fs::remove_file(&self.path));
        }
    }
}
