//! An artifact on its way: who writes it needs no right but to an open file.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::container::{self, Content, Seal};

/// A file beside the one that it will replace: a reader sees the old one or the new one,
/// never a part. Without [`keep`](Self::keep) nothing of it stays.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    seal: Seal,
}

impl Draft {
    pub(super) fn begin(path: &Path, mode: u32, seal: Seal) -> io::Result<Self> {
        let temporary = temporary_name(path);
        let file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&temporary)?;
        Ok(Self { path: path.to_owned(), temporary, file, seal })
    }

    /// Writes all of it, once.
    ///
    /// # Errors
    /// Writing fails.
    pub fn write(&self, content: &Content) -> Result<()> {
        let mut buffered = BufWriter::new(&self.file);
        let written = container::write(&mut buffered, content, &self.seal);
        written.and_then(|()| buffered.flush()).context("cannot write what was compiled")
    }

    /// Has it take its place.
    ///
    /// # Errors
    /// As the file system says.
    pub fn keep(self) -> io::Result<()> {
        self.file.sync_all()?;
        // Where it fails the drop removes it.
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Kept, it has another name.
        drop(fs::remove_file(&self.temporary));
    }
}

/// A name beside `path` that nobody can guess or have left behind: process ids
/// repeat, in containers at each start.
pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    // The seed of a hash map is random.
    name.push(format!(".{:016x}.tmp", RandomState::new().build_hasher().finish()));
    PathBuf::from(name)
}
