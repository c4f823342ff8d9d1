//! The container: the runtime's own image, then what the host must know before
//! it loads it, then a MAC.
//!
//! The image comes first and unchanged because the runtime maps the file and
//! expects an ELF header at its start:
//!
//! ```text
//! image | memory | trailer, JSON | length of trailer, u64 LE | MAC, 32 bytes | "wasgun04"
//! ```
//!
//! The memory is what a linear memory holds at first, and begins at a page, since it is
//! mapped too.
//!
//! The MAC is of all that comes before it, and of the name in the cache, so that
//! an artifact under another one's name is found out.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use crate::sys::memory::GRAIN;

/// The name of the format; another one is made for whatever changes what is stored.
pub const FORMAT: &[u8; 8] = b"wasgun04";
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
    /// What becomes of an instance that has answered.
    pub afterwards: Afterwards,
}

/// What becomes of an instance that has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Afterwards {
    /// It is put back to where it began, by functions that the component was given.
    PutBack,
    /// Another one is made, since it cannot be put back: why.
    MadeAnew(String),
}

/// What there is to store.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// What the runtime loads.
    pub image: &'a [u8],
    /// What the memory of an instance holds at first, if the image does not say it.
    pub memory: &'a [u8],
    /// What it takes to load it.
    pub needs: &'a Needs,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    #[serde(flatten)]
    needs: Needs,
    memory: Span,
}

/// Bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Where they begin, a multiple of [`GRAIN`].
    pub offset: u64,
    /// How many they are.
    pub length: u64,
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
    /// Where in the file the first content of the memory is, if it is there.
    pub memory: Option<Span>,
}

/// Whose MAC it is: a key, and the name in the cache that has that key.
#[derive(Debug)]
pub(super) struct Seal {
    pub key: [u8; 32],
    pub name: String,
}

/// That of files which `wasgun compile` makes, whatever they are called. It finds
/// damage, not forgery, which is why loading these takes `--allow-precompiled`.
const PUBLIC: Seal = Seal { key: *b"wasgun: integrity, not authentic", name: String::new() };

/// Writes a container to `out`.
///
/// # Errors
/// Writing fails.
pub(super) fn write(mut out: impl Write, content: &Content, seal: &Seal) -> io::Result<()> {
    // Up to a page, and to the end of one, since it is mapped by pages.
    let padding = |length: usize| match content.memory {
        [] => 0,
        _ => length.next_multiple_of(GRAIN) - length,
    };
    let before = vec![0; padding(content.image.len())];
    let behind = vec![0; padding(content.memory.len())];
    let offset = (content.image.len() + before.len()) as u64;
    let memory = Span { offset, length: content.memory.len() as u64 };
    let trailer = serde_json::to_vec(&Trailer { needs: content.needs.clone(), memory })?;
    let length = (trailer.len() as u64).to_le_bytes();
    let mut mac = blake3::Hasher::new_keyed(&seal.key);
    for part in [content.image, &before, content.memory, &behind, &trailer, &length] {
        mac.update(part);
        out.write_all(part)?;
    }
    mac.update(seal.name.as_bytes());
    out.write_all(mac.finalize().as_bytes())?;
    out.write_all(FORMAT)
}

impl Artifact {
    /// Opens and verifies a container.
    ///
    /// # Errors
    /// It is no container of this version, or its MAC does not match.
    pub(super) fn verify(mut file: File, seal: &Seal) -> Result<Self> {
        let length = file.metadata()?.len();
        if length < TRAILER {
            bail!("it is too short to be a compiled component");
        }
        let mut trailer = [0; TRAILER as usize];
        file.seek(SeekFrom::Start(length - TRAILER))?;
        file.read_exact(&mut trailer)?;
        if &trailer[40..] != FORMAT {
            bail!("it was not made by `wasgun compile` of this version");
        }
        file.rewind()?;
        let mut mac = blake3::Hasher::new_keyed(&seal.key);
        mac.update_reader((&mut file).take(length - TRAILER + 8))?;
        let mac = mac.update(seal.name.as_bytes()).finalize();
        // blake3's Hash compares in constant time.
        if mac != blake3::Hash::from_bytes(trailer[8..40].try_into()?) {
            bail!("it is damaged, or made by somebody else");
        }
        let trailer_length = u64::from_le_bytes(trailer[..8].try_into()?);
        let start = (length - TRAILER).checked_sub(trailer_length).context("its trailer is damaged")?;
        file.seek(SeekFrom::Start(start))?;
        let mut trailer = Vec::new();
        (&mut file).take(trailer_length).read_to_end(&mut trailer)?;
        let Trailer { needs, memory } = serde_json::from_slice(&trailer).context("its trailer is damaged")?;
        file.rewind()?;
        Ok(Self { file, mac, needs, memory: Some(memory).filter(|memory| memory.length > 0) })
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
            .and_then(|file| Self::verify(file, &PUBLIC))
            .with_context(|| format!("cannot load {}", path.display()))
    }

    /// Has `fill` write what [`open_exported`](Self::open_exported) reads, replacing `path`
    /// in one step.
    ///
    /// # Errors
    /// `fill` fails, or the file cannot be written.
    pub fn export(path: &std::path::Path, fill: impl FnOnce(&Draft) -> Result<()>) -> Result<()> {
        let context = || format!("cannot write {}", path.display());
        let draft = Draft::begin(path, 0o666, PUBLIC).with_context(context)?;
        fill(&draft)?;
        draft.keep().with_context(context)
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
        Needs {
            generation: 2,
            memories: 1,
            initial_memory: 65536,
            tables: 2,
            initial_table: 9,
            afterwards: Afterwards::MadeAnew("why".to_owned()),
        }
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
        let needs = needs();
        write(&mut good, &Content { image: b"the image", memory: b"", needs: &needs }, &PUBLIC).unwrap();
        assert_eq!(Artifact::verify(file(&good), &PUBLIC).unwrap().needs, needs);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Artifact::verify(file(&bad), &PUBLIC).is_err(), "byte {at}");
            assert!(Artifact::verify(file(&good[..at]), &PUBLIC).is_err(), "cut at {at}");
        }
        for other in [Seal { key: [7; 32], ..PUBLIC }, Seal { name: "other".to_owned(), ..PUBLIC }] {
            assert!(Artifact::verify(file(&good), &other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn the_memory_begins_at_a_page_and_is_followed_by_zeros_to_the_end_of_one() {
        let (mut bytes, needs) = (Vec::new(), needs());
        let memory = [7; GRAIN + 1];
        write(&mut bytes, &Content { image: b"the image", memory: &memory, needs: &needs }, &PUBLIC).unwrap();
        let span = Artifact::verify(file(&bytes), &PUBLIC).unwrap().memory.unwrap();
        assert_eq!(span, Span { offset: GRAIN as u64, length: memory.len() as u64 });
        assert_eq!(bytes[GRAIN..][..memory.len()], memory);
        assert!(bytes[GRAIN + memory.len()..3 * GRAIN].iter().all(|byte| *byte == 0));
    }
}
