//! The signals that end it.

use crate::support::client::{Connection, get};
use crate::support::guests::guest_arg;
use crate::support::processes::{begin, release, stop, workers};
use crate::support::{Server, eventually, signal, wasgun};
use crate::{all_end_with, assert_lost, probe, start_request};

/// Nothing ends by itself within a test.
const NO_HURRY: [&str; 4] = ["--graceful-timeout", "300s", "--request-timeout", "300s"];

#[track_caller]
fn ends_well(server: &mut Server) {
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn term_finishes_requests_in_flight_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (pid_file, socket) = (dir.path().join("pid"), dir.path().join("socket"));
    let unix = format!("unix:{}", socket.display());
    let mut server = probe(&["-w", "2", "--pid", pid_file.to_str().unwrap(), "--bind", &unix]);
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), server.pid().to_string());
    eventually("the socket is there", || socket.exists());
    let [mut idle, mut unused, mut read, mut run] = [(); 4].map(|()| Connection::open(&server.address));
    idle.get("/hello").unwrap();
    // One whose request is being read, and one in the guest.
    begin(&mut read, "/hello");
    start_request(&mut run, "/sleep?ms=3000");

    all_end_with(&server, || {
        server.signal("TERM");
        assert_eq!(idle.read_to_close(), b"");
        assert_eq!(unused.read_to_close(), b"");
        release(&mut read);
        for busy in [&mut read, &mut run] {
            let response = busy.read().unwrap();
            assert_eq!((response.status, response.header("connection")), (200, Some("close")));
            assert_eq!(busy.read_to_close(), b"");
        }
    });

    ends_well(&mut server);
    assert_eq!(server.count_log("killed"), 0);
    assert!(!pid_file.exists() && !socket.exists());
}

#[test]
fn term_turns_nobody_away_who_waits_to_be_accepted() {
    let mut server = probe(&["-w", "1"]);
    let worker = *workers(&server.address, 1).first().unwrap();
    stop(worker);
    let mut waiting = [(); 8].map(|()| Connection::open(&server.address));
    for client in &mut waiting {
        client.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    }

    server.signal("TERM");
    server.wait_for_log("requests in flight are finished");
    signal(worker, "CONT");

    for client in &mut waiting {
        assert_eq!(client.read().map(|response| response.status).ok(), Some(200));
    }
    ends_well(&mut server);
}

#[test]
fn term_cuts_what_is_in_flight_for_longer_than_the_graceful_timeout_and_names_it() {
    let mut server = probe(&["-w", "2", "--graceful-timeout", "1s", "--request-timeout", "300s"]);
    let (mut busy, mut spins) = (Connection::open(&server.address), Connection::open(&server.address));
    start_request(&mut busy, "/sleep");
    start_request(&mut spins, "/spin");

    all_end_with(&server, || server.signal("TERM"));

    assert_lost(&mut busy);
    assert_lost(&mut spins);
    ends_well(&mut server);
    for path in ["path=\"/sleep\"", "path=\"/spin\""] {
        let line = server.wait_for_log(path);
        for text in [" WARN ", "cut at --graceful-timeout", "method=GET", "app=\"probe\"", "request=", " ms="]
        {
            assert!(line.contains(text), "no {text} in {line}");
        }
    }
    // They ended themselves.
    assert_eq!(server.count_log("killed"), 0);
}

#[test]
fn int_and_quit_end_it_whatever_is_in_flight() {
    for name in ["INT", "QUIT"] {
        let mut server = probe(&[&["-w", "2"], &NO_HURRY[..]].concat());
        let mut busy = Connection::open(&server.address);
        start_request(&mut busy, "/sleep");

        all_end_with(&server, || server.signal(name));

        assert_lost(&mut busy);
        ends_well(&mut server);
    }
}

#[test]
fn quit_ends_a_worker_whose_guest_spins() {
    let mut server = probe(&[&["-w", "1"], &NO_HURRY[..]].concat());
    let mut busy = Connection::open(&server.address);
    start_request(&mut busy, "/spin");

    all_end_with(&server, || server.signal("QUIT"));

    assert_lost(&mut busy);
    ends_well(&mut server);
}

