//! What it listens on: bound by itself or handed over, and kept while workers
//! come and go.

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use support::client::{Connection, get};
use support::guests::guest_arg;
use support::processes::{answered_by, stop, workers};
use support::{Finished, Server, eventually, file, is_alive, run, signal, wasgun};

/// `wasgun --demo --bind ... `.
fn demo(binds: &[&str]) -> Command {
    let mut command = wasgun();
    command.args(["--demo", "-w", "1"]);
    for bind in binds {
        command.args(["--bind", bind]);
    }
    command
}

/// The same with `handed` as descriptor 7, in the way a service manager does.
fn demo_with_descriptor_7(bind: &str, handed: impl Into<OwnedFd>) -> Command {
    let server = demo(&[bind]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$@" 7<&0 0</dev/null"#, "sh"])
        .arg(server.get_program())
        .args(server.get_args());
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(server.get_current_dir().unwrap()).stdin(handed.into());
    command
}

#[track_caller]
fn refuses(command: Command, reasons: &[&str]) {
    assert_refused(command, 1, reasons);
}

#[track_caller]
fn assert_refused(command: Command, status: i32, reasons: &[&str]) {
    let Finished { code, stderr, .. } = run(command);
    assert_eq!(code, Some(status), "{stderr}");
    for reason in reasons {
        assert!(stderr.contains(reason), "nothing about {reason:?}:\n{stderr}");
    }
}

/// Addresses after `http://` in its log, in the order of the configuration.
fn addresses(server: &Server) -> Vec<String> {
    let log = server.log();
    let after =
        |line: &String| Some(line.split_once("listening on http://")?.1.split(' ').next()?.to_owned());
    log.iter().filter_map(after).collect()
}

#[track_caller]
fn unix_get(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn assert_serves_at(path: &Path) {
    let answer = unix_get(path);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn of_port_0_the_log_has_the_port_that_was_chosen() {
    let server = Server::spawn(demo(&["127.0.0.1:0"]));
    assert!(!server.address.ends_with(":0"), "{}", server.address);
    assert_eq!(get(&server.address, "/").status, 200);
}

#[test]
fn it_listens_on_every_address_it_is_given() {
    let server = Server::spawn(demo(&["127.0.0.1:0", "127.0.0.2:0"]));
    let addresses = addresses(&server);
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    for (address, host) in addresses.iter().zip(["127.0.0.1:", "127.0.0.2:"]) {
        assert!(address.starts_with(host), "{addresses:?}");
        assert_eq!(get(address, "/").status, 200);
    }
}

#[test]
fn it_listens_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped, there is no IPv6 here: it_listens_on_ipv6");
        return;
    }
    let server = Server::spawn(demo(&["[::1]:0"]));
    assert!(server.address.starts_with("[::1]:"), "{}", server.address);
    assert_eq!(get(&server.address, "/").status, 200);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refuses(demo(&[&address]), &[&address, "in use"]);
}

#[test]
fn one_address_of_several_in_use_ends_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refuses(demo(&[&format!("unix:{}", socket.display()), &address]), &[&address, "in use"]);
    assert!(!socket.exists(), "the file of the socket that could be bound is left");
}

#[test]
fn the_socket_file_of_a_killed_server_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let bind = format!("unix:{}", path.display());
    let mut server = Server::spawn(demo(&[&bind]));
    assert_serves_at(&path);
    let processes = server.children();
    server.signal("KILL");
    server.wait();
    eventually("its processes are gone", || !processes.iter().any(|pid| is_alive(*pid)));
    assert!(path.exists());

    let _next = Server::spawn(demo(&[&bind]));
    assert_serves_at(&path);
}

#[test]
fn the_socket_file_of_a_living_server_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let bind = format!("unix:{}", path.display());
    let _server = Server::spawn(demo(&[&bind]));

    refuses(demo(&[&bind]), &["another server listens on", path.to_str().unwrap()]);

    assert_serves_at(&path);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "precious", b"data");
    refuses(demo(&[&format!("unix:{}", path.display())]), &[path.to_str().unwrap(), "is not a socket"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"data");
}

