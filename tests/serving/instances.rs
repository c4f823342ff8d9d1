//! How many requests an instance answers, one after the other and at once.

use std::collections::BTreeSet;

use super::support::client::Connection;
use super::{each_generation, get, serve};

fn count(connection: &mut Connection) -> u64 {
    connection.get("/count").unwrap().text().trim().parse().unwrap()
}

#[test]
fn every_request_gets_a_fresh_instance_unless_told_otherwise() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        for _ in 0..10 {
            assert_eq!(count(&mut connection), 1);
        }
    });
}

#[test]
fn an_instance_answers_as_many_requests_as_it_may_and_no_more() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--instance-max-requests", "5"]);
        let mut connection = Connection::open(&server.address);
        let mut counts: Vec<_> = (0..40).map(|_| count(&mut connection)).collect();
        counts.sort_unstable();
        counts.dedup();
        assert_eq!(counts, [1, 2, 3, 4, 5]);
    });
}

#[test]
fn an_instance_that_failed_is_not_used_again() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--instance-max-requests", "1000"]);
        let mut connection = Connection::open(&server.address);
        let before: Vec<_> = (0..10).map(|_| count(&mut connection)).collect();
        assert!(before.iter().max() > Some(&1), "instances are reused: {before:?}");
        // All the instances that wait go wrong, one after the other.
        for path in ["/trap", "/panic", "/exit?code=1"].repeat(4) {
            assert_eq!(connection.get(path).unwrap().status, 500, "{path}");
        }
        assert_eq!(count(&mut connection), 1);
    });
}

/// The process that answers on a connection, by the name of a request.
fn worker(connection: &mut Connection) -> String {
    let seen: serde_json::Value = serde_json::from_slice(&connection.get("/inspect").unwrap().body).unwrap();
    let headers = seen["headers"].as_array().unwrap();
    let id = headers.iter().find(|field| field[0] == "x-request-id").expect("the request has a name");
    id[1].as_str().unwrap().split('-').nth(1).unwrap().to_owned()
}

/// What the log says once when instances turn out to answer one request only.
const ONCE_ONLY: &str = "answer one request only";

#[test]
fn a_guest_that_answers_only_once_is_asked_again_in_a_fresh_instance() {
    let mut server = serve("probe", &["-w", "1", "--instance-max-requests", "1000"]);
    let mut connection = Connection::open(&server.address);
    assert_eq!(connection.get("/once").unwrap().status, 200);
    for body in ["", "a body that it does not read", ""] {
        let answer = connection.post("/once", body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "answered once\n"));
    }
    server.wait_for_log(ONCE_ONLY);
    // And so they are not reused any more.
    assert_eq!([count(&mut connection), count(&mut connection)], [1, 1]);
    assert_eq!(connection.post("/once?read=yes", b"read").unwrap().status, 200);
    assert_eq!(server.count_log(ONCE_ONLY), 1);
}

#[test]
fn who_has_answered_twice_is_asked_again_and_still_reused() {
    let server = serve("probe", &["-w", "1", "--instance-max-requests", "1000"]);
    let mut connection = Connection::open(&server.address);
    assert_eq!([count(&mut connection), count(&mut connection)], [1, 2]);
    assert_eq!(connection.get("/once").unwrap().text(), "answered once\n");
    assert_eq!(
        [count(&mut connection), count(&mut connection)],
        [2, 3],
        "a fresh one has answered, and goes on"
    );
    assert_eq!(server.count_log(ONCE_ONLY), 0);
}

#[test]
fn who_may_write_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("{}::/data:rw", dir.path().display());
    let mut server = serve("probe", &["-w", "1", "--instance-max-requests", "1000", "--dir", &mount]);
    let mut connection = Connection::open(&server.address);
    // Three times it has no answer to a second request, and then is asked for none.
    for status in [200, 500, 200, 500, 200, 500, 200, 200, 200] {
        assert_eq!(connection.get("/once").unwrap().status, status);
    }
    server.wait_for_log("may write to a directory");
    server.wait_for_log(ONCE_ONLY);
}

