//! Processes that are killed, stopped, reloaded and counted, seen from outside:
//! by their clients, in /proc and in the log.

#[path = "../support/mod.rs"]
mod support;

mod canary;
mod crashes;
mod load;
mod process_one;
mod processes;
mod reloading;
mod starting;
mod stopping;

use support::client::Connection;
use support::guests::guest_arg;
use support::processes::{begin, descendants, is_close, release};
use support::{Server, eventually, is_alive};

/// A server of the probe.
#[track_caller]
fn probe(args: &[&str]) -> Server {
    let guest = guest_arg("probe");
    Server::start(&[&[guest.as_str()], args].concat())
}

/// Asks for a path and lets the guest run.
fn start_request(connection: &mut Connection, path: &str) {
    begin(connection, path);
    release(connection);
}

/// Expects the connection to close and no answer on it.
#[track_caller]
fn assert_lost(connection: &mut Connection) {
    match connection.read() {
        Ok(response) => panic!("answered: {response:?}"),
        Err(error) => assert!(is_close(&error), "{error}"),
    }
}

/// Runs `end`, and waits until every process that the server had is gone.
#[track_caller]
fn all_end_with(server: &Server, end: impl FnOnce()) {
    let mut processes = descendants(server.pid());
    assert!(processes.len() > 1, "no mold or no worker: {processes:?}");
    processes.push(server.pid());
    end();
    eventually("all its processes are gone", || !processes.iter().any(|pid| is_alive(*pid)));
}
