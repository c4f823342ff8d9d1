//! What `--reload` watches: files, looked at again and again.
//!
//! By looking and not by inotify(7), which says nothing about files that other
//! machines change: in a container or over a network, where developers have them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Time between two looks, and so the least time a file has to stay as it is.
pub const INTERVAL_MS: u64 = 100;

/// Files and directories that are looked at, at most.
const MOST: usize = 10_000;

/// A file that differs from what it was at the last reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The first of those that differ.
    pub path: PathBuf,
}

/// The watched files, as they were.
#[derive(Debug)]
pub(super) struct Watch {
    paths: Vec<PathBuf>,
    /// At the last reload.
    reloaded: Files,
    /// At the last look.
    last: Files,
    is_partial: bool,
    due: u64,
}

/// What is there, and which state of it.
type Files = BTreeMap<PathBuf, Identity>;

/// Changes whenever a file is written to, replaced, or passed off as an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    /// Watches files, and directories with all that is in them, as they are now:
    /// to be made before the first of them is read.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let (files, is_partial) = look_at(&paths, MOST);
        Self { paths, reloaded: files.clone(), last: files, is_partial, due: 0 }
    }

    /// What `--reload` has watched under `config`, if it is on.
    pub fn of(config: &Config) -> Option<Self> {
        let extra = config.master.reload.as_ref()?;
        let apps = config.pool.apps.iter();
        let components = apps
            .flat_map(|app| app.source.path().into_iter().chain(app.middleware.iter().map(PathBuf::as_path)));
        Some(Self::new(components.chain(extra.iter().map(PathBuf::as_path)).map(Path::to_owned).collect()))
    }

    /// What is watched.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether there was more to look at than one look may take. What comes last
    /// is not watched then, the named files least of all.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// A change to reload for, told once. Looks when [`INTERVAL_MS`] has passed since
    /// the last time, however often it is called.
    ///
    /// A file counts once it is as it was a look before: who writes it may be in
    /// the middle of it. One that is missing does not count, since it may be about
    /// to be replaced; when it is back it does.
    pub fn look(&mut self, now_ms: u64) -> Option<Change> {
        if now_ms < self.due {
            return None;
        }
        self.due = now_ms + INTERVAL_MS;
        let (files, is_partial) = look_at(&self.paths, MOST);
        self.is_partial = is_partial;
        self.judge(files)
    }

    fn judge(&mut self, now: Files) -> Option<Change> {
        let last = std::mem::replace(&mut self.last, now);
        let is_known = |file: &(&PathBuf, &Identity)| self.reloaded.get(file.0) == Some(file.1);
        let rests = |file: &(&PathBuf, &Identity)| last.get(file.0) == Some(file.1);
        let path = self.last.iter().find(|file| !is_known(file) && rests(file))?.0.clone();
        // A file in motion is left out: the reload may read half of it, and has to
        // be followed by another one.
        let settled = self.last.iter().filter(|file| is_known(file) || rests(file));
        self.reloaded = settled.map(|(path, identity)| (path.clone(), *identity)).collect();
        Some(Change { path })
    }
}

/// The files at `paths` and below them, and whether there are more than `most`.
/// Breadth first, so that those that are named come before what directories hold.
fn look_at(paths: &[PathBuf], most: usize) -> (Files, bool) {
    let (mut files, mut entered, mut is_partial) = (Files::new(), HashSet::new(), false);
    let mut queue: VecDeque<_> = paths.iter().cloned().collect();
    let mut left = most.saturating_sub(queue.len());
    while let Some(path) = queue.pop_front() {
        // Of what a link points to: a build may only set a link anew.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if !metadata.is_dir() {
            files.insert(path, Identity::of(&metadata));
        } else if entered.insert((metadata.dev(), metadata.ino())) {
            let (inside, is_cut) = entries(&path, left);
            is_partial |= is_cut;
            left -= inside.len();
            queue.extend(inside);
        }
    }
    (files, is_partial)
}

/// What a directory holds, up to `most` entries, and whether there are more.
fn entries(directory: &Path, most: usize) -> (Vec<PathBuf>, bool) {
    // One that cannot be read is as good as empty.
    let mut listed = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut inside: Vec<_> = listed.by_ref().take(most).map(|entry| entry.path()).collect();
    inside.sort();
    (inside, listed.next().is_some())
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests;
