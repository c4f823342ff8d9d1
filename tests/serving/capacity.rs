//! Time, places and memory: what one request takes must not be taken from others.

use super::support::client::{Connection, Response};
use super::support::{Server, eventually};
use super::{NO_HURRY, each_generation, get, serve, worker};

/// One worker with one place, and all the time there is.
fn narrow(guest: &str, args: &[&str]) -> Server {
    serve(guest, &[&["-w", "1", "--max-concurrency", "1"], &NO_HURRY[..], args].concat())
}

/// Whether a request on a connection that is open already finds no place.
fn is_full(open: &mut Connection) -> Option<Response> {
    let response = open.get("/hello").unwrap();
    (response.status == 503).then_some(response)
}

fn ask(server: &Server, path: &str) -> Connection {
    let mut connection = Connection::open(&server.address);
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    connection
}

#[test]
fn a_guest_that_takes_too_long_is_ended_and_its_worker_goes_on() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--request-timeout", "1s"]);
        let before = worker(&server);
        for path in ["/sleep", "/spin", "/sleep?ms=3600000"] {
            let response = get(&server, path);
            assert_eq!(response.status, 504, "{path}");
            let id = super::request_id(&response);
            eventually("the log says so", || server.count_log(&id) > 0);
            assert_eq!(server.count_log(&id), 1, "{path}");
        }
        assert_eq!(worker(&server), before);
    });
}

#[test]
fn a_guest_that_never_stops_computing_lets_others_of_its_worker_be_served() {
    each_generation(|guest| {
        let server = serve(guest, &[&["-w", "1", "--worker-timeout", "1h"], &NO_HURRY[..]].concat());
        let before = worker(&server);
        let _spinning = [ask(&server, "/spin"), ask(&server, "/spin")];
        for _ in 0..3 {
            assert_eq!(get(&server, "/hello").status, 200);
        }
        assert_eq!(worker(&server), before);
    });
}

#[test]
fn a_new_connection_waits_for_a_place_and_is_served() {
    each_generation(|guest| {
        let server = narrow(guest, &[]);
        let mut first = ask(&server, "/sleep?ms=300");
        assert_eq!(get(&server, "/hello").status, 200);
        assert_eq!(first.read().unwrap().status, 200);
    });
}

#[test]
fn a_client_that_goes_away_gives_its_place_back() {
    each_generation(|guest| {
        let server = narrow(guest, &[]);
        let mut open = Connection::open(&server.address);
        assert_eq!(open.get("/hello").unwrap().status, 200);
        let sleeping = ask(&server, "/sleep");
        eventually("the place is taken", || is_full(&mut open).is_some());
        drop(sleeping);
        assert_eq!(get(&server, "/hello").status, 200);
    });
}

#[test]
fn a_client_that_reads_slowly_holds_no_instance() {
    each_generation(|guest| {
        // More than the kernel's buffers take.
        let (path, length) = ("/big?mib=16&length=yes", 16 << 20);
        let server = narrow(guest, &["--response-buffer", "32MiB"]);
        let mut slow = ask(&server, path);
        assert_eq!(slow.read_head().unwrap().0, 200);
        assert_eq!(get(&server, "/hello").status, 200);
        drop(slow);

        let mut slow = ask(&server, path);
        assert_eq!(get(&server, "/hello").status, 200);
        let answer = slow.read().unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, length));
    });
}

#[test]
fn a_response_larger_than_its_buffer_holds_its_place_until_another_request_needs_it() {
    each_generation(|guest| {
        let mut server = narrow(guest, &["--response-buffer", "64KiB", "--queue-timeout", "1h"]);
        let path = "/big?mib=64&length=yes";
        let mut slow = ask(&server, path);
        assert_eq!(slow.read().unwrap().body.len(), 64 << 20);

        let mut slow = ask(&server, path);
        assert_eq!(slow.read_head().unwrap().0, 200);
        assert_eq!(get(&server, "/hello").status, 200);
        assert!(slow.read_to_close().len() < 64 << 20);
        let line = server.wait_for_log("its client took nothing for a while");
        let taken = line.split("was cut after ").nth(1).and_then(|rest| rest.split(' ').next());
        let taken: u64 = taken.unwrap().parse().unwrap();
        assert!(taken < 2 << 20, "the kernel and the worker took {taken} bytes that nobody reads");
    });
}

