//! What is HTTP is served, however it arrives.

use super::support::client::Connection;
use super::{CANARY, answer_to, serve};

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let server = serve(&[]);
    let mut connection = Connection::open(&server.address);
    let first = "GET /slow?chunks=3&ms=20 HTTP/1.1\r\nhost: t\r\n\r\n";
    let second = "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 6\r\n\r\nsecond";
    let third = "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthird\r\n0\r\n\r\n";
    connection.send([first, second, third].concat()).unwrap();
    for wanted in ["chunk 0\nchunk 1\nchunk 2\n", "second", "third"] {
        assert_eq!(connection.read().unwrap().text(), wanted);
    }
    assert_eq!(connection.get("/hello").unwrap().status, 200);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    let server = serve(&[]);
    let mut connection = Connection::open(&server.address);
    let body = "4;ext=\"1\"\r\nWiki\r\n5\r\npedia\r\n0\r\nx-check: 1\r\n\r\n";
    let request =
        format!("POST /echo HTTP/1.1\r\nHost: t\r\nX-Empty:\r\nTransfer-Encoding: Chunked\r\n\r\n{body}");
    for _ in 0..2 {
        for byte in request.as_bytes() {
            connection.send([*byte]).unwrap();
        }
        assert_eq!(connection.read().unwrap().text(), "Wikipedia");
    }
}

#[test]
fn a_line_break_left_over_from_the_request_before_is_forgiven() {
    let server = serve(&[]);
    let mut connection = Connection::open(&server.address);
    for _ in 0..3 {
        assert_eq!(connection.post("/echo", b"body").unwrap().text(), "body");
        connection.send("\r\n").unwrap();
    }
}

#[test]
fn unusual_requests_that_break_no_rule_are_served() {
    let server = serve(&[]);
    let mut connection = Connection::open(&server.address);
    for (request, status) in [
        ("OPTIONS * HTTP/1.1\r\nhost: t\r\n\r\n", None),
        ("GET /hello HTTP/1.1\r\nHOST:\r\n\r\n", Some(200)),
        ("GET /hello HTTP/1.1\r\nhost:\t t \t\r\n\r\n", Some(200)),
        ("GET /hello HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", Some(200)),
        ("GET HTTP://T/hello HTTP/1.1\r\nhost: t\r\n\r\n", Some(200)),
        ("BREW /hello HTTP/1.1\r\nhost: t\r\n\r\n", Some(200)),
        ("GET /hello HTTP/1.1\r\nhost: t\r\nx-latin: \u{e9}\t\u{fc}\r\n\r\n", Some(200)),
        ("GET /hello HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n", Some(200)),
        ("GET /hello?a|b^{} HTTP/1.1\r\nhost: t\r\n\r\n", Some(200)),
        ("POST /sink HTTP/1.1\r\nhost: t\r\ncontent-length: 0005\r\n\r\n12345", Some(200)),
    ] {
        connection.send(request).unwrap();
        let answer = connection.read().unwrap_or_else(|error| panic!("{request:?}: {error}"));
        match status {
            Some(status) => assert_eq!(answer.status, status, "{request:?}: {}", answer.text()),
            None => assert_ne!(answer.status, 400, "{request:?}: {}", answer.text()),
        }
    }
}

#[test]
fn http_1_0_closes_unless_it_asks_to_keep_the_connection() {
    let server = serve(&[]);
    let bytes = answer_to(&server, b"GET /hello HTTP/1.0\r\n\r\n");
    assert!(bytes.contains(" 200 ") && bytes.ends_with("\r\n\r\nHello, world!\n"), "{bytes}");
    // It knows no chunks: the end of the connection is the end of the body.
    let bytes = answer_to(&server, b"GET /slow?chunks=2&ms=10 HTTP/1.0\r\n\r\n");
    assert!(!bytes.to_ascii_lowercase().contains("transfer-encoding"), "{bytes}");
    assert!(bytes.ends_with("\r\n\r\nchunk 0\nchunk 1\n"), "{bytes}");

    let mut connection = Connection::open(&server.address);
    for _ in 0..2 {
        connection.send("GET /hello HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").unwrap();
        let answer = connection.read().unwrap();
        assert_eq!(answer.text(), "Hello, world!\n");
        let kept = answer.header("connection").map(str::to_ascii_lowercase);
        assert_eq!(kept.as_deref(), Some("keep-alive"), "{answer:?}");
    }
}

#[test]
fn a_connection_is_closed_after_the_request_that_says_so() {
    let server = serve(&[]);
    let request = "GET /hello HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let bytes = answer_to(&server, [request, CANARY].concat().as_bytes());
    assert!(bytes.to_ascii_lowercase().contains("connection: close"), "{bytes}");
    assert_eq!(bytes.matches("HTTP/1.1 ").count(), 1, "{bytes}");
}
