//! Where the bytes of components come from.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::engine;
use crate::config::AppSource;

/// The component of `--demo`.
const DEMO: &str = include_str!("../../guests/hello.wat");

/// Reads an app.
///
/// # Errors
/// The file cannot be read.
pub fn read(source: &AppSource) -> Result<Vec<u8>> {
    read_all(open(source)?).with_context(|| format!("cannot read {source}"))
}

/// Reads what is in front of one.
///
/// # Errors
/// The file cannot be read.
pub fn read_middleware(path: &Path) -> Result<Vec<u8>> {
    read_all(open_file(path)?).with_context(|| format!("cannot read {}", path.display()))
}

/// What an app and its middleware are called together in a cache, when nothing of them is
/// to be kept in memory; the same as of their bytes.
///
/// # Errors
/// One of them cannot be read, or the runtime does not support this machine.
pub fn fingerprint(source: &AppSource, middleware: &[PathBuf]) -> Result<blake3::Hash> {
    let mut components = vec![open(source)?];
    for path in middleware {
        components.push(open_file(path)?);
    }
    engine::fingerprint(components).with_context(|| format!("cannot read {source}"))
}

fn open(source: &AppSource) -> Result<Box<dyn Read>> {
    source.path().map_or_else(|| Ok(Box::new(DEMO.as_bytes()) as _), open_file)
}

fn open_file(path: &Path) -> Result<Box<dyn Read>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(file))
}

fn read_all(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}
