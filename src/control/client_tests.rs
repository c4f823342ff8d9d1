use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::config::ControlAction;

use super::tests::Bench;
use super::{Reply, Status, WorkerStatus, call};

const SOON: Option<Duration> = Some(Duration::from_millis(50));

fn failure(path: &Path) -> String {
    format!("{:#}", call(path, &ControlAction::Status, SOON).expect_err("it was answered"))
}

/// What a client makes of a server that answers with `bytes` and ends.
fn told(bytes: &'static [u8]) -> anyhow::Result<Reply> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(bytes).unwrap();
        });
        call(&path, &ControlAction::Status, None)
    })
}

#[test]
fn a_call_is_answered() {
    let mut bench = Bench::new();
    let path = bench.path();
    let status = Status {
        imbalance: Some(1.5),
        scaling: Some((1, 2)),
        // More than the sockets hold at a time.
        workers: vec![WorkerStatus { state: "ready".to_owned(), ..WorkerStatus::default() }; 5_000],
        ..Status::default()
    };
    let answer = Reply::status(status);
    let caller = thread::spawn(move || call(&path, &ControlAction::Status, Some(Duration::from_secs(20))));
    let (client, action) = bench.next_request();
    assert_eq!(action, ControlAction::Status);
    bench.server.reply(client, &answer);
    bench.run_until(|_| caller.is_finished());
    assert_eq!(caller.join().unwrap().unwrap(), answer);
}

#[test]
fn an_overlong_request_is_answered_too() {
    let mut bench = Bench::new();
    let path = bench.path();
    let action = ControlAction::LogLevel { level: "x".repeat(4 << 20) };
    let caller = thread::spawn(move || call(&path, &action, None));
    bench.run_until(|_| caller.is_finished());
    let reply = caller.join().unwrap().unwrap();
    assert!(reply.error.unwrap().contains("16384"));
}

#[test]
fn nobody_there_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let said = failure(&path);
    assert!(said.contains("start wasgun with --control-socket"), "{said}");
    fs::write(&path, "").unwrap();
    let said = failure(&path);
    assert!(said.contains("is not a socket"), "{said}");
    fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let said = failure(&path);
    assert!(said.contains("nobody listens on"), "{said}");
    let said = failure(&dir.path().join("x".repeat(200)));
    assert!(said.contains("cannot talk to"), "{said}");
}

#[test]
fn a_server_that_is_silent_is_not_waited_for_beyond_patience() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let listener = UnixListener::bind(&path).unwrap();
    let said = failure(&path);
    assert!(said.contains("no answer from") && said.contains("50ms"), "{said}");
    // With its queue full, connecting waits as well.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    assert!(failure(&path).contains("no answer from"));
    let immediate = call(&path, &ControlAction::Status, Some(Duration::ZERO));
    assert!(immediate.unwrap_err().to_string().contains("no answer from"));
}

#[test]
fn a_server_that_ends_or_is_another_is_told_apart() {
    assert_eq!(told(b"{\"ok\":true}\n").unwrap(), Reply { ok: true, ..Reply::default() });
    for cut in [&b""[..], b"{\"ok\":true}"] {
        let said = told(cut).unwrap_err().to_string();
        assert_eq!(said, "the server ended before it answered");
    }
    let said = told(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err().to_string();
    assert!(said.contains("does not seem to be wasgun"), "{said}");
    // What a later version adds is none of our business.
    assert!(told(b"{\"ok\":true,\"mood\":\"good\"}\n").unwrap().ok);
}