#[test]
fn a_client_that_sends_slowly_holds_no_instance() {
    each_generation(|guest| {
        let server = narrow(guest, &[]);
        let mut slow = Connection::open(&server.address);
        slow.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n12345").unwrap();
        for _ in 0..3 {
            assert_eq!(get(&server, "/hello").status, 200);
        }
        slow.send("67890").unwrap();
        assert_eq!(slow.read().unwrap().text(), "1234567890");
    });
}

#[test]
fn a_guest_that_takes_too_much_memory_fails_alone() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "1", "--memory-limit", "64MiB"]);
        let before = worker(&server);
        assert_eq!(get(&server, "/alloc?mib=30").status, 200);
        assert_eq!(get(&server, "/alloc?mib=100").status, 500);
        server.wait_for_log("after it was refused memory beyond --memory-limit");
        assert_eq!(get(&server, "/alloc?mib=30").status, 200);
        assert_eq!(worker(&server), before);
    });
}

#[test]
fn clients_that_stall_amid_their_bodies_leave_places_for_others() {
    each_generation(|guest| {
        let server = serve(guest, &[&["-w", "1", "--max-concurrency", "8"], &NO_HURRY[..]].concat());
        // More than there are places; the guest begins with each.
        let stalled: Vec<_> = (0..20)
            .map(|_| {
                let mut connection = Connection::open(&server.address);
                let head = "POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
                connection.send(format!("{head}1\r\nx\r\n")).unwrap();
                connection
            })
            .collect();
        // Half of the places, and no more.
        let begun = |connection: &&Connection| {
            connection.socket().set_nonblocking(true).unwrap();
            connection.socket().peek(&mut [0]).is_ok()
        };
        eventually("some of them are begun with", || stalled.iter().filter(begun).count() == 4);
        for _ in 0..10 {
            assert_eq!(get(&server, "/hello").status, 200);
        }
    });
}

#[test]
fn a_guest_that_computes_holds_nobody_else_up() {
    each_generation(|guest| {
        for reuse in ["1", "1000"] {
            let args = ["-w", "1", "--instance-max-requests", reuse];
            let server = serve(guest, &[&args[..], &NO_HURRY[..]].concat());
            let mut kept = Connection::open(&server.address);
            assert_eq!(kept.get("/hello").unwrap().status, 200);
            // Far longer than the others take, on a busy machine too.
            let mut spinning = ask(&server, "/spin?ms=60000");
            for _ in 0..10 {
                assert_eq!(kept.get("/hello").unwrap().status, 200);
                assert_eq!(get(&server, "/hello").status, 200);
            }
            spinning.socket().set_nonblocking(true).unwrap();
            let early = spinning.read().expect_err("they were not answered while it computed");
            assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
            drop(spinning);
            assert_eq!(ask(&server, "/spin?ms=100").read().unwrap().status, 200);
        }
    });
}

#[test]
fn an_answer_that_nobody_wants_gives_its_place_back() {
    each_generation(|guest| {
        for reuse in ["1", "1000"] {
            let server = narrow(guest, &["--instance-max-requests", reuse]);
            for method in ["HEAD", "GET"] {
                let mut gone = Connection::open(&server.address);
                gone.send(format!("{method} /slow?chunks=1000000&ms=10 HTTP/1.1\r\nhost: test\r\n\r\n"))
                    .unwrap();
                assert_eq!(gone.read_head().unwrap().0, 200, "{method}, reuse: {reuse}");
                drop(gone);
                assert_eq!(get(&server, "/hello").status, 200, "{method}, reuse: {reuse}");
            }
        }
    });
}

#[test]
fn silent_connections_do_not_close_the_door() {
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", dir.path().join("socket").display());
    let server = narrow("probe", &["--bind", &socket]);
    // Two acceptors, one place: whoever is woken wakes the other.
    for _ in 0..5 {
        let tcp = Connection::open(&server.address);
        let unix = std::os::unix::net::UnixStream::connect(dir.path().join("socket")).unwrap();
        drop((tcp, unix));
    }
    let _silent: Vec<_> = (0..50).map(|_| Connection::open(&server.address)).collect();
    assert_eq!(get(&server, "/hello").status, 200);
}

#[test]
fn bodies_that_come_at_full_speed_may_take_every_place() {
    each_generation(|guest| {
        let server = serve(guest, &[&["-w", "1", "--max-concurrency", "4"], &NO_HURRY[..]].concat());
        let body = vec![b'x'; 2 << 20];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let answer = Connection::open(&server.address).post("/sink", &body).unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                });
            }
        });
    });
}
