//! The sections of a component or a module, as they are.

use std::ops::Range;

use anyhow::{Context, Result};
use wasmparser::{Parser, Payload};

/// The outermost sections: their ids, and where their contents are.
pub(super) fn sections(binary: &[u8]) -> Result<Vec<(u8, Range<usize>)>> {
    let mut depth = 0;
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload.context("it is damaged")?;
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ if depth == 1 => sections.extend(payload.as_section()),
            _ => {}
        }
    }
    Ok(sections)
}
