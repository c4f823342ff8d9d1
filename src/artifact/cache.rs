//! The cache directory: private, one file an artifact, one key for all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::Uid;

use super::container::{Artifact, Seal};
use super::draft::{Draft, temporary_name};

/// Age of a temporary file that nobody writes any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// An open cache directory.
#[derive(Debug)]
pub struct Cache {
    /// As the operator knows it, for messages.
    shown: PathBuf,
    dir: File,
    key: [u8; 32],
}

/// Held while one process compiles; others that want the same artifact wait.
#[derive(Debug)]
struct Lock {
    _file: Flock<File>,
}

impl Cache {
    /// Opens the cache in `asked`, or else in `$XDG_CACHE_HOME/wasgun`,
    /// `$HOME/.cache/wasgun` or, for root and users without a home,
    /// `/var/cache/wasgun`; makes the directory if need be.
    ///
    /// # Errors
    /// The directory cannot be made, belongs to somebody else, or is open to
    /// others.
    pub fn open(asked: Option<&Path>) -> Result<Self> {
        let dir = match asked {
            Some(dir) => dir.to_path_buf(),
            None => default_dir(),
        };
        Self::open_dir(&dir).with_context(|| {
            format!("cannot use the cache directory {}; name another with --cache-dir", dir.display())
        })
    }

    fn open_dir(dir: &Path) -> Result<Self> {
        if !dir.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let directory = OFlag::O_DIRECTORY.bits();
        let open = match OpenOptions::new().read(true).custom_flags(directory).open(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => bail!("it is not a directory"),
            opened => opened?,
        };
        // Whoever can write here chooses the code that the server runs.
        let metadata = open.metadata()?;
        if metadata.uid() != Uid::effective().as_raw() {
            bail!("it belongs to user {}, not to user {}", metadata.uid(), Uid::effective());
        }
        if metadata.mode() & 0o077 != 0 {
            bail!(
                "others may enter it (mode {:o}); it has to be wasgun's alone (`chmod 700`)",
                metadata.mode() & 0o777
            );
        }
        let key = key(&within(&open, "key")).with_context(|| dir.join("key").display().to_string())?;
        Ok(Self { shown: dir.to_path_buf(), dir: open, key })
    }

    /// Where it is, as the operator knows it.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// The artifact of `fingerprint`, if it is there and whole. A damaged or
    /// forged one counts as absent, and says so in the log.
    pub fn find(&self, fingerprint: &blake3::Hash) -> Option<Artifact> {
        let name = artifact_name(fingerprint);
        let file = File::open(within(&self.dir, &name)).ok()?;
        match Artifact::verify(file, &self.seal(name.clone())) {
            Ok(artifact) => Some(artifact),
            Err(error) => {
                let path = self.shown.join(&name);
                tracing::warn!("{} is not used, and will be made again: {error:#}", path.display());
                None
            }
        }
    }

    /// Makes sure that the artifact of `fingerprint` is there: `write` is to make it, unless
    /// it is, or another process does, which is waited for.
    ///
    /// # Errors
    /// `write` fails, or the file cannot be kept.
    pub fn fill(&self, fingerprint: &blake3::Hash, write: impl FnOnce(&Draft) -> Result<()>) -> Result<()> {
        let _lock = self.lock(fingerprint)?;
        if self.find(fingerprint).is_some() {
            return Ok(());
        }
        let name = artifact_name(fingerprint);
        let path = self.shown.join(&name);
        let context = || {
            format!("cannot keep what was compiled as {}; --cache-dir names another place", path.display())
        };
        self.sweep(&name);
        let draft = Draft::begin(&within(&self.dir, &name), 0o600, self.seal(name)).with_context(context)?;
        write(&draft)?;
        draft.keep().with_context(context)
    }

    fn seal(&self, name: String) -> Seal {
        Seal { key: self.key, name }
    }

