//! What the worker answers itself, however busy the app is.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::client::{Connection, Response};
use super::support::{PATIENCE, Server, eventually};
use super::{NO_HURRY, each_generation, get, inspect, seen, serve};

/// One worker that keeps its health under `/-/`.
fn watched(guest: &str, args: &[&str]) -> Server {
    serve(guest, &[&["-w", "1", "--health-path-prefix", "/-/"], &NO_HURRY[..], args].concat())
}

#[track_caller]
fn assert_live(response: &Response) {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(serde_json::from_slice::<Value>(&response.body).unwrap(), json!({ "state": "live" }));
}

#[test]
fn two_paths_are_kept_from_the_app_and_no_others() {
    let server = watched("probe", &[]);
    let mut client = Connection::open(&server.address);
    assert_live(&client.get("/-/live").unwrap());
    assert_live(&client.get("/-/live?verbose").unwrap());
    for (path, status) in [("/-/hello", 404), ("/-/live/", 404), ("/live", 404), ("/hello", 200)] {
        let response = client.get(path).unwrap();
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.header("cache-control"), None, "{path}: not the app's");
    }
    let refused = client.post("/-/live", b"x").unwrap();
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    client.send("HEAD /-/live HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().0, 200);
    assert_eq!(client.get("/hello").unwrap().status, 200);
}

#[test]
fn a_probe_takes_no_place_and_waits_for_none() {
    each_generation(|guest| {
        let server = watched(guest, &["--max-concurrency", "1", "--queue", "0"]);
        let mut kept = Connection::open(&server.address);
        assert_live(&kept.get("/-/live").unwrap());
        let mut busy = Connection::open(&server.address);
        busy.send("GET /slow?chunks=1000000&ms=20 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        assert_eq!(busy.read_head().unwrap().0, 200);
        assert_eq!(get(&server, "/hello").status, 503);
        assert_live(&kept.get("/-/live").unwrap());
        assert_live(&get(&server, "/-/live"));
    });
}

#[test]
fn guests_that_compute_do_not_delay_a_probe() {
    each_generation(|guest| {
        let server = watched(guest, &["--max-concurrency", "2", "--worker-timeout", "1h"]);
        let _spinning: Vec<_> = (0..2)
            .map(|_| {
                let mut connection = Connection::open(&server.address);
                connection.send("GET /spin HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
                connection
            })
            .collect();
        for _ in 0..3 {
            let began = Instant::now();
            assert_live(&get(&server, "/-/live"));
            // A turn takes 10 ms of each of them; a probe of an orchestrator waits a
            // second.
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
    });
}

#[test]
fn a_probe_is_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("access.log");
    let server = watched("probe", &["--access-log", log.to_str().unwrap()]);
    for _ in 0..3 {
        assert_live(&get(&server, "/-/live"));
    }
    let id = seen(&inspect(&server, "/inspect", ""), "x-request-id").unwrap();
    assert_eq!(id.rsplit('-').next(), Some("1"), "{id}");
    let mut text = String::new();
    eventually("the request is in the access log", || {
        text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("/inspect")
    });
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_worker_that_ends_announces_it_to_probes() {
    let server = watched("probe", &["--graceful-timeout", "1h"]);
    let mut busy = Connection::open(&server.address);
    let mut kept = Connection::open(&server.address);
    busy.send("GET /slow?chunks=1000000&ms=20 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(busy.read_head().unwrap().0, 200);
    assert_live(&kept.get("/-/live").unwrap());
    server.signal("TERM");
    eventually("the address is free", || std::net::TcpListener::bind(&server.address).is_ok());
    let told = kept.get("/-/ready").unwrap();
    assert_eq!((told.status, told.header("connection")), (503, Some("close")));
    let state: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(state["state"], "stopping", "{state}");
    let mut rest = Vec::new();
    assert_eq!(kept.socket().read_to_end(&mut rest).unwrap(), 0);
}

/// One worker with an address for its health alone, which clients cannot reach by
/// TCP.
fn with_listener(dir: &Path, args: &[&str]) -> (Server, PathBuf) {
    let socket = dir.join("health");
    let address = format!("unix:{}", socket.display());
    let server = serve("probe", &[&["-w", "1", "--health-bind", &address], &NO_HURRY[..], args].concat());
    (server, socket)
}

/// What the health listener answers: status, fields and body.
#[track_caller]
fn probe(socket: &Path, request: &str) -> (u16, String, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn the_health_listener_answers_two_paths_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, socket) = with_listener(dir.path(), &[]);
    let (status, head, body) = probe(&socket, "GET /live");
    assert_eq!((status, body.trim()), (200, "{\"state\":\"live\"}"));
    assert!(head.contains("\r\ncache-control: no-store") && head.contains("\r\nconnection: close"), "{head}");
    let (status, _, body) = probe(&socket, "GET /ready");
    let wanted = "{\"state\":\"ready\",\"workers_ready\":1,\"workers_wanted\":1}";
    assert_eq!((status, body.trim()), (200, wanted));
    let (status, _, body) = probe(&socket, "HEAD /ready");
    assert_eq!((status, &*body), (200, ""));
    for path in ["/", "/hello", "/live/", "/-/live"] {
        assert_eq!(probe(&socket, &format!("GET {path}")).0, 404, "{path}");
    }
    let (status, head, _) = probe(&socket, "DELETE /ready");
    assert!(status == 405 && head.contains("\r\nallow: get, head"), "{status} {head}");
    assert_eq!(
        probe(&socket, "GET /live HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\nx: ").0,
        400
    );
}

#[test]
fn the_health_listener_answers_when_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let full =
        ["--max-concurrency", "40", "--queue", "0", "--max-connections", "40", "--worker-timeout", "1h"];
    let (server, socket) = with_listener(dir.path(), &full);
    // In the serving thread each of them has 10 ms of each turn, and a probe takes two.
    let busy: Vec<_> = (0..40)
        .map(|_| {
            let mut busy = Connection::open(&server.address);
            busy.send("GET /spin HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
            busy
        })
        .collect();
    let mut waits = Connection::open(&server.address);
    waits.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    // Nobody reads what they were told, or asks anything.
    let silent: Vec<_> = (0..100).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(probe(&socket, "GET /live").0, 200);
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    }
    drop(silent);
    drop(busy);
    assert_eq!(waits.read().unwrap().status, 200);
}

#[test]
fn a_server_that_stops_is_live_and_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let (server, socket) = with_listener(dir.path(), &["--graceful-timeout", "1h"]);
    let mut busy = Connection::open(&server.address);
    busy.send("GET /slow?chunks=1000000&ms=20 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(busy.read_head().unwrap().0, 200);
    server.signal("TERM");
    eventually("it is not ready", || probe(&socket, "GET /ready").0 == 503);
    assert!(probe(&socket, "GET /ready").2.contains("\"stopping\""));
    assert_eq!(probe(&socket, "GET /live").0, 200);
}
