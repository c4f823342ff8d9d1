//! Which processes a server consists of, and which of them answers. The guest
//! must be a probe.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::client::Connection;
use super::{Server, children_of, eventually, signal};

/// The worker at the other end: its id is the middle of a request's.
pub fn answered_by(connection: &mut Connection) -> io::Result<i32> {
    let response = connection.get("/inspect")?;
    let seen: serde_json::Value = serde_json::from_slice(&response.body)?;
    let fields = seen["headers"].as_array().into_iter().flatten();
    let id = fields.filter(|field| field[0] == "x-request-id").find_map(|field| field[1].as_str());
    let pid = id.and_then(|id| id.split('-').nth(1)?.parse().ok());
    pid.ok_or_else(|| io::Error::other(format!("no request id: {}", response.text())))
}

/// A connection to each of `count` workers, by process id.
#[track_caller]
pub fn one_connection_each(address: &str, count: usize) -> BTreeMap<i32, Connection> {
    let mut each = BTreeMap::new();
    // Held open, so that the workers that have them let the others accept.
    let mut spare = Vec::new();
    eventually(&format!("{count} workers answer"), || {
        let mut connection = Connection::open(address);
        let pid = answered_by(&mut connection).unwrap();
        if let Some(another) = each.insert(pid, connection) {
            spare.push(another);
            spare.truncate(64);
        }
        each.len() >= count
    });
    each
}

/// The process ids of `count` workers.
#[track_caller]
pub fn workers(address: &str, count: usize) -> BTreeSet<i32> {
    one_connection_each(address, count).into_keys().collect()
}

/// The child of the master that is no worker.
#[track_caller]
pub fn mold_beside(server: &Server, workers: &BTreeSet<i32>) -> i32 {
    let mut mold = 0;
    eventually("there is one mold", || {
        let others: Vec<_> = server.children().into_iter().filter(|child| !workers.contains(child)).collect();
        mold = others.first().copied().unwrap_or(0);
        others.len() == 1
    });
    mold
}

/// Every process that descends from `pid`.
pub fn descendants(pid: i32) -> Vec<i32> {
    let children = children_of(pid);
    children.iter().flat_map(|child| descendants(*child)).chain(children.iter().copied()).collect()
}

/// How many threads a process has.
pub fn threads(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// A line of /proc/PID/status, without its name.
pub fn status(pid: i32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// Stops a process, and returns when it has stopped.
#[track_caller]
pub fn stop(pid: i32) {
    signal(pid, "STOP");
    eventually("it has stopped", || status(pid, "State").is_some_and(|state| state.starts_with('T')));
}

/// Sends `GET PATH` and returns when a worker has begun with it: it has asked
/// for the body. `release` sends that; before, the guest does not run.
pub fn begin(connection: &mut Connection, path: &str) {
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n");
    connection.send(head).unwrap();
    let (status, _) = connection.read_head().unwrap();
    assert_eq!(status, 100);
}

/// Lets the guest run that `begin` held back.
pub fn release(connection: &mut Connection) {
    connection.send("x").unwrap();
}

/// Whether an error means that the other side closed the connection.
pub fn is_close(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