    /// Removes what processes left behind that were killed while they wrote: what is old, and
    /// drafts of `name`, whose lock is held.
    fn sweep(&self, name: &str) {
        for entry in fs::read_dir(within(&self.dir, "")).into_iter().flatten().flatten() {
            let is_old = |metadata: fs::Metadata| {
                metadata.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED))
            };
            let is_ours = entry.file_name().to_string_lossy().starts_with(name);
            let is_draft = entry.path().extension().is_some_and(|end| end == "tmp");
            if is_draft && (is_ours || entry.metadata().is_ok_and(is_old)) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    /// Waits until no other process compiles `fingerprint`.
    ///
    /// # Errors
    /// The lock file cannot be opened.
    fn lock(&self, fingerprint: &blake3::Hash) -> Result<Lock> {
        let name = format!("{fingerprint}.lock");
        let context = || format!("cannot lock {}", self.shown.join(&name).display());
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(within(&self.dir, &name)).with_context(context)?;
        let file =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).with_context(context)?;
        Ok(Lock { _file: file })
    }
}

fn artifact_name(fingerprint: &blake3::Hash) -> String {
    format!("{fingerprint}.cwasm")
}

/// A file of an open directory, by its descriptor: what was checked is what is
/// used, whatever is renamed or linked meanwhile.
fn within(dir: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name)
}

fn default_dir() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(dir) = absolute("XDG_CACHE_HOME") {
        return dir.join("wasgun");
    }
    match absolute("HOME") {
        Some(home) if !Uid::effective().is_root() && home != Path::new("/") => home.join(".cache/wasgun"),
        _ => PathBuf::from("/var/cache/wasgun"),
    }
}

/// The directory's key, made at first use. Linked into place whole, so two
/// servers that start at once agree on it.
fn key(path: &Path) -> Result<[u8; 32]> {
    let read = || -> Result<Option<[u8; 32]>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes.try_into().ok().context("it is damaged; remove it")?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    if let Some(key) = read()? {
        return Ok(key);
    }
    let mut fresh = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut fresh)?;
    let temporary = temporary_name(path);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(&fresh)?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => read()?.context("the key vanished while it was made"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::{Content, Needs};

    const CODE: Content = Content {
        image: b"code",
        memory: b"",
        needs: &Needs {
            generation: 3,
            memories: 1,
            initial_memory: 0,
            tables: 1,
            initial_table: 0,
            afterwards: crate::artifact::Afterwards::PutBack,
        },
    };

    fn private() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn finds_what_it_stored_until_it_is_damaged() {
        let dir = private();
        let cache = Cache::open(Some(dir.path())).unwrap();
        let name = blake3::hash(b"component");
        assert!(cache.find(&name).is_none());
        let path = dir.path().join(artifact_name(&name));
        cache.fill(&name, |draft| draft.write(&CODE)).unwrap();
        assert_eq!(cache.find(&name).unwrap().needs, *CODE.needs);
        cache.fill(&name, |_| panic!("it is there")).unwrap();
        assert!(Cache::open(Some(dir.path())).unwrap().find(&name).is_some(), "the key is kept");

        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(cache.find(&name).is_none());
    }

    #[test]
    fn a_file_from_another_directory_is_foreign() {
        let (one, other) = (private(), private());
        let name = blake3::hash(b"component");
        Cache::open(Some(one.path())).unwrap().fill(&name, |draft| draft.write(&CODE)).unwrap();
        let cache = Cache::open(Some(other.path())).unwrap();
        let file = artifact_name(&name);
        fs::copy(one.path().join(&file), other.path().join(&file)).unwrap();
        assert!(cache.find(&name).is_none());
    }

    #[test]
    fn what_was_begun_in_vain_leaves_nothing() {
        let dir = private();
        let cache = Cache::open(Some(dir.path())).unwrap();
        let name = blake3::hash(b"component");
        cache.fill(&name, |draft| draft.write(&CODE).and_then(|()| bail!("on second thoughts"))).unwrap_err();
        assert!(cache.find(&name).is_none());
        // As if it had been killed.
        std::mem::forget(Draft::begin(
            &dir.path().join(artifact_name(&name)),
            0o600,
            cache.seal(String::new()),
        ));
        cache.fill(&name, |_| bail!("in vain")).unwrap_err();
        let left = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        assert!(left.into_iter().all(|path| path.extension().is_none_or(|end| end == "lock")));
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let dir = private();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let error = Cache::open(Some(dir.path())).unwrap_err();
        assert!(format!("{error:#}").contains("chmod 700"), "{error:#}");
    }
}
