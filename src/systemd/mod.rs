//! What a service manager that speaks systemd's protocols wants to hear.
//!
//! The environment is an argument throughout; nobody here reads it.

mod notify;

pub use notify::Notifier;
