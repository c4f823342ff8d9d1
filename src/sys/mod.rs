//! The system calls that need `unsafe`, each behind a function that does not.
//!
//! Nothing here knows what wasgun is.

#![allow(unsafe_code)]

pub mod clock;
pub mod fd;
pub mod memory;
pub mod page_map;
pub mod process;
#[cfg(test)]
pub mod raw;
pub mod shared;
pub mod signals;
pub mod timer;
pub mod xattr;
