//! The control socket: one JSON object a line, each way.
//!
//! [`ControlServer`] is the master's end. It is a handful of descriptors for the
//! master's `poll`, and nothing that a client does can hold the master up. [`call`]
//! is the end of `wasgun ctl`, and [`table()`] what that prints.
//!
//! A request is a [`ControlAction`](crate::config::ControlAction), the answer a
//! [`Reply`]. A client may send several lines; they are answered in turn. One that
//! closes its end is not waited for: the request being worked on is carried out,
//! those behind it are not.

mod client;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod limit_tests;
mod peer;
mod place;
#[cfg(test)]
mod place_tests;
mod protocol;
mod server;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

pub use client::call;
pub use peer::ClientId;
pub use protocol::{Reply, Status, WorkerStatus};
pub use server::ControlServer;
pub use table::table;
