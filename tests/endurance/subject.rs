//! What the parts need of a server under test.

use std::collections::BTreeSet;

use crate::wire::Address;

/// Workers of every server.
pub const WORKERS: usize = 4;

/// What is done to a server that serves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `HUP`.
    ReloadBySignal,
    /// By the control socket, if there is one.
    ReloadByCommand,
    /// Another master.
    Upgrade,
    /// One worker ends and another takes its place.
    Recycle,
    /// `TTIN`.
    OneMore,
    /// `TTOU`.
    OneLess,
    /// So many workers, by the control socket, if there is one.
    Scale(usize),
}

/// A new version of the app that does not work.
#[derive(Debug, Clone, Copy)]
pub enum Build {
    /// No program at all.
    Garbage,
    /// It is never ready.
    Spinning,
}

/// What a server says that a worker's death has cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Losses {
    pub requests: u64,
    pub connections: u64,
}

/// A server under test.
pub trait Subject {
    /// Where it listens: by TCP, and on a unix socket.
    fn addresses(&self) -> &[Address];

    /// The process ids of the workers that are ready; empty if nobody says so.
    fn workers(&self) -> BTreeSet<i32>;

    /// Does that, and waits until it is done.
    ///
    /// # Errors
    /// It is refused, or never done.
    fn change(&mut self, change: Change) -> Result<(), String>;

    /// Requests by the server's own count, if it counts.
    fn requests(&self) -> Option<u64>;

    /// Makes a worker's next death the first one in its slot: servers wait before
    /// they start a worker again that has just died twice.
    ///
    /// # Errors
    /// There are not as many workers as there should be afterwards.
    fn forgive(&mut self) -> Result<(), String>;

    /// What it says that the death of that worker has cost, if it says that.
    fn losses(&self, worker: i32) -> Option<Losses>;

    /// Connections of each worker by the server's own count, if it counts.
    fn connections(&self) -> Option<Vec<u64>>;

    /// Waits until nothing is in flight and nobody is on the way out.
    ///
    /// # Errors
    /// It never comes to rest.
    fn rest(&self) -> Result<(), String>;

    /// Has it replace workers that are silent for two seconds.
    ///
    /// # Errors
    /// It does not do so.
    fn watch_closely(&mut self) -> Result<(), String>;

    /// Reloads with a broken app; how it refused.
    ///
    /// # Errors
    /// How it did not.
    fn spoil(&mut self, build: Build) -> Result<String, String>;

    /// Reloads with the right app again.
    ///
    /// # Errors
    /// It does not come back.
    fn mend(&mut self) -> Result<(), String>;
}
