//! A client that wants nothing special, and what it sees of an attack on its neighbour.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::support::client::Connection;

/// How often it asks.
const PACE: Duration = Duration::from_millis(4);

/// What it saw.
pub struct Seen {
    pub requests: usize,
    pub failures: Vec<String>,
    /// Of every request, in order of length.
    times: Vec<Duration>,
}

impl Seen {
    pub fn p99(&self) -> Duration {
        self.times.get(self.times.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// Asks for `path` at `address` until `stop` is set, by new connections and a kept one in turns.
pub fn ask<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    address: &'scope str,
    path: &'scope str,
    stop: &'scope AtomicBool,
) -> ScopedJoinHandle<'scope, Seen> {
    scope.spawn(move || {
        let mut seen = Seen { requests: 0, failures: Vec::new(), times: Vec::new() };
        let mut kept = Connection::open(address);
        while !stop.load(Relaxed) || seen.requests < 100 {
            let begun = Instant::now();
            let answer =
                if seen.requests % 4 == 3 { Connection::open(address).get(path) } else { kept.get(path) };
            seen.times.push(begun.elapsed());
            seen.requests += 1;
            match answer {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => seen.failures.push(format!("{} {}", answer.status, answer.text())),
                Err(error) => {
                    seen.failures.push(error.to_string());
                    kept = Connection::open(address);
                }
            }
            thread::sleep(PACE);
        }
        seen.times.sort();
        seen
    })
}