#[test]
fn a_second_request_that_has_no_answer_now_and_then_does_not_end_reuse() {
    let server = serve("probe", &["-w", "1", "--instance-max-requests", "2"]);
    let mut connection = Connection::open(&server.address);
    for _ in 0..4 {
        assert_eq!(count(&mut connection), 1);
        assert_eq!(connection.get("/once").unwrap().text(), "answered once\n");
        assert_eq!(count(&mut connection), 2, "the fresh one that was asked goes on");
        assert_eq!([count(&mut connection), count(&mut connection)], [1, 2]);
    }
    assert_eq!(server.count_log(ONCE_ONLY), 0);
}

#[test]
fn one_worker_finds_out_for_all_and_one_warning_says_so() {
    let mut server = serve("probe", &["-w", "2", "--instance-max-requests", "1000"]);
    let mut connections: Vec<_> = (0..8).map(|_| Connection::open(&server.address)).collect();
    let workers: BTreeSet<_> = connections.iter_mut().map(worker).collect();
    for _ in 0..3 {
        for connection in &mut connections {
            assert_eq!(connection.get("/once").unwrap().status, 200);
        }
    }
    assert_eq!(workers.len(), 2, "both were asked");
    server.wait_for_log(ONCE_ONLY);
    assert_eq!(server.count_log(ONCE_ONLY), 1);
}

#[test]
fn nobody_else_is_asked_when_the_request_was_read() {
    let mut server = serve("probe", &["-w", "1", "--instance-max-requests", "1000"]);
    let mut connection = Connection::open(&server.address);
    // As often as they like: what they read may be to blame, and that is the client's.
    for _ in 0..4 {
        assert_eq!(count(&mut connection), 1);
        assert_eq!(connection.post("/once?read=yes", b"read").unwrap().status, 500);
    }
    server.wait_for_log("it needs --instance-max-requests 1");
    assert_eq!([count(&mut connection), count(&mut connection)], [1, 2], "nothing is known of the others");
    assert_eq!(server.count_log(ONCE_ONLY), 0);
}

#[test]
fn a_request_that_nobody_answers_does_not_end_reuse() {
    let mut server = serve("probe", &["-w", "1", "--instance-max-requests", "1000"]);
    let mut connection = Connection::open(&server.address);
    assert_eq!(count(&mut connection), 1);
    assert_eq!(connection.get("/no-response").unwrap().status, 500);
    server.wait_for_log("the guest returned without a response");
    assert_eq!([count(&mut connection), count(&mut connection)], [1, 2]);
    assert_eq!(server.count_log(ONCE_ONLY), 0);
}

/// The most requests an instance had at once, after `clients` came together.
fn peak(concurrency: &str, clients: usize) -> u64 {
    let args = ["-w", "1", "--instance-max-requests", "1000", "--instance-concurrency", concurrency];
    let server = serve("probe_p3", &args);
    let mut connections: Vec<_> = (0..clients).map(|_| Connection::open(&server.address)).collect();
    for connection in &mut connections {
        connection.send("GET /sleep?ms=1000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    }
    for connection in &mut connections {
        assert_eq!(connection.read().unwrap().status, 200);
    }
    get(&server, "/peak").text().trim().parse().unwrap()
}

#[test]
fn an_instance_of_0_3_works_on_several_requests_at_once_if_it_may() {
    assert!(peak("16", 8) > 1);
    assert_eq!(peak("1", 8), 1);
}

#[test]
fn an_instance_of_0_3_has_room_for_as_many_requests_as_it_may_work_on() {
    let many = ["--instance-concurrency", "400", "--max-concurrency", "800"];
    let args = ["-w", "1", "--instance-max-requests", "1000", "--body-buffer", "0"];
    let server = serve("probe_p3", &[&args[..], &many].concat());
    let mut connections: Vec<_> = (0..300).map(|_| Connection::open(&server.address)).collect();
    for connection in &mut connections {
        connection
            .send("POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
            .unwrap();
    }
    for connection in &mut connections {
        assert_eq!(connection.read_head().unwrap().0, 200);
        assert_eq!(connection.read_chunk().unwrap(), b"hi");
    }
    for connection in &mut connections {
        connection.send("0\r\n\r\n").unwrap();
        assert!(connection.read_chunk().unwrap().is_empty());
    }
    assert_eq!(server.count_log("ERROR"), 0);
}
