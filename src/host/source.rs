//! Where a component's bytes come from.

use std::borrow::Cow;

use anyhow::{Context, Result};

use crate::config::AppSource;

/// The component of `--demo`.
const DEMO: &str = include_str!("../../guests/hello.wat");

/// Reads a component.
///
/// # Errors
/// The file cannot be read.
pub fn read(source: &AppSource) -> Result<Cow<'static, [u8]>> {
    match source {
        AppSource::Demo => Ok(Cow::Borrowed(DEMO.as_bytes())),
        AppSource::File(path) | AppSource::Precompiled(path) => {
            std::fs::read(path).map(Cow::Owned).with_context(|| format!("cannot read {}", path.display()))
        }
    }
}

/// How messages call it.
pub fn shown(source: &AppSource) -> String {
    match source {
        AppSource::Demo => "the demo".to_owned(),
        AppSource::File(path) | AppSource::Precompiled(path) => path.display().to_string(),
    }
}
