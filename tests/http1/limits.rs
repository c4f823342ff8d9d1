//! Sizes and times.

use super::support::client::Connection;
use super::{answer_to, assert_refused, serve};

#[test]
fn a_request_line_may_be_so_long_and_no_longer() {
    let server = serve(&[]);
    // With method, version and two spaces: 8190 bytes.
    let line = |length: usize| format!("GET /hello?{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(length - 20));
    assert_refused(&server, "long line", line(8191).as_bytes(), 414);
    assert_refused(&server, "endless line", format!("GET /{}", "a".repeat(50_000)).as_bytes(), 414);
    let mut connection = Connection::open(&server.address);
    connection.send(line(8190)).unwrap();
    assert_eq!(connection.read().unwrap().status, 200);
}

#[test]
fn a_request_may_have_so_many_fields_of_such_a_size() {
    let server = serve(&[]);
    let many =
        |count: usize| format!("GET /hello HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
    let large =
        |size: usize| format!("GET /hello HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(size - 3));
    assert_refused(&server, "too many fields", many(101).as_bytes(), 431);
    assert_refused(&server, "a field too large", large(8191).as_bytes(), 431);
    assert_refused(&server, "an endless field", large(100_000).as_bytes(), 431);
    let mut connection = Connection::open(&server.address);
    for request in [many(100), large(8190)] {
        connection.send(request).unwrap();
        assert_eq!(connection.read().unwrap().status, 200);
    }
}

#[test]
fn limits_can_be_set() {
    let options =
        ["--limit-request-line", "64", "--limit-request-fields", "2", "--limit-request-field-size", "64"];
    let server = serve(&options);
    let get =
        |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nhost: t\r\n{fields}\r\n").into_bytes();
    assert_refused(&server, "line", &get(&format!("/{}", "a".repeat(60)), ""), 414);
    assert_refused(&server, "fields", &get("/hello", "x: y\r\nx: y\r\n"), 431);
    assert_refused(&server, "field", &get("/hello", &format!("x: {}\r\n", "y".repeat(70))), 431);
    let mut connection = Connection::open(&server.address);
    connection.send(get("/hello", "x: y\r\n")).unwrap();
    assert_eq!(connection.read().unwrap().status, 200);
}

#[test]
fn a_body_may_be_so_large_and_no_larger() {
    let server = serve(&["--limit-request-body", "10"]);
    let length = |body: &str| {
        format!("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let chunks = |body: &str| {
        let (first, second) = body.split_at(5);
        let head = "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}5\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", second.len())
    };
    assert_refused(&server, "length", length("12345678901").as_bytes(), 413);
    assert_refused(&server, "chunks", chunks("12345678901").as_bytes(), 413);
    let announced = "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 18446744073709551000\r\n\r\n";
    assert_refused(&server, "only announced", announced.as_bytes(), 413);
    let mut connection = Connection::open(&server.address);
    for request in [length("1234567890"), chunks("1234567890")] {
        connection.send(request).unwrap();
        assert_eq!(connection.read().unwrap().text(), "1234567890");
    }
}

#[test]
fn a_body_that_proves_too_large_while_the_guest_reads_it_is_refused() {
    let server = serve(&["--limit-request-body", "100KiB", "--body-buffer", "1KiB"]);
    let head = "POST /sink HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000));
    assert_refused(&server, "large", format!("{head}{chunk}{chunk}{chunk}0\r\n\r\n").as_bytes(), 413);
    let mut connection = Connection::open(&server.address);
    connection.send(format!("{head}{chunk}{chunk}0\r\n\r\n")).unwrap();
    let answer = connection.read().unwrap();
    assert!(answer.status == 200 && answer.text().starts_with("100000 "), "{answer:?}");
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_answered_408() {
    let server = serve(&["--header-timeout", "1s"]);
    for part in ["G", "GET /hello HTTP/1.1\r\nho", "GET /hello HTTP/1.1\r\nhost: t\r\n", "\r\nGET /hello"] {
        let answer = answer_to(&server, part.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 408 "), "{part:?}: {answer:?}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
    // The same on a connection that has been of use.
    let mut connection = Connection::open(&server.address);
    assert_eq!(connection.get("/hello").unwrap().status, 200);
    connection.send("GET /hel").unwrap();
    let rest = String::from_utf8(connection.read_to_close()).unwrap();
    assert!(rest.starts_with("HTTP/1.1 408 "), "{rest:?}");
}

#[test]
fn a_body_that_does_not_come_in_time_is_answered_408() {
    let server = serve(&["--request-timeout", "1s"]);
    let answer = answer_to(&server, b"POST /sink HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n12345");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
}

#[test]
fn a_connection_without_a_request_is_closed_without_an_answer() {
    let server = serve(&["--header-timeout", "1s", "--keep-alive", "1s"]);
    assert_eq!(answer_to(&server, b""), "");
    assert_eq!(answer_to(&server, b"\r\n"), "");
    let mut connection = Connection::open(&server.address);
    assert_eq!(connection.get("/hello").unwrap().status, 200);
    assert_eq!(connection.get("/sleep?ms=1500").unwrap().status, 200, "a request is no idleness");
    assert_eq!(connection.read_to_close(), b"");
}

#[test]
fn without_keep_alive_each_connection_is_for_one_request() {
    let server = serve(&["--keep-alive", "0"]);
    let answer =
        answer_to(&server, b"GET /hello HTTP/1.1\r\nhost: t\r\n\r\nGET /hello HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}
