//! wasgun: a pre-fork application server for WebAssembly components.
//!
//! ARCHITECTURE.md is the map. Imports point down only; tests/imports
//! keeps that so.

pub mod artifact;
pub mod compiler;
pub mod config;
pub mod control;
pub mod handoff;
pub mod host;
pub mod listeners;
pub mod master;
pub mod mold;
pub mod sandbox;
pub mod sys;
pub mod systemd;
pub mod telemetry;
pub mod templates;
pub mod worker;
