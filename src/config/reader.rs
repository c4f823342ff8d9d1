//! Raw strings into typed values, with every mistake written down.

use std::path::{Path, PathBuf};

use super::activation::Activated;
use super::app::directory;
use super::layer::{Source, Specified};
use super::resolve::Problem;

/// Reads options and collects what is wrong with them.
///
/// Each method returns a stand-in for a value that does not parse; nobody sees
/// it, because a reader with problems yields no configuration.
pub(super) struct Reader<'a> {
    pub said: &'a Specified,
    /// Directory relative paths start from; `None` if it is itself a mistake.
    pub base: Option<PathBuf>,
    /// Sockets that a service manager has opened.
    pub handed: &'a [Activated],
    pub problems: Vec<Problem>,
}

impl Reader<'_> {
    /// An option that always has a value.
    pub fn one<T: Default>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        self.optional(name, parse).unwrap_or_default()
    }

    /// An option that may not have been said.
    pub fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let entry = self.said.entry(name)?;
        match parse(entry.values.last()?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problems.push(Problem::new(name, entry.source.clone(), message));
                None
            }
        }
    }

    /// An option with many values.
    pub fn many<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(entry) = self.said.entry(name) else { return Vec::new() };
        let mut parsed = Vec::new();
        for value in &entry.values {
            match parse(value) {
                Ok(value) => parsed.push(value),
                Err(message) => self.problems.push(Problem::new(name, entry.source.clone(), message)),
            }
        }
        parsed
    }

    /// An option with many values that may also be separated by commas.
    pub fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let parts = |value: &str| {
            value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(&parse).collect()
        };
        self.many(name, parts).into_iter().flat_map(|found: Vec<T>| found).collect()
    }

    /// An option that names a file or a directory, which need not exist.
    pub fn path(&mut self, name: &str) -> Option<PathBuf> {
        let base = self.base();
        self.optional(name, |text| Ok(base.join(path(text)?)))
    }

    /// An option that names a file to be written, in a directory that is there.
    pub fn file_to_write(&mut self, name: &str) -> Option<PathBuf> {
        let path = self.path(name)?;
        // What cannot be looked up from a wrong directory is not worth a second message.
        self.base.as_ref()?;
        writable(&path).map(|()| path).map_err(|message| self.wrong(name, message)).ok()
    }

    /// Directory relative paths start from, or a stand-in.
    pub fn base(&self) -> PathBuf {
        self.base.clone().unwrap_or_default()
    }

    /// Notes a mistake in what was said of the option called `name`.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let source = self.said.entry(name).map_or(Source::Default, |entry| entry.source.clone());
        self.problems.push(Problem::new(name, source, message));
    }
}

/// Whether `path` can be a file: it is no directory, and in one.
fn writable(path: &Path) -> Result<(), String> {
    match path.parent() {
        _ if path.is_dir() => Err(format!("{} is a directory, not a file to write", path.display())),
        Some(parent) => directory(parent),
        None => Ok(()),
    }
}

/// The same for a file that another one takes the place of: not that of a device,
/// and not that of a link but of what it leads to.
pub(super) fn replaceable(path: &Path) -> Result<PathBuf, String> {
    writable(path)?;
    match path.canonicalize() {
        Ok(found) if !found.is_file() => Err(format!("{} is not a regular file", path.display())),
        Ok(found) => Ok(found),
        Err(_) => Ok(path.to_owned()),
    }
}

/// Text that can be a path.
pub(super) fn path(text: &str) -> Result<&Path, String> {
    match text {
        "" => Err("an empty path".into()),
        _ if text.contains('\0') => Err(format!("{text:?} is not a path: it contains a NUL")),
        _ => Ok(Path::new(text)),
    }
}