#[test]
fn each_request_that_a_quick_stop_cuts_is_named() {
    let mut server = probe(&[&["-w", "1"], &NO_HURRY[..]].concat());
    let (mut silent, mut amid) = (Connection::open(&server.address), Connection::open(&server.address));
    start_request(&mut silent, "/sleep");
    amid.send("GET /slow?chunks=1000000&ms=20 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(amid.read_head().unwrap().0, 200);
    let mut done = Connection::open(&server.address);
    assert_eq!(done.get("/hello").unwrap().status, 200);

    all_end_with(&server, || server.signal("QUIT"));

    assert_lost(&mut silent);
    let cut = std::iter::from_fn(|| Some(amid.read_chunk()))
        .find(|chunk| !matches!(chunk, Ok(bytes) if !bytes.is_empty()));
    assert!(cut.is_some_and(|end| end.is_err()), "the answer looks whole");
    ends_well(&mut server);
    for path in ["path=\"/sleep\"", "path=\"/slow?chunks=1000000&ms=20\""] {
        let line = server.wait_for_log(path);
        for text in [" WARN ", "cut by a quick stop", "method=GET", "app=\"probe\"", "request=\"0-", " ms="] {
            assert!(line.contains(text), "no {text} in {line}");
        }
    }
    assert_eq!(server.count_log("cut by a quick stop"), 2);
}

#[test]
fn an_answer_that_a_stop_cuts_does_not_look_whole_to_http_1_0_either() {
    let mut server = probe(&[&["-w", "1"], &NO_HURRY[..]].concat());
    let mut client = Connection::open(&server.address);
    client.send("GET /slow?chunks=1000000&ms=20 HTTP/1.0\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().0, 200);

    server.signal("QUIT");

    let mut rest = Vec::new();
    let error = std::io::Read::read_to_end(&mut client.socket(), &mut rest).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    ends_well(&mut server);
}

#[test]
fn a_thousand_requests_that_are_cut_are_named_and_the_others_counted() {
    let mut server =
        probe(&[&["-w", "1", "--max-concurrency", "1", "--queue", "2000"], &NO_HURRY[..]].concat());
    let mut busy: Vec<_> = (0..1_100)
        .map(|_| {
            let mut client = Connection::open(&server.address);
            // Each is being read, or waits.
            begin(&mut client, "/sleep");
            client
        })
        .collect();
    server.signal("QUIT");
    ends_well(&mut server);
    busy.iter_mut().for_each(assert_lost);
    assert_eq!(server.count_log("cut by a quick stop"), 1_001);
    assert_eq!(server.count_log("100 more requests were cut by a quick stop"), 1);
}

#[test]
fn a_second_term_is_impatient() {
    let mut server = probe(&[&["-w", "2"], &NO_HURRY[..]].concat());
    let mut busy = Connection::open(&server.address);
    start_request(&mut busy, "/sleep");

    all_end_with(&server, || {
        server.signal("TERM");
        eventually("the first is taken", || server.count_log("requests in flight are finished") == 1);
        server.signal("TERM");
    });

    assert_lost(&mut busy);
    ends_well(&mut server);
}

#[test]
fn term_turns_new_clients_away_while_old_ones_are_finished() {
    let mut server = probe(&["-w", "2"]);
    let mut busy = Connection::open(&server.address);
    begin(&mut busy, "/hello");

    server.signal("TERM");

    // Instead of letting them wait for an answer that nobody is going to give.
    eventually("the address is free", || std::net::TcpListener::bind(&server.address).is_ok());
    release(&mut busy);
    assert_eq!(busy.read().unwrap().status, 200);
    ends_well(&mut server);
}

#[test]
fn term_lets_a_guest_finish_what_it_does_after_its_answer() {
    for guest in ["probe", "probe_p3"] {
        let mut server = Server::start(&[&guest_arg(guest), "-w", "1"]);
        assert_eq!(get(&server.address, "/after?ms=1000").status, 200);
        server.signal("TERM");
        ends_well(&mut server);
        assert_eq!(server.count_log("worked on for 1000 ms"), 1, "{guest}");
    }
}

#[test]
fn a_log_that_nobody_reads_stops_neither_master_nor_worker() {
    let mut command = wasgun();
    command.args([&guest_arg("probe"), "-w", "1", "--bind", "127.0.0.1:0", "--access-log", "-"]);
    let mut server = Server::spawn(command);
    // Its standard output is never read, and takes 64 KiB.
    let mut connection = Connection::open(&server.address);
    let long = "x".repeat(4000);
    for _ in 0..50 {
        assert_eq!(connection.get(&format!("/hello?{long}")).unwrap().status, 200);
    }
    drop(connection);
    server.signal("TERM");
    ends_well(&mut server);
}

#[test]
fn a_server_that_stops_does_not_begin_again() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let mut server = probe(&["-w", "1", "--bind", &format!("unix:{}", socket.display())]);
    let mut busy = Connection::open(&server.address);
    begin(&mut busy, "/hello");

    server.signal("TERM");
    eventually("the socket is gone", || !socket.exists());
    server.signal("HUP");
    server.wait_for_log("the configuration stays as it was: the server is stopping");

    assert!(!socket.exists());
    release(&mut busy);
    assert_eq!(busy.read().unwrap().status, 200);
    ends_well(&mut server);
}
