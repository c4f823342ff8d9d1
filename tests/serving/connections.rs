//! Many connections: those that do nothing make way for those that want something.

use std::process::{Command, Stdio};

use super::support::client::Connection;
use super::support::guests::guest_arg;
use super::support::{Server, wasgun};
use super::{NO_HURRY, get, serve};

/// One worker with room for so many connections.
fn narrow(limit: &str) -> Server {
    serve("probe", &[&["-w", "1", "--max-connections", limit], &NO_HURRY[..]].concat())
}

/// A client whose answer has begun and goes on until it goes away.
fn busy(server: &Server) -> Connection {
    let mut connection = Connection::open(&server.address);
    connection.send("GET /slow?chunks=1000000&ms=20 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(connection.read_head().unwrap().0, 200);
    connection
}

/// A client that has had an answer, and keeps its connection.
fn idle(server: &Server) -> Connection {
    let mut connection = Connection::open(&server.address);
    assert_eq!(connection.get("/hello").unwrap().status, 200);
    connection
}

#[test]
fn the_connection_that_has_been_idle_for_longest_makes_way() {
    let server = narrow("3");
    let mut clients = [(); 3].map(|()| idle(&server));
    // It is not the oldest that goes.
    assert_eq!(clients[0].get("/hello").unwrap().status, 200);
    let _fourth = idle(&server);
    assert_eq!(clients[1].read_to_close(), b"");
    for kept in [0, 2] {
        assert_eq!(clients[kept].get("/hello").unwrap().status, 200);
    }
}

#[test]
fn a_connection_that_is_busy_makes_way_for_nobody() {
    let server = narrow("2");
    let mut kept = busy(&server);
    let gone = busy(&server);
    let mut waits = Connection::open(&server.address);
    waits.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    for _ in 0..10 {
        assert!(!kept.read_chunk().unwrap().is_empty());
    }
    drop(gone);
    assert_eq!(waits.read().unwrap().status, 200);
    assert!(!kept.read_chunk().unwrap().is_empty());
}

#[test]
fn a_connection_makes_way_once_it_has_its_answer() {
    let server = narrow("1");
    let mut first = Connection::open(&server.address);
    first.send("GET /sleep?ms=300 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(get(&server, "/hello").status, 200);
    assert_eq!(first.read().unwrap().status, 200);
    assert_eq!(first.read_to_close(), b"");
}

#[test]
fn a_client_that_still_takes_its_answer_is_not_idle() {
    let server = serve(
        "probe",
        &[&["-w", "1", "--max-connections", "1", "--response-buffer", "32MiB"], &NO_HURRY[..]].concat(),
    );
    let mut slow = Connection::open(&server.address);
    // More than the kernel's buffers take; the guest is done with it at once.
    slow.send("GET /big?mib=16&length=yes HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut waits = Connection::open(&server.address);
    waits.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    // Time to do it wrong.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let answer = slow.read().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 16 << 20));
    assert_eq!(waits.read().unwrap().status, 200);
}

#[test]
fn clients_that_never_ask_make_way_too() {
    let server = serve("probe", &["-w", "1", "--max-connections", "2", "--header-timeout", "1h"]);
    let mut silent = [(); 2].map(|()| Connection::open(&server.address));
    assert_eq!(get(&server, "/hello").status, 200);
    // Both were there first, and only one had to go.
    let closed = silent.iter_mut().filter_map(|client| client.get("/hello").err()).count();
    assert!(closed <= 1, "{closed} are closed");
}

#[test]
fn a_flood_of_connections_leaves_the_server_at_its_limit_and_in_service() {
    let server = narrow("16");
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(idle(&server));
    }
    let mut alive = 0;
    for client in &mut held {
        alive += usize::from(client.get("/hello").is_ok());
    }
    assert!((15..=16).contains(&alive), "{alive}");
}

#[test]
fn a_worker_without_descriptors_closes_idle_connections() {
    let of_wasgun = wasgun();
    let mut command = Command::new("sh");
    // Hard, or the worker raises it.
    command.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(of_wasgun.get_program());
    command.args([&*guest_arg("probe"), "-w", "1", "--bind", "127.0.0.1:0", "--request-timeout", "1h"]);
    for (name, value) in of_wasgun.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).current_dir(env!("CARGO_TARGET_TMPDIR"));
    let mut server = Server::spawn(command);
    let held: Vec<_> = (0..150).map(|_| idle(&server)).collect();
    server.wait_for_log("cannot accept: ");
    drop(held);
    assert!(server.count_log("cannot accept: ") < 20, "{:#?}", server.log());
}
