//! The container: the runtime's own image, then what the host must know before
//! it loads it, then a MAC.
//!
//! The image comes first and unchanged because the runtime maps the file and
//! expects an ELF header at its start:
//!
//! ```text
//! image | needs, JSON | length of needs, u64 LE | MAC, 32 bytes | "wasgun01"
//! ```
//!
//! The MAC is of all that comes before it, and of the name in the cache, so that
//! an artifact under another one's name is found out.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"wasgun01";
const TRAILER: u64 = 8 + 32 + 8;

/// What the engine must provide for the image; known before it is loaded,
/// since the pool is sized by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// `wasi:http` generation that the component exports: 2 for 0.2, 3 for 0.3.
    pub generation: u8,
    /// Linear memories of one instance.
    pub memories: u32,
    /// Bytes the largest of them starts with.
    pub initial_memory: u64,
    /// Tables of one instance.
    pub tables: u32,
    /// Elements the largest of them starts with.
    pub initial_table: u64,
}

/// A verified artifact, open.
#[derive(Debug)]
pub struct Artifact {
    /// The file; its first bytes are the image.
    pub file: File,
    /// What tells it from any other.
    pub mac: blake3::Hash,
    /// What it takes to load it.
    pub needs: Needs,
}

/// Whose MAC it is: a key, and the name in the cache that has that key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal<'a> {
    pub key: &'a [u8; 32],
    pub name: &'a str,
}

/// That of files which `wasgun compile` makes, whatever they are called. It finds
/// damage, not forgery, which is why loading these takes `--allow-precompiled`.
pub(super) const PUBLIC: Seal<'static> = Seal { key: b"wasgun: integrity, not authentic", name: "" };

/// Writes a container to `out`.
///
/// # Errors
/// Writing fails.
pub(super) fn write(mut out: impl Write, image: &[u8], needs: &Needs, seal: Seal) -> io::Result<()> {
    let needs = serde_json::to_vec(needs)?;
    let length = (needs.len() as u64).to_le_bytes();
    let mut mac = blake3::Hasher::new_keyed(seal.key);
    for part in [image, &needs, &length] {
        mac.update(part);
        out.write_all(part)?;
    }
    mac.update(seal.name.as_bytes());
    out.write_all(mac.finalize().as_bytes())?;
    out.write_all(MAGIC)
}

impl Artifact {
    /// Opens and verifies a container.
    ///
    /// # Errors
    /// It is no container of this version, or its MAC does not match.
    pub(super) fn verify(mut file: File, seal: Seal) -> Result<Self> {
        let length = file.metadata()?.len();
        if length < TRAILER {
            bail!("it is too short to be a compiled component");
        }
        let mut trailer = [0; TRAILER as usize];
        file.seek(SeekFrom::Start(length - TRAILER))?;
        file.read_exact(&mut trailer)?;
        if &trailer[40..] != MAGIC {
            bail!("it was not made by `wasgun compile` of this version");
        }
        file.rewind()?;
        let mut mac = blake3::Hasher::new_keyed(seal.key);
        mac.update_reader((&mut file).take(length - TRAILER + 8))?;
        let mac = mac.update(seal.name.as_bytes()).finalize();
        // blake3's Hash compares in constant time.
        if mac != blake3::Hash::from_bytes(trailer[8..40].try_into()?) {
            bail!("it is damaged, or made by somebody else");
        }
        let needs_length = u64::from_le_bytes(trailer[..8].try_into()?);
        let start = (length - TRAILER).checked_sub(needs_length).context("its trailer is damaged")?;
        file.seek(SeekFrom::Start(start))?;
        let mut needs = Vec::new();
        (&mut file).take(needs_length).read_to_end(&mut needs)?;
        let needs = serde_json::from_slice(&needs).context("its trailer is damaged")?;
        file.rewind()?;
        Ok(Self { file, mac, needs })
    }

    /// Opens a copy of a file that `wasgun compile` wrote: whoever deploys the
    /// next version may write into this one, whose pages are mapped. Only damage is
    /// found out: the caller trusts whoever made the file with its own rights.
    ///
    /// # Errors
    /// As for cached ones.
    pub fn open_exported(path: &std::path::Path) -> Result<Self> {
        File::open(path)
            .map_err(anyhow::Error::from)
            .and_then(private_copy)
            .and_then(|file| Self::verify(file, PUBLIC))
            .with_context(|| format!("cannot load {}", path.display()))
    }

    /// Writes what [`open_exported`](Self::open_exported) reads, replacing
    /// `path` in one step.
    ///
    /// # Errors
    /// Writing fails.
    pub fn export(path: &std::path::Path, image: &[u8], needs: &Needs) -> Result<()> {
        super::cache::replace(path, 0o666, |file| write(file, image, needs, PUBLIC))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The content of `file` in memory that nobody can change any more.
fn private_copy(mut file: File) -> Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut copy = File::from(memfd_create(c"wasgun artifact", flags).context("memfd_create")?);
    io::copy(&mut file, &mut copy)?;
    let seals =
        [SealFlag::F_SEAL_WRITE, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_SEAL];
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals.into_iter().collect())).context("F_ADD_SEALS")?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        Needs { generation: 2, memories: 1, initial_memory: 65536, tables: 2, initial_table: 9 }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let mut good = Vec::new();
        write(&mut good, b"the image", &needs(), PUBLIC).unwrap();
        assert_eq!(Artifact::verify(file(&good), PUBLIC).unwrap().needs, needs());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Artifact::verify(file(&bad), PUBLIC).is_err(), "byte {at}");
            assert!(Artifact::verify(file(&good[..at]), PUBLIC).is_err(), "cut at {at}");
        }
        for other in [Seal { key: &[7; 32], ..PUBLIC }, Seal { name: "other", ..PUBLIC }] {
            assert!(Artifact::verify(file(&good), other).is_err(), "{other:?}");
        }
    }
}
