//! A running server, steered and asked: by `wasgun ctl` as a user does it, and in
//! the words that cross the socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Finished, PATIENCE, run, wasgun};

/// `wasgun ctl ORDER` for the server behind `socket`.
pub fn ctl_command(socket: &Path, order: &[&str]) -> Command {
    let mut command = wasgun();
    command.arg("ctl").arg("--control-socket").arg(socket).args(order);
    command
}

/// Runs it.
#[track_caller]
pub fn ctl(socket: &Path, order: &[&str]) -> Finished {
    run(ctl_command(socket, order))
}

/// Sends a line and reads the one that answers it.
#[track_caller]
pub fn say(socket: &Path, line: &str) -> Value {
    let mut stream =
        UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// How the server says it is.
#[track_caller]
pub fn status(socket: &Path) -> Value {
    let mut reply = say(socket, r#"{"command":"status"}"#);
    assert_eq!(reply["ok"], true, "{reply}");
    reply["status"].take()
}

/// The processes of workers in one of `states`.
pub fn pids_in(status: &Value, states: &[&str]) -> Vec<i32> {
    let workers = status["workers"].as_array().unwrap().iter();
    let among = workers.filter(|worker| states.contains(&worker["state"].as_str().unwrap()));
    among.map(|worker| worker["pid"].as_i64().unwrap() as i32).collect()
}
