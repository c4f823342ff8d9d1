//! Guests that fail: the client learns it, the log says why, the worker goes on.

use std::io::ErrorKind;

use super::support::client::{Connection, Response};
use super::support::{Server, eventually};
use super::{each_generation, get, request_id, serve, worker};

fn errors(server: &Server) -> Vec<String> {
    server.log().into_iter().filter(|line| line.contains(" ERROR ")).collect()
}

#[track_caller]
fn assert_cut(result: std::io::Result<Response>, what: &str) {
    match result {
        Err(error) if [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&error.kind()) => {}
        Err(error) => panic!("{what}: not cut, but {error}"),
        Ok(response) => panic!("{what}: it looks whole: {response:?}"),
    }
}

#[test]
fn a_guest_that_fails_before_it_answers_makes_500_and_one_line_in_the_log() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let before = worker(&server);
        let paths = [
            "/trap",
            "/panic",
            "/exit",
            "/exit?code=1",
            "/no-response",
            "/error-code",
            "/error-code?code=loop",
        ];
        for (failed, path) in paths.into_iter().enumerate() {
            let response = get(&server, path);
            assert_eq!(response.status, 500, "{path}");
            let id = request_id(&response);
            eventually("the log says so", || errors(&server).len() > failed);
            let lines = errors(&server);
            assert_eq!(lines.len(), failed + 1, "{path}: {lines:#?}");
            for text in [&*id, guest, "method=GET", &format!("{path:?}"), "status=500"] {
                assert!(lines[failed].contains(text), "{path}: no {text} in {}", lines[failed]);
            }
            let told = response.text();
            for secret in ["wasm", "unreachable", "exit(", "ErrorCode", ".rs"] {
                assert!(!told.contains(secret), "{path}: the client is told {told:?}");
            }
        }
        assert_eq!(worker(&server), before, "the worker goes on");
    });
}

#[test]
fn a_connection_stays_usable_after_a_failed_request() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        assert_eq!(connection.get("/trap").unwrap().status, 500);
        assert_eq!(connection.get("/hello").unwrap().status, 200);
    });
}

#[test]
fn a_guest_that_fails_amid_its_body_cuts_the_connection() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let before = worker(&server);
        let paths = ["/trap-after-head?bytes=10&ms=50", "/trap-after-head?bytes=10&length=20&ms=50"];
        for (cut, path) in paths.into_iter().enumerate() {
            let mut connection = Connection::open(&server.address);
            connection.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
            let (status, fields) = connection.read_head().unwrap();
            assert_eq!(status, 200, "{path}");
            let chunked = fields.contains(&("transfer-encoding".into(), "chunked".into()));
            assert_eq!(chunked, !path.contains("length"), "{path}: {fields:?}");
            let rest = String::from_utf8(connection.read_to_close()).unwrap();
            assert_eq!(rest, if chunked { "A\r\nxxxxxxxxxx\r\n" } else { "xxxxxxxxxx" }, "{path}");
            eventually("the log says so", || errors(&server).len() > cut);
            let lines = errors(&server);
            assert_eq!(lines.len(), cut + 1, "{lines:#?}");
            assert!(
                lines[cut].contains(&format!("{path:?}")) && lines[cut].contains("10 bytes"),
                "{}",
                lines[cut]
            );
        }
        // As a client library has it.
        assert_cut(Connection::open(&server.address).get(paths[0]), paths[0]);
        assert_cut(Connection::open(&server.address).get(paths[1]), paths[1]);
        assert_eq!(worker(&server), before, "the worker goes on");
    });
}

#[test]
fn a_guest_that_fails_after_its_whole_answer_fails_nobody() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        let response = connection.get("/trap-after-body?length=yes").unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "complete\n"));
        // The same worker writes this line after whatever it has to say of that.
        let id = request_id(&connection.get("/trap").unwrap());
        eventually("the log says so", || !errors(&server).is_empty());
        let lines = errors(&server);
        assert!(lines.len() == 1 && lines[0].contains(&id), "{lines:#?}");
    });
}

#[test]
fn a_body_that_is_not_what_was_announced_is_never_passed_off_as_whole() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        match Connection::open(&server.address).get("/mismatch?length=10&bytes=5") {
            Ok(response) => assert_eq!(response.status, 500, "{response:?}"),
            cut => assert_cut(cut, "too short"),
        }
        // More than announced must not be read as the start of another answer.
        let mut connection = Connection::open(&server.address);
        connection
            .send("GET /mismatch?length=5&bytes=10 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
            .unwrap();
        let bytes = String::from_utf8(connection.read_to_close()).unwrap();
        let (head, body) = bytes.split_once("\r\n\r\n").expect("there is an answer");
        assert!(head.starts_with("HTTP/1.1 500") || body.len() <= 5, "{bytes:?}");
        assert_eq!(get(&server, "/hello").status, 200);
    });
}

#[test]
fn an_answer_that_is_cut_does_not_look_whole_to_http_1_0_either() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        connection.send("GET /trap-after-head?bytes=10&ms=100 HTTP/1.0\r\nhost: test\r\n\r\n").unwrap();
        let mut all = Vec::new();
        let error = std::io::Read::read_to_end(&mut connection.socket(), &mut all).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", String::from_utf8_lossy(&all));
    });
}
