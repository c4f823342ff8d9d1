//! The parts of the server that are fuzzed, under the names they have there.

#![allow(dead_code, unused_imports, missing_docs, reason = "a target uses a part")]

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/control/mod.rs"]
pub mod control;
#[path = "../../src/sys/mod.rs"]
pub mod sys;
pub mod worker;