#[test]
fn it_serves_on_a_tcp_socket_handed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut server = Server::spawn(demo_with_descriptor_7("fd://7", listener));
    assert_eq!(server.address, address);
    assert_eq!(get(&address, "/").status, 200);

    server.signal("HUP");
    server.wait_for_log("ready: generation 2");
    assert_eq!(get(&address, "/").status, 200);
}

#[test]
fn it_serves_on_a_unix_socket_handed_over_whose_file_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut server = Server::spawn(demo_with_descriptor_7("fd://7", listener));
    assert_serves_at(&path);

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn a_descriptor_that_nobody_listens_on_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (connected, _other) = UnixStream::pair().unwrap();
    refuses(demo_with_descriptor_7("fd://7", connected), &["fd://7", "does not listen"]);
    let plain = File::open(file(dir.path(), "plain", b"")).unwrap();
    refuses(demo_with_descriptor_7("fd://7", plain), &["fd://7", "not a socket"]);
}

#[test]
fn a_descriptor_that_was_not_handed_over_is_refused() {
    assert_refused(demo(&["fd://7777"]), 2, &["fd://7777", "nothing is open there"]);
    // Among these are some that the server opens for itself.
    for number in 0..10 {
        let Finished { code, stderr, .. } = run(demo(&[&format!("fd://{number}")]));
        assert!(code == Some(1) || code == Some(2), "{stderr}");
        assert!(stderr.contains(&format!("fd://{number}")), "{stderr}");
    }
}

#[test]
fn keep_alive_clients_are_spread_over_idle_workers() {
    const CLIENTS: usize = 64;
    const MOST: usize = 24;
    let server = Server::start(&[&guest_arg("probe"), "-w", "4"]);
    workers(&server.address, 4);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Connection::open(&server.address)).collect();
    let mut share = BTreeMap::<i32, usize>::new();
    for client in &mut clients {
        *share.entry(answered_by(client).unwrap()).or_default() += 1;
    }
    assert!(share.values().all(|count| *count <= MOST), "{share:?}");
}

#[test]
fn connections_that_wait_are_served_though_every_worker_is_killed() {
    const CLIENTS: usize = 32;
    let server = Server::start(&[&guest_arg("probe"), "-w", "3"]);
    let before = workers(&server.address, 3);
    before.iter().for_each(|pid| stop(*pid));
    let mut waiting: Vec<_> = (0..CLIENTS).map(|_| Connection::open(&server.address)).collect();
    for client in &mut waiting {
        client.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    }

    before.iter().for_each(|pid| signal(*pid, "KILL"));

    for client in &mut waiting {
        assert_eq!(client.read().unwrap().status, 200);
    }
    assert!(before.is_disjoint(&workers(&server.address, 3)));
}

#[test]
fn an_address_taken_off_by_a_reload_is_free_and_one_that_stays_loses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, dropped) = (dir.path().join("kept"), dir.path().join("dropped"));
    let text = |binds: &[&Path]| {
        let binds: Vec<_> = binds.iter().map(|path| format!("unix:{}", path.display())).collect();
        format!("demo = true\nworkers = 1\nbind = {binds:?}\n")
    };
    let config = file(dir.path(), "wasgun.toml", text(&[&kept, &dropped]).as_bytes());
    let mut command = wasgun();
    command.arg("-c").arg(&config);
    let mut server = Server::spawn(command);
    assert_serves_at(&kept);
    assert_serves_at(&dropped);

    std::fs::write(&config, text(&[&kept])).unwrap();
    server.signal("HUP");
    server.wait_for_log("ready: generation 2");

    eventually("the socket that is not used any more is gone", || !dropped.exists());
    assert_serves_at(&kept);
    std::fs::write(&config, text(&[&kept, &dropped])).unwrap();
    server.signal("HUP");
    server.wait_for_log("ready: generation 3");
    assert_serves_at(&dropped);
}
