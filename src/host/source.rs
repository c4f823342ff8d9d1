//! Where a component's bytes come from.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

use crate::config::AppSource;

/// The component of `--demo`.
const DEMO: &str = include_str!("../../guests/hello.wat");

/// Opens a component.
///
/// # Errors
/// The file cannot be read.
pub fn open(source: &AppSource) -> Result<Box<dyn Read>> {
    match source {
        AppSource::Demo => Ok(Box::new(DEMO.as_bytes())),
        AppSource::File(path) | AppSource::Precompiled(path) => {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Box::new(file))
        }
    }
}

/// Reads a component.
///
/// # Errors
/// The file cannot be read.
pub fn read(source: &AppSource) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(source)?.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", shown(source)))?;
    Ok(bytes)
}

/// How messages call it.
pub fn shown(source: &AppSource) -> String {
    match source {
        AppSource::Demo => "the demo".to_owned(),
        AppSource::File(path) | AppSource::Precompiled(path) => path.display().to_string(),
    }
}
