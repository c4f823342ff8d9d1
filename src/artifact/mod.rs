//! Compiled components on disk: a content-addressed cache, and the container
//! format that `wasgun compile` writes too.
//!
//! An artifact is machine code that the server will run, so it is believed only
//! with a MAC under a key that lives in the same private directory. What the
//! code means is the host's matter; nothing here knows wasm.

mod cache;
mod container;
mod draft;

pub use cache::Cache;
pub use container::{Afterwards, Artifact, Content, FORMAT, Needs, Span};
pub use draft::Draft;

/// Name of an artifact: in the cache a hash of everything that it depends on,
/// elsewhere one of its content.
pub type Fingerprint = String;
