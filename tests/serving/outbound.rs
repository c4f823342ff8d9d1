//! Requests that guests send.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::secrecy::assert_made_anew;
use super::support::Server;
use super::support::client::Response;
use super::{each_generation, encoded, get, serve};

/// A server that answers each request with its path, and counts connections.
struct Target {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Target {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        // Both kinds of thread end with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, SeqCst);
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut path = String::new();
                    let mut line = String::new();
                    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                        if let Some(target) = line.strip_prefix("GET ") {
                            path = target.split(' ').next().unwrap().to_owned();
                        }
                        if line == "\r\n" {
                            let answer =
                                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
                            (&stream).write_all(answer.as_bytes()).unwrap();
                        }
                        line.clear();
                    }
                });
            }
        });
        Self { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Has the guest fetch `path` from here, by this name.
    fn fetch(&self, server: &Server, host: &str, path: &str) -> Response {
        let url = format!("http://{host}:{}{path}", self.port);
        get(server, &format!("/outbound?url={}", encoded(&url)))
    }
}

#[track_caller]
fn assert_denied(answer: &Response, target: &Target) {
    assert_eq!(answer.status, 502);
    let text = answer.text();
    assert!(text.contains("HttpRequestDenied") || text.contains("DestinationIpProhibited"), "{text}");
    assert_eq!(target.connections(), 0, "nothing was connected to");
}

#[test]
fn a_guest_reaches_nothing_by_default() {
    each_generation(|guest| {
        let (target, mut server) = (Target::start(), serve(guest, &["-w", "1"]));
        let answer = target.fetch(&server, "127.0.0.1", "/x");
        assert_denied(&answer, &target);
        assert!(answer.text().contains("HttpRequestDenied"), "{}", answer.text());
        server.wait_for_log("127.0.0.1, which is no public address");
    });
}

#[test]
fn a_guest_reaches_what_it_may_over_connections_that_are_kept() {
    each_generation(|guest| {
        let target = Target::start();
        let server = serve(guest, &["-w", "1", "--allow-outbound", &format!("127.0.0.1:{}", target.port)]);
        for n in 0..10 {
            let path = format!("/path/{n}?q=1");
            let answer = target.fetch(&server, "127.0.0.1", &path);
            assert_eq!((answer.status, answer.text()), (200, path));
        }
        assert_eq!(target.connections(), 1, "each instance is new, the connection is not");
    });
}

#[test]
fn a_guest_that_has_reached_others_can_be_put_back() {
    let target = Target::start();
    let allowed = format!("127.0.0.1:{}", target.port);
    let server = serve("probe", &["-w", "1", "--log-level", "debug", "--allow-outbound", &allowed]);
    for _ in 0..3 {
        assert_eq!(target.fetch(&server, "127.0.0.1", "/").status, 200);
    }
    assert_made_anew(&server, 0..=0);
}

#[test]
fn a_rule_holds_for_its_port_alone() {
    each_generation(|guest| {
        let (target, other) = (Target::start(), Target::start());
        let server = serve(guest, &["-w", "1", "--allow-outbound", &format!("127.0.0.1:{}", other.port)]);
        assert_denied(&target.fetch(&server, "127.0.0.1", "/"), &target);
        assert_eq!(other.fetch(&server, "127.0.0.1", "/").status, 200);
    });
}

#[test]
fn a_network_allows_its_addresses_and_names_that_resolve_to_them() {
    each_generation(|guest| {
        let target = Target::start();
        let server = serve(guest, &["-w", "1", "--allow-outbound", "10.0.0.0/8,192.168.0.0/16"]);
        assert_denied(&target.fetch(&server, "127.0.0.1", "/"), &target);
        assert_denied(&target.fetch(&server, "localhost", "/"), &target);
        drop(server);
        let server = serve(guest, &["-w", "1", "--allow-outbound", "127.0.0.0/8"]);
        assert_eq!(target.fetch(&server, "127.0.0.1", "/").status, 200);
        assert_eq!(target.fetch(&server, "localhost", "/").status, 200);
    });
}

#[test]
fn a_target_that_does_not_answer_is_an_error_of_the_guest_not_of_the_server() {
    each_generation(|guest| {
        // Bound and dropped: nobody listens there.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = serve(guest, &["-w", "1", "--allow-outbound", "127.0.0.1"]);
        let url = encoded(&format!("http://127.0.0.1:{port}/"));
        let answer = get(&server, &format!("/outbound?url={url}"));
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("ConnectionRefused"), "{}", answer.text());
        assert_eq!(server.count_log(" ERROR "), 0);
        assert_eq!(get(&server, "/hello").status, 200);
    });
}
