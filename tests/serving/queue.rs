//! Requests that find no place: they wait in a queue that has an end, and are told
//! to come again.

use std::time::Instant;

use super::support::client::{Connection, Response};
use super::support::{Server, eventually};
use super::{NO_HURRY, each_generation, get, request_id, serve};

/// One worker with one place, all the time there is, and a client that has the
/// place until it goes away.
fn taken(guest: &str, args: &[&str]) -> (Server, Connection) {
    let server = serve(guest, &[&["-w", "1", "--max-concurrency", "1"], &NO_HURRY[..], args].concat());
    let mut holder = Connection::open(&server.address);
    holder.send("GET /slow?chunks=1000000&ms=20 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(holder.read_head().unwrap().0, 200);
    (server, holder)
}

#[track_caller]
fn assert_turned_away(response: &Response) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(response.header("retry-after").is_some(), "{:?}", response.headers);
    request_id(response);
}

fn send(server: &Server, path: &str) -> Connection {
    let mut connection = Connection::open(&server.address);
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).unwrap();
    connection
}

fn is_answered(connection: &Connection) -> bool {
    connection.socket().set_nonblocking(true).unwrap();
    let answered = connection.socket().peek(&mut [0]).is_ok_and(|length| length > 0);
    connection.socket().set_nonblocking(false).unwrap();
    answered
}

#[test]
fn a_new_client_of_a_full_server_is_told_so_and_can_ask_again() {
    each_generation(|guest| {
        let (mut server, holder) = taken(guest, &["--queue", "0"]);
        let mut client = Connection::open(&server.address);
        let refused = client.get("/hello").unwrap();
        assert_turned_away(&refused);
        let line = server.wait_for_log(&request_id(&refused));
        assert!(line.contains(" WARN ") && line.contains("--queue"), "{line}");

        drop(holder);
        eventually("the place is free", || client.get("/hello").unwrap().status == 200);
    });
}

#[test]
fn a_request_waits_for_its_turn_and_one_more_than_may_wait_does_not() {
    each_generation(|guest| {
        let (server, holder) = taken(guest, &["--queue", "1", "--queue-timeout", "1h"]);
        let mut two = [send(&server, "/hello"), send(&server, "/hello")];
        eventually("one is turned away", || two.iter().any(is_answered));
        let [first, second] = &mut two;
        let (refused, waiting) = if is_answered(first) { (first, second) } else { (second, first) };
        assert_turned_away(&refused.read().unwrap());
        assert!(!is_answered(waiting));

        drop(holder);
        assert_eq!(waiting.read().unwrap().status, 200);
        assert_eq!(refused.get("/hello").unwrap().status, 200);
    });
}

#[test]
fn a_request_waits_no_longer_than_the_queue_timeout() {
    each_generation(|guest| {
        let (mut server, _holder) = taken(guest, &["--queue-timeout", "50ms"]);
        let refused = get(&server, "/hello");
        assert_turned_away(&refused);
        let line = server.wait_for_log(&request_id(&refused));
        assert!(line.contains("--queue-timeout"), "{line}");
    });
}

#[test]
fn a_client_that_goes_away_leaves_the_queue() {
    each_generation(|guest| {
        let (server, holder) = taken(guest, &["--queue", "1", "--queue-timeout", "1h"]);
        let mut one = Connection::open(&server.address);
        let waits = send(&server, "/hello");
        // Whoever asks meanwhile and gets no answer waits in its stead.
        eventually("it waits", || {
            one.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
            let refused = (0..20).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                is_answered(&one)
            });
            if refused {
                assert_turned_away(&one.read().unwrap());
            } else {
                one = Connection::open(&server.address);
            }
            refused
        });
        drop(waits);
        let mut next = None;
        eventually("there is room in the queue", || {
            let connection = send(&server, "/hello");
            std::thread::sleep(std::time::Duration::from_millis(100));
            let waits = !is_answered(&connection);
            next = Some(connection);
            waits
        });
        drop(holder);
        assert_eq!(next.unwrap().read().unwrap().status, 200);
    });
}

#[test]
fn requests_that_are_turned_away_do_not_flood_the_log() {
    let (mut server, _holder) = taken("probe", &["--queue", "0"]);
    let mut client = Connection::open(&server.address);
    let began = Instant::now();
    for _ in 0..500 {
        assert_turned_away(&client.get("/hello").unwrap());
    }
    let seconds = began.elapsed().as_secs() as usize;
    let lines = |server: &Server| -> Vec<String> {
        server.log().into_iter().filter(|line| line.contains("--queue") && line.contains(" WARN ")).collect()
    };
    server.wait_for_log("found no place");
    // A line says that one was turned away, unless it only counts, and how many
    // went unsaid before it.
    let told = |line: &String| {
        let untold = line.split("untold=").nth(1).unwrap().split(' ').next().unwrap();
        untold.parse::<usize>().unwrap() + usize::from(!line.contains("found no place"))
    };
    eventually("each is counted", || lines(&server).iter().map(told).sum::<usize>() == 500);
    assert!(lines(&server).len() <= seconds + 3, "{:#?}", lines(&server));
}

#[test]
fn a_refusal_amid_a_body_announces_that_the_connection_ends() {
    each_generation(|guest| {
        let (server, _holder) = taken(guest, &["--queue", "0"]);
        let mut client = Connection::open(&server.address);
        client.send("POST /sink HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n").unwrap();
        client.send(vec![b'x'; 100_000]).unwrap();
        let refused = client.read().unwrap();
        assert_turned_away(&refused);
        assert_eq!(refused.header("connection"), Some("close"));
    });
}
