//! How many requests an instance answers, one after the other and at once.

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

#[test]
fn a_guest_that_answers_only_once_is_told_which_option_it_needs() {
    let mut server = serve("probe", &["-w", "1", "--instance-max-requests", "1000"]);
    let mut connection = Connection::open(&server.address);
    assert_eq!(connection.get("/no-response").unwrap().status, 500);
    server.wait_for_log("the guest returned without a response");
    assert_eq!(server.count_log("--instance-max-requests"), 0, "nobody reused that instance");
    assert_eq!(count(&mut connection), 1);
    assert_eq!(connection.get("/no-response").unwrap().status, 500);
    server.wait_for_log("it needs --instance-max-requests 1");
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
