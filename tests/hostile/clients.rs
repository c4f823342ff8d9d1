//! Clients that stall, in every way there is, a few hundred at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::polite;
use super::serve;
use super::support::client::Connection;
use super::support::{PATIENCE, control, eventually};

const GENERATIONS: [&str; 2] = ["probe", "probe_p3"];

/// As many of a kind; they wait in the kernel's queue if that is too many at once.
const MANY: usize = 500;

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Whether the server has ended the connection; takes what it has sent.
fn is_over(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Sends `bytes` one at a time, a turn of all of them after another, until the server
/// has ended every connection.
fn trickle(mut streams: Vec<TcpStream>, bytes: &[u8], read: bool) {
    let begun = Instant::now();
    let mut at = 0;
    while !streams.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{} connections are still there", streams.len());
        let byte = [bytes[at.min(bytes.len() - 1)]];
        streams.retain_mut(|stream| {
            let sent = stream.write(&byte);
            let gone = sent.is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
            !(gone || read && is_over(stream))
        });
        at += 1;
        thread::sleep(Duration::from_millis(50));
    }
}

/// Has the others stop, also when a test fails among them.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Takes a byte at a time, until `stop`: what the kernel has taken off the server already
/// it would go on giving out for hours.
fn sip(mut streams: Vec<TcpStream>, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        for stream in &mut streams {
            drop(stream.read(&mut [0; 1]));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn slow_heads_bodies_and_readers_are_ended_and_hold_nobody_up() {
    for guest in GENERATIONS {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control");
        let mut server = serve(
            guest,
            &[
                &["-w", "4"][..],
                &["--header-timeout", "1s", "--body-timeout", "1s", "--write-timeout", "1s"],
                // However busy the machine is that tests this.
                &["--queue", "10000", "--queue-timeout", "1h"],
                &["--request-timeout", "1h", "--control-socket", socket.to_str().unwrap()],
            ]
            .concat(),
        );
        let stop = AtomicBool::new(false);
        let address = server.address.clone();
        let open = |request: &str| {
            let open = |_| {
                let mut stream = connect(&address);
                stream.write_all(request.as_bytes()).unwrap();
                stream
            };
            (0..MANY).map(open).collect::<Vec<_>>()
        };
        let seen = thread::scope(|scope| {
            let _stop = Stop(&stop);
            let polite = polite::ask(scope, &address, "/hello", &stop);
            let heads = scope.spawn(|| trickle(open("GET / HTTP/1.1\r\nhost: x\r\nx: "), b"y", true));
            let post = "POST /sink HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
            let bodies = scope.spawn(|| trickle(open(post), b"z", true));
            let readers = open("GET /big?mib=64 HTTP/1.1\r\nhost: x\r\n\r\n");
            scope.spawn(|| sip(readers, &stop));
            heads.join().unwrap();
            bodies.join().unwrap();
            // The polite client's two are left.
            eventually("the server has ended them all", || {
                control::status(&socket)["connections"].as_u64().unwrap() <= 2
            });
            stop.store(true, Relaxed);
            polite.join().unwrap()
        });
        println!("{guest}: p99 of {} polite requests {:?}", seen.requests, seen.p99());
        assert!(seen.failures.is_empty(), "{guest}: the polite client: {:?}", seen.failures);
        server.wait_for_log("(--header-timeout)");
        server.wait_for_log("(--body-timeout, --min-rate");
    }
}

#[test]
fn a_body_is_waited_for_as_long_as_it_comes_fast_enough() {
    for guest in GENERATIONS {
        let args = ["-w", "1", "--body-timeout", "600ms", "--min-rate", "100", "--body-buffer", "10"];
        let server = serve(guest, &args);
        let mut connection = Connection::open(&server.address);
        connection.send("POST /sink HTTP/1.1\r\nhost: x\r\ncontent-length: 400\r\n\r\n").unwrap();
        // For more than twice the time, at twice the rate that earns it.
        for _ in 0..20 {
            connection.send([b'x'; 20]).unwrap();
            thread::sleep(Duration::from_millis(70));
        }
        assert_eq!(connection.read().unwrap().status, 200, "{guest}");
        // A silence later is the same as one at the begin, however much has come.
        let mut connection = Connection::open(&server.address);
        connection.send("POST /sink HTTP/1.1\r\nhost: x\r\ncontent-length: 9000001\r\n\r\n").unwrap();
        connection.send(vec![b'x'; 9_000_000]).unwrap();
        assert_eq!(connection.read().unwrap().status, 408, "{guest}");
    }
}

#[test]
fn without_a_rate_each_byte_is_enough() {
    for guest in GENERATIONS {
        let args = ["-w", "1", "--body-timeout", "500ms", "--min-rate", "none"];
        let server = serve(guest, &args);
        let mut connection = Connection::open(&server.address);
        connection.send("POST /sink HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n").unwrap();
        for _ in 0..10 {
            connection.send("x").unwrap();
            thread::sleep(Duration::from_millis(150));
        }
        assert_eq!(connection.read().unwrap().status, 200, "{guest}");
        connection.send("POST /sink HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx").unwrap();
        assert_eq!(connection.read().unwrap().status, 408, "{guest}");
    }
}

#[test]
fn ten_thousand_idle_connections_cost_nobody_a_request() {
    let server = serve("probe", &["-w", "2", "--keep-alive", "1h"]);
    // As many as this process may have, at most.
    wasgun::sandbox::tune_limits().unwrap();
    let limit = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limit.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
    let most: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    let count = 10_000.min(most.saturating_sub(500));
    let mut idle: Vec<_> = (0..count)
        .map(|_| {
            let mut connection = Connection::open(&server.address);
            assert_eq!(connection.get("/hello").unwrap().status, 200);
            connection
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(Connection::open(&server.address).get("/hello").unwrap().status, 200);
    }
    // They are still there.
    for connection in idle.iter_mut().step_by(100) {
        assert_eq!(connection.get("/hello").unwrap().status, 200);
    }
    drop(idle);
    eventually("it goes on", || Connection::open(&server.address).get("/hello").is_ok());
}
