//! Bodies in both directions: streamed, large, with trailers.

use std::io::Write;

use super::support::client::Connection;
use super::{each_generation, get_with, serve};

const MIB: usize = 1 << 20;

const CHUNKED_ECHO: &str = "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Sends a chunk, and waits until it has come back.
#[track_caller]
fn there_and_back(connection: &mut Connection, bytes: &[u8]) {
    connection.send(chunk(bytes)).unwrap();
    let mut back = Vec::new();
    while back.len() < bytes.len() {
        back.extend(connection.read_chunk().unwrap());
    }
    assert!(back == bytes, "{} bytes came back otherwise", bytes.len());
}

#[test]
fn a_body_flows_through_the_guest_while_the_client_still_sends() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--body-buffer", "64KiB"]);
        // More than is read ahead, and less than that: the guest starts all the same.
        for first in [vec![b'a'; 70_000], b"hello".to_vec()] {
            let mut connection = Connection::open(&server.address);
            connection.send(CHUNKED_ECHO).unwrap();
            connection.send(chunk(&first)).unwrap();
            assert_eq!(connection.read_head().unwrap().0, 200);
            let mut back = Vec::new();
            while back.len() < first.len() {
                back.extend(connection.read_chunk().unwrap());
            }
            assert!(back == first);
            there_and_back(&mut connection, b"second");
            there_and_back(&mut connection, &vec![b'c'; 100_000]);
            connection.send("0\r\n\r\n").unwrap();
            assert!(connection.read_chunk().unwrap().is_empty());
        }
    });
}

#[test]
fn who_leaves_amid_a_body_is_told_from_an_app_that_fails() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "1", "--body-buffer", "0"]);
        let mut connection = Connection::open(&server.address);
        connection.send(CHUNKED_ECHO).unwrap();
        connection.send(chunk(b"hello")).unwrap();
        assert_eq!(connection.read_head().unwrap().0, 200);
        assert_eq!(connection.read_chunk().unwrap(), b"hello");
        connection.finish();
        connection.read_to_close();
        let line = server.wait_for_log("the response was cut after 5 bytes: not all of the body came: ");
        assert!(line.contains(" INFO "), "{line}");
        assert_eq!(server.count_log("ERROR"), 0);
        // What fails with no fault of its client's still says so.
        get_with(&server, "/no-response", "");
        server.wait_for_log("ERROR");
    });
}

#[test]
fn an_app_that_has_no_answer_to_half_a_body_is_not_to_blame() {
    let mut server = serve("probe", &["-w", "1", "--body-buffer", "0", "--instance-max-requests", "100"]);
    assert_eq!(get_with(&server, "/once", "").status, 200);
    let mut connection = Connection::open(&server.address);
    connection.send(CHUNKED_ECHO.replace("/echo", "/once?read=yes")).unwrap();
    connection.send(chunk(b"hello")).unwrap();
    connection.finish();
    assert_eq!(connection.read().unwrap().status, 400);
    assert!(server.wait_for_log("not all of the body came: ").contains(" INFO "));
    assert_eq!(server.count_log("ERROR"), 0);
}

#[test]
fn a_large_body_comes_back_byte_for_byte() {
    // Any pattern whose period is no power of two: a piece out of place shows.
    let sent: Vec<u8> = (0..20 * MIB).map(|at| (at % 251) as u8).collect();
    for (guest, path) in [("probe", "/echo"), ("probe_p3", "/echo"), ("echo", "/"), ("echo_p3", "/")] {
        let server = serve(guest, &["-w", "1"]);
        for chunked in [false, true] {
            let mut connection = Connection::open(&server.address);
            let framing = if chunked {
                "transfer-encoding: chunked".into()
            } else {
                format!("content-length: {}", sent.len())
            };
            connection.send(format!("POST {path} HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n")).unwrap();
            let mut socket = connection.socket().try_clone().unwrap();
            let received = std::thread::scope(|scope| {
                scope.spawn(|| match chunked {
                    false => socket.write_all(&sent).unwrap(),
                    true => {
                        sent.chunks(99_999).for_each(|piece| socket.write_all(&chunk(piece)).unwrap());
                        socket.write_all(b"0\r\n\r\n").unwrap();
                    }
                });
                connection.read().unwrap()
            });
            assert_eq!(received.status, 200);
            assert!(
                received.body == sent,
                "{guest}, chunked: {chunked}: {} bytes came back otherwise",
                received.body.len()
            );
        }
    }
}

#[test]
fn trailers_go_to_who_wants_them() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let with = get_with(&server, "/trailers", "te: trailers\r\n");
        assert_eq!((with.status, with.text().as_str()), (200, "body\n"));
        assert_eq!(with.trailers, [("x-probe".to_owned(), "trailer".to_owned())]);
        let without = get_with(&server, "/trailers", "");
        assert_eq!((without.status, without.text().as_str()), (200, "body\n"));
        assert_eq!(without.trailers, []);
    });
}

#[test]
fn the_guest_gets_the_trailers_of_a_request() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        let head = "POST /request-trailers HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
        connection.send(format!("{head}3\r\nabc\r\n0\r\nx-check: 17\r\nx-more: a b\r\n\r\n")).unwrap();
        let answer = connection.read().unwrap();
        let trailers: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(trailers, serde_json::json!([["x-check", "17"], ["x-more", "a b"]]));
        connection.send(format!("{head}3\r\nabc\r\n0\r\n\r\n")).unwrap();
        assert_eq!(connection.read().unwrap().text().trim(), "[]");
    });
}

#[test]
fn a_guest_need_not_read_the_body_it_is_sent() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        for path in ["/early", "/half-read?n=10"] {
            let mut connection = Connection::open(&server.address);
            let answer = connection.post(path, &vec![b'x'; 1000]).unwrap();
            assert_eq!(answer.status, 200, "{path}");
            // It must not be taken for the next request.
            if answer.header("connection") != Some("close") {
                assert_eq!(connection.get("/hello").unwrap().text(), "Hello, world!\n", "{path}");
            }
        }
    });
}
