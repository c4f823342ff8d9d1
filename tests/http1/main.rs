//! HTTP/1.1 byte by byte: what is served, what is refused, and that nothing
//! behind a refused request is ever taken for another one.

#[path = "../support/mod.rs"]
mod support;

mod body;
mod limits;
mod refused;
mod served;

use support::Server;
use support::client::{Connection, get};
use support::guests::guest_arg;

/// Sent right behind what is refused; its answer would show.
const CANARY: &str = "GET /hello HTTP/1.1\r\nhost: canary\r\n\r\n";
const CANARY_ANSWER: &str = "Hello, world!";

/// Words an error answer has no business to say.
const INTERNALS: [&str; 8] = ["hyper", "wasmtime", "tokio", "rust", "panic", ".rs", "src/", "wasgun/"];

/// A server with one worker, which every check of a test shares.
fn serve(args: &[&str]) -> Server {
    Server::start(&[&[&*guest_arg("probe"), "-w", "1"], args].concat())
}

/// All that the server says to `bytes` until it closes the connection.
fn answer_to(server: &Server, bytes: &[u8]) -> String {
    let mut connection = Connection::open(&server.address);
    // It may close before everything is sent.
    drop(connection.send(bytes));
    String::from_utf8_lossy(&connection.read_to_close()).into_owned()
}

/// Asserts that `bytes` get this status and nothing else, whatever follows them.
#[track_caller]
fn assert_refused(server: &Server, what: &str, bytes: &[u8], status: u16) {
    let answer = answer_to(server, &[bytes, CANARY.as_bytes()].concat());
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let context = || format!("{what}: {shown:?} got {answer:?}");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "no {status}: {}", context());
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{}", context());
    assert!(!answer.contains(CANARY_ANSWER), "the canary was answered: {}", context());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {}", context()));
    assert!(head.to_ascii_lowercase().lines().any(|line| line == "connection: close"), "{}", context());
    assert!(head.to_ascii_lowercase().contains(&format!("content-length: {}", body.len())), "{}", context());
    for word in INTERNALS {
        assert!(!answer.to_ascii_lowercase().contains(word), "it says {word:?}: {}", context());
    }
}

/// The worker that answers, by its process id.
fn worker(server: &Server) -> String {
    let text = get(&server.address, "/inspect").text();
    let id = text.split("\"x-request-id\",\"").nth(1).unwrap().split('"').next().unwrap();
    id.split('-').nth(1).unwrap().to_owned()
}
