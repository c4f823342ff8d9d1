//! Heads that could be read in two ways, or in none.

use super::support::client::{Connection, get};
use super::{CANARY, answer_to, assert_refused, serve, worker};

/// Lines after a good request line and a good Host, without the empty line.
fn with_fields(lines: &str) -> String {
    format!("POST /sink HTTP/1.1\r\nhost: t\r\n{lines}\r\n\r\n")
}

#[test]
fn a_body_framed_in_two_ways_is_refused() {
    let server = serve(&[]);
    for lines in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 0\r\ntransfer-encoding: chunked",
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 5",
        "content-length: 5,6",
        "content-length: +5",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length: 5;",
        "content-length: 1e1",
        "content-length:",
        "content-length: 18446744073709551616",
        "content-length: 99999999999999999999999",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: identity",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: ,chunked",
        "transfer-encoding:",
    ] {
        for body in ["", "0\r\n\r\n", "12345"] {
            assert_refused(&server, "framing", (with_fields(lines) + body).as_bytes(), 400);
        }
    }
    let in_1_0 = "POST /sink HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_refused(&server, "chunks in 1.0", in_1_0.as_bytes(), 400);
}

#[test]
fn lines_and_fields_that_are_not_clean_are_refused() {
    let server = serve(&[]);
    for (what, lines) in [
        ("bare LF", "x: y\nz: w"),
        ("bare LF at the end", "x: y\n"),
        ("bare CR in a value", "x: y\rz"),
        ("bare CR as a line", "x: y\r\n\rz: w"),
        ("obs-fold", "x: y\r\n z"),
        ("obs-fold with a tab", "x: y\r\n\tz"),
        ("space before the colon", "x : y"),
        ("tab before the colon", "x\t: y"),
        ("space before Content-Length's colon", "content-length : 5"),
        ("space before Transfer-Encoding's colon", "transfer-encoding : chunked"),
        ("no colon", "x"),
        ("no name", ": y"),
        ("space in a name", "x y: z"),
        ("bracket in a name", "x(y: z"),
        ("non-ASCII name", "\u{e9}: z"),
        ("NUL in a name", "x\0: y"),
        ("NUL in a value", "x: y\0z"),
        ("control in a value", "x: y\x01z"),
        ("escape in a value", "x: \x1b[31m"),
        ("vertical tab before chunked", "transfer-encoding: \x0bchunked"),
        ("DEL in a value", "x: y\x7fz"),
        ("a second Host", "host: t"),
        ("another second Host", "Host: evil"),
    ] {
        assert_refused(&server, what, with_fields(lines).as_bytes(), 400);
    }
    let folded_first = "GET /hello HTTP/1.1\r\n host: t\r\n\r\n";
    assert_refused(&server, "a first line that is folded", folded_first.as_bytes(), 400);
}

#[test]
fn request_lines_that_are_not_clean_are_refused() {
    let server = serve(&[]);
    for (what, line) in [
        ("* with GET", "GET * HTTP/1.1"),
        ("authority-form with GET", "GET t:80 HTTP/1.1"),
        ("no leading slash", "GET hello HTTP/1.1"),
        ("another scheme", "GET ftp://t/hello HTTP/1.1"),
        ("no host in an absolute target", "GET http:///hello HTTP/1.1"),
        ("user information in an absolute target", "GET http://user@t/hello HTTP/1.1"),
        ("a target of another host", "GET http://other/hello HTTP/1.1"),
        ("a fragment", "GET /hello#a HTTP/1.1"),
        ("space in the target", "GET /hel lo HTTP/1.1"),
        ("two spaces", "GET  /hello HTTP/1.1"),
        ("two spaces before the version", "GET /hello  HTTP/1.1"),
        ("tab for a space", "GET\t/hello HTTP/1.1"),
        ("space at the end", "GET /hello HTTP/1.1 "),
        ("space at the start", " GET /hello HTTP/1.1"),
        ("NUL in the target", "GET /hel\0lo HTTP/1.1"),
        ("control in the target", "GET /hel\x01lo HTTP/1.1"),
        ("non-ASCII target", "GET /h\u{e9}llo HTTP/1.1"),
        ("bare CR in the line", "GET /hello\rHTTP/1.1"),
        ("bare LF in the line", "GET /hello HTTP/1.1\nx: y"),
        ("bad method", "G(T /hello HTTP/1.1"),
        ("no version", "GET /hello"),
        ("empty version", "GET /hello "),
        ("lower-case version", "GET /hello http/1.1"),
        ("version with more", "GET /hello HTTP/1.1x"),
        ("version of three parts", "GET /hello HTTP/1.1.1"),
        ("version without a point", "GET /hello HTTP/11"),
        ("two line breaks before", "\r\n\r\nGET /hello HTTP/1.1"),
        ("bare LF before", "\nGET /hello HTTP/1.1"),
    ] {
        assert_refused(&server, what, format!("{line}\r\nhost: t\r\n\r\n").as_bytes(), 400);
    }
    for (what, line, status) in [
        ("version 2.0", "GET /hello HTTP/2.0", 505),
        ("version 1.2", "GET /hello HTTP/1.2", 505),
        ("version 0.9", "GET /hello HTTP/0.9", 505),
        ("CONNECT", "CONNECT t:80 HTTP/1.1", 501),
    ] {
        assert_refused(&server, what, format!("{line}\r\nhost: t\r\n\r\n").as_bytes(), status);
    }
}

