//! What the guest sees of a request, and what the client sees of a plain answer.

use serde_json::Value;

use super::support::client::Connection;
use super::{each_generation, get, inspect, seen, serve};

const FORWARDED: &str = "x-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n\
    x-forwarded-host: app.example\r\nx-request-id: from-the-proxy\r\n";

#[test]
fn an_answer_has_the_guests_status_fields_and_body() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let hello = get(&server, "/hello");
        assert_eq!((hello.status, hello.text().as_str()), (200, "Hello, world!\n"));
        assert_eq!(hello.header("content-type"), Some("text/plain"));
        assert_eq!(hello.header("content-length"), Some("14"));
        assert!(hello.header("date").is_some(), "{:?}", hello.headers);

        assert_eq!(get(&server, "/nothing-here").status, 404);
        assert_eq!(get(&server, "/status?code=418").status, 418);
        let empty = get(&server, "/status?code=204");
        assert_eq!((empty.status, empty.body.len()), (204, 0));
        let header = get(&server, "/header?name=x-own&value=a+b");
        assert_eq!(header.header("x-own"), Some("a b"));
        assert_eq!(
            get(&server, "/headers?n=50")
                .headers
                .iter()
                .filter(|(name, _)| name.starts_with("x-probe-"))
                .count(),
            50
        );
    });
}

#[test]
fn the_guest_sees_scheme_authority_target_and_the_peers_address() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        connection
            .send("GET /inspect?a=b&c=%20d HTTP/1.1\r\nHost: app.test:8080\r\nX-Own: 1\r\n\r\n")
            .unwrap();
        let seen_by_guest: Value = serde_json::from_slice(&connection.read().unwrap().body).unwrap();
        let text = |name: &str| seen_by_guest[name].as_str().unwrap_or("none");
        assert_eq!(text("method"), "GET");
        assert_eq!(text("scheme"), "http");
        assert_eq!(text("authority"), "app.test:8080");
        assert_eq!(text("path_with_query"), "/inspect?a=b&c=%20d");
        assert_eq!(seen(&seen_by_guest, "x-own").as_deref(), Some("1"));
        assert_eq!(seen(&seen_by_guest, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(seen(&seen_by_guest, "x-forwarded-proto").as_deref(), Some("http"));
        assert_eq!(seen(&seen_by_guest, "x-forwarded-host"), None);

        connection.send("DELETE http://other.test/inspect HTTP/1.1\r\nhost: other.test\r\n\r\n").unwrap();
        let absolute: Value = serde_json::from_slice(&connection.read().unwrap().body).unwrap();
        assert_eq!(absolute["method"], "DELETE");
        assert_eq!(absolute["authority"], "other.test");
        assert_eq!(absolute["path_with_query"], "/inspect");
    });
}

#[test]
fn a_proxy_on_this_host_is_believed() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let seen_by_guest = inspect(&server, "/inspect", FORWARDED);
        assert_eq!(seen_by_guest["scheme"], "https");
        assert_eq!(seen_by_guest["authority"], "app.example");
        assert_eq!(seen(&seen_by_guest, "x-forwarded-for").as_deref(), Some("203.0.113.7"));
        assert_eq!(seen(&seen_by_guest, "x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(seen(&seen_by_guest, "x-request-id").as_deref(), Some("from-the-proxy"));
    });
}

#[test]
fn a_peer_that_is_no_known_proxy_is_not_believed() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--forwarded-allow-ips", "10.0.0.0/8"]);
        let lies = format!("{FORWARDED}forwarded: for=203.0.113.7;proto=https\r\nx-real-ip: 203.0.113.7\r\n");
        let seen_by_guest = inspect(&server, "/inspect", &lies);
        assert_eq!(seen_by_guest["scheme"], "http");
        assert_eq!(seen_by_guest["authority"], "test");
        assert_eq!(seen(&seen_by_guest, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(seen(&seen_by_guest, "x-forwarded-proto").as_deref(), Some("http"));
        for dropped in ["x-forwarded-host", "forwarded", "x-real-ip"] {
            assert_eq!(seen(&seen_by_guest, dropped), None, "{dropped}");
        }
        assert_ne!(seen(&seen_by_guest, "x-request-id").as_deref(), Some("from-the-proxy"));
    });
}

#[test]
fn a_head_request_gets_the_head_alone_and_keeps_its_connection() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        for (path, length) in [("/hello", "14"), ("/big?mib=1&length=yes", "1048576"), ("/hello", "14")] {
            connection.send(format!("HEAD {path} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
            let (status, fields) = connection.read_head().unwrap();
            assert_eq!(status, 200);
            assert!(fields.contains(&("content-length".into(), length.into())), "{path}: {fields:?}");
            // Bytes of a body would now be read as the next status line.
            assert_eq!(connection.get("/hello").unwrap().text(), "Hello, world!\n");
        }
    });
}

#[test]
fn a_client_that_expects_100_hears_it_before_it_sends_its_body() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--limit-request-body", "10"]);
        let mut connection = Connection::open(&server.address);
        connection
            .send("POST /echo HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
            .unwrap();
        assert_eq!(connection.read_head().unwrap().0, 100);
        connection.send("12345").unwrap();
        let answer = connection.read().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "12345"));

        // One that would be too large is not asked for.
        connection
            .send("POST /echo HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n")
            .unwrap();
        assert_eq!(connection.read_head().unwrap().0, 413);
    });
}

#[test]
fn a_head_is_a_whole_answer_where_no_body_is_allowed() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        // With the length that GET would have, and no byte of it.
        connection.send("HEAD /mismatch?length=10&bytes=0 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        let (status, fields) = connection.read_head().unwrap();
        assert_eq!(status, 200);
        assert!(fields.contains(&("content-length".into(), "10".into())), "{fields:?}");
        assert_eq!(connection.get("/hello").unwrap().text(), "Hello, world!\n");
        assert_eq!(server.count_log(" ERROR "), 0);
        // A guest that fails is no less broken for that.
        connection.send("HEAD /trap HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        assert_eq!(connection.read_head().unwrap().0, 500);
    });
}

#[test]
fn a_guest_may_work_on_after_its_answer_to_head() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        connection.send("HEAD /after?ms=1500 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        assert_eq!(connection.read_head().unwrap().0, 200);
        server.wait_for_log("worked on for 1500 ms");
    });
}

#[test]
fn a_client_that_has_no_more_to_ask_is_answered() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        connection.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        connection.finish();
        assert_eq!(connection.read().unwrap().text(), "Hello, world!\n");
    });
}
