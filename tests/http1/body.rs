//! Chunked bodies that break their framing.

use super::support::client::Connection;
use super::{CANARY_ANSWER, assert_refused, serve};

const HEAD: &str = "POST /sink HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn a_chunked_body_that_breaks_its_framing_is_refused() {
    let server = serve(&[]);
    for (what, body) in [
        ("no digit", "\r\n"),
        ("no number", "g\r\n"),
        ("plus", "+5\r\n12345\r\n0\r\n\r\n"),
        ("minus", "-5\r\n12345\r\n0\r\n\r\n"),
        ("prefix", "0x5\r\n12345\r\n0\r\n\r\n"),
        ("space before", " 5\r\n12345\r\n0\r\n\r\n"),
        ("space after", "5 \r\n12345\r\n0\r\n\r\n"),
        ("tab after", "5\t\r\n12345\r\n0\r\n\r\n"),
        ("bare LF after the size", "5\n12345\r\n0\r\n\r\n"),
        ("bare CR after the size", "5\r12345\r\n0\r\n\r\n"),
        ("bare LF in an extension", "5;a\nb\r\n12345\r\n0\r\n\r\n"),
        ("NUL in an extension", "5;\0\r\n12345\r\n0\r\n\r\n"),
        ("17 digits", "00000000000000005\r\n12345\r\n0\r\n\r\n"),
        ("more than 64 bits", "10000000000000005\r\n12345\r\n0\r\n\r\n"),
        ("data shorter than said", "6\r\n12345\r\n0\r\n\r\n"),
        ("data longer than said", "4\r\n12345\r\n0\r\n\r\n"),
        ("bare LF after the data", "5\r\n12345\n0\r\n\r\n"),
        ("another byte for the CR after the data", "5\r\n12345x\n0\r\n\r\n"),
        ("another byte for the LF after the data", "5\r\n12345\rx0\r\n\r\n"),
        ("no line break after the data", "5\r\n123450\r\n\r\n"),
        ("bare LF at the end", "0\r\n\n"),
        ("bare CR at the end", "0\r\n\rx"),
        ("a trailer that frames", "0\r\ncontent-length: 5\r\n\r\n"),
        ("a trailer that frames otherwise", "0\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("a trailer that routes", "0\r\nhost: evil\r\n\r\n"),
        ("a trailer without a colon", "0\r\nx\r\n\r\n"),
        ("a folded trailer", "0\r\nx: y\r\n z\r\n\r\n"),
        ("a trailer with a space before the colon", "0\r\nx : y\r\n\r\n"),
    ] {
        assert_refused(&server, what, [HEAD, body].concat().as_bytes(), 400);
    }
    let endless = format!("{HEAD}5;{}\r\n12345\r\n0\r\n\r\n", "x".repeat(10_000));
    assert_refused(&server, "an endless extension", endless.as_bytes(), 400);
}

#[test]
fn a_body_that_breaks_while_the_guest_answers_never_ends_well() {
    let server = serve(&["--body-buffer", "0"]);
    let mut connection = Connection::open(&server.address);
    connection.send(HEAD.replace("/sink", "/echo")).unwrap();
    connection.send(format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000))).unwrap();
    assert_eq!(connection.read_head().unwrap().0, 200);
    connection.send(format!("+1\r\nx\r\n0\r\n\r\n{}", super::CANARY)).unwrap();
    let rest = String::from_utf8(connection.read_to_close()).unwrap();
    assert!(!rest.ends_with("0\r\n\r\n"), "the body looks whole");
    assert!(!rest.contains(CANARY_ANSWER) && !rest.contains("HTTP/1."), "{rest}");
}

#[test]
fn a_client_that_stops_amid_its_body_is_not_taken_for_one_that_finished() {
    let server = serve(&[]);
    for request in [
        "POST /sink HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n12345".to_owned(),
        format!("{HEAD}5\r\n12345\r\n"),
        format!("{HEAD}0\r\n"),
    ] {
        let mut connection = Connection::open(&server.address);
        connection.send(&request).unwrap();
        connection.finish();
        let answer = String::from_utf8_lossy(&connection.read_to_close()).into_owned();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{request:?}: {answer}");
    }
}