#[test]
fn hosts_that_name_none_or_several_are_refused() {
    let server = serve(&[]);
    assert_refused(&server, "no Host", b"GET /hello HTTP/1.1\r\nx: y\r\n\r\n", 400);
    assert_refused(&server, "no field at all", b"GET /hello HTTP/1.1\r\n\r\n", 400);
    for host in
        ["a b", "a,b", "user@a", "a/b", "a:b", "a:99999", "[::1", "::1", "http://a", "a#b", "a\\b", "a\"b"]
    {
        let request = format!("GET /hello HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_refused(&server, "bad Host", request.as_bytes(), 400);
    }
}

#[test]
fn what_is_refused_is_refused_behind_a_good_request_too() {
    let server = serve(&[]);
    let bad = with_fields("content-length: 5\r\ntransfer-encoding: chunked");
    let good = "GET /peak HTTP/1.1\r\nhost: t\r\n\r\n";
    let answer = answer_to(&server, [good, &bad, CANARY].concat().as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("HTTP/1.1 400 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
}

#[test]
fn other_protocols_are_refused_and_closed() {
    let server = serve(&[]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d";
    assert_refused(&server, "HTTP/2", preface, 505);
    let tls = b"\x16\x03\x01\x00\x75\x01\x00\x00\x71\x03\x03abcdefghijklmnopqrstuvwxyz0123456789\r\n\r\n";
    assert_refused(&server, "TLS", tls, 400);
    assert_refused(&server, "the PROXY protocol", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 400);
    assert_refused(&server, "SSH", b"SSH-2.0-OpenSSH_9.2\r\n", 400);
    assert_refused(&server, "HTTP/0.9", b"GET /hello\r\n\r\n", 400);
}

#[test]
fn garbage_is_closed_and_harms_nobody() {
    let server = serve(&[]);
    let before = worker(&server);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        // xorshift: the same bytes in each run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..next() % 400).map(|_| next() as u8).collect();
        if round % 2 == 0 {
            // Closer to a request, so that more of the reader is reached.
            bytes.splice(..0, *b"POST /sink HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n");
            let cut = bytes.len().min(58 + (next() % 3) as usize);
            bytes.splice(cut..cut, *b"\r\n");
        }
        let mut connection = Connection::open(&server.address);
        drop(connection.send(&bytes));
        connection.finish();
        let answer = String::from_utf8_lossy(&connection.read_to_close()).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"),
            "{bytes:?}: {answer}"
        );
        assert!(answer.matches("HTTP/1.").count() <= 1, "{bytes:?}: {answer}");
    }
    assert_eq!(get(&server.address, "/hello").status, 200);
    assert_eq!(worker(&server), before);
    assert_eq!(server.count_log(" ERROR "), 0);
}

#[test]
fn the_log_says_what_was_refused_and_which_option_would_help() {
    let mut server = serve(&[]);
    let cookie = "x".repeat(9000);
    answer_to(
        &server,
        format!("GET /with/cookie HTTP/1.1\r\nhost: t\r\ncookie: {cookie}\r\n\r\n").as_bytes(),
    );
    let line = server.wait_for_log("field too large (--limit-request-fields, --limit-request-field-size)");
    for text in ["method=GET", "path=\"/with/cookie\"", "status=431", "client=127.0.0.1"] {
        assert!(line.contains(text), "no {text}: {line}");
    }
    answer_to(&server, b"GET /\x1b[31m HTTP/9.9\r\nhost: t\r\n\r\n");
    let line = server.wait_for_log("status=400");
    assert!(!line.contains('\x1b'), "{line}");
}
