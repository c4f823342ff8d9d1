//! A server with an application behind it, seen by its clients: both
//! generations of wasi:http must behave the same.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod capacity;
mod connections;
mod faults;
mod health;
mod hoard;
mod instances;
mod logs;
mod middleware;
mod outbound;
mod queue;
mod requests;
mod secrecy;
mod world;

use serde_json::Value;
use support::Server;
use support::client::{Connection, Response};
use support::guests::guest_arg;

/// One probe for each generation.
const GENERATIONS: [&str; 2] = ["probe", "probe_p3"];

/// Nothing ends for want of time; a test that could wait for a limit sets this.
const NO_HURRY: [&str; 2] = ["--request-timeout", "1h"];

/// Runs a test for each generation; on failure the last one named is meant.
fn each_generation(mut test: impl FnMut(&str)) {
    for guest in GENERATIONS {
        eprintln!("--- with {guest}");
        test(guest);
    }
}

/// A server for a guest.
#[track_caller]
fn serve(guest: &str, args: &[&str]) -> Server {
    Server::start(&[&[&*guest_arg(guest)], args].concat())
}

/// A GET with further header lines, each ended by CRLF.
#[track_caller]
fn get_with(server: &Server, path: &str, fields: &str) -> Response {
    let mut connection = Connection::open(&server.address);
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{fields}\r\n")).unwrap();
    connection.read().unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

#[track_caller]
fn get(server: &Server, path: &str) -> Response {
    support::client::get(&server.address, path)
}

/// What `/inspect` says of a request with these header lines.
#[track_caller]
fn inspect(server: &Server, path: &str, fields: &str) -> Value {
    let response = get_with(server, path, fields);
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).unwrap()
}

/// A header field that `/inspect` has shown.
fn seen(inspected: &Value, name: &str) -> Option<String> {
    let fields = inspected["headers"].as_array().unwrap();
    let found = fields.iter().find(|field| field[0] == name)?;
    Some(found[1].as_str().unwrap().to_owned())
}

/// Which worker answers, by the name it gives a request: INDEX-PID-NUMBER.
#[track_caller]
fn worker(server: &Server) -> String {
    let id = seen(&inspect(server, "/inspect", ""), "x-request-id").expect("requests have an id");
    id.split('-').nth(1).unwrap().to_owned()
}

/// The name of the request that an error answer carries.
#[track_caller]
fn request_id(response: &Response) -> String {
    let text = response.text();
    let id = text.lines().find_map(|line| line.strip_prefix("request "));
    id.unwrap_or_else(|| panic!("it names no request: {text:?}")).to_owned()
}

/// Percent-encodes a query value.
fn encoded(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
