//! Sockets from a service manager (`sd_listen_fds(3)`).

use std::net::TcpListener;
use std::process::Command;

use crate::site::{Place, Site};
use crate::support::client::get;
use crate::support::control::status;
use crate::support::{Server, eventually, is_alive, run, wasgun};

/// A command that is given a listening socket as the first descriptor, and as the
/// second if there are two.
fn activated(server: &Command, listener: TcpListener, count: usize, names: Option<&str>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"export LISTEN_PID=$$; exec "$@" 3<&0 4<&0 0</dev/null"#, "sh"])
        .arg(server.get_program())
        .args(server.get_args())
        .current_dir(server.get_current_dir().unwrap());
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("LISTEN_FDS", count.to_string());
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    command.stdin(std::os::fd::OwnedFd::from(listener));
    command
}

fn demo(args: &[&str]) -> Command {
    let mut command = wasgun();
    command.args(["--demo", "-w", "1"]).args(args);
    command
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn without_bind_it_serves_on_what_it_is_given() {
    for names in [None, Some("web")] {
        let (listener, address) = listener();
        let server = Server::spawn(activated(&demo(&[]), listener, 1, names));
        assert_eq!(server.address, address);
        assert_eq!(get(&address, "/").status, 200);
    }
}

#[test]
fn a_socket_is_found_by_its_name() {
    let (listener, address) = listener();
    let server = Server::spawn(activated(&demo(&["-b", "fd://web"]), listener, 2, Some("other:web")));
    assert_eq!(server.address, address);
    assert_eq!(get(&address, "/").status, 200);
}

#[test]
fn a_name_that_no_socket_has_is_refused_with_those_there_are() {
    let done = run(activated(&demo(&["-b", "fd://web"]), listener().0, 2, Some("http:admin")));
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(done.stderr.contains("fd://web: no socket of that name"), "{}", done.stderr);
    assert!(done.stderr.contains("there are: http, admin"), "{}", done.stderr);
}

#[test]
fn numbers_that_do_not_match_are_refused() {
    let done = run(activated(&demo(&[]), listener().0, 1, Some("a:b")));
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(done.stderr.contains("LISTEN_FDNAMES=a:b has 2 names where LISTEN_FDS=1"), "{}", done.stderr);
    // More than there are.
    let done = run(activated(&demo(&[]), listener().0, 9, None));
    assert_ne!(done.code, Some(0));
    assert!(done.stderr.contains("nothing is open there"), "{}", done.stderr);
}

#[test]
fn sockets_for_another_process_are_none_of_ours() {
    let mut command = demo(&["-b", "127.0.0.1:0"]);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    let server = Server::spawn(command);
    assert_eq!(get(&server.address, "/").status, 200);
}

#[test]
fn what_it_was_given_outlives_reloads_and_upgrades() {
    for name in ["fd://web", "fd://3"] {
        let (listener, address) = listener();
        let ours = listener.try_clone().unwrap();
        let place = Place::new();
        place.configure("one", &format!("bind = '{name}'"));
        let mut server = Server::spawn(activated(&place.command(), listener, 1, Some("web")));
        drop(ours);
        let (old, mut last) = (server.pid(), server.pid());
        for generation in [2, 4] {
            place.order(&["reload", "--wait"]);
            place.order(&["upgrade", "--wait"]);
            server.wait_for_log(&format!("ready: generation {}", generation + 1));
            eventually("the one before is gone", || !is_alive(last));
            last = place.master();
            assert_eq!(get(&address, "/hello").status, 200);
        }
        assert_ne!(last, old);
        let all = crate::support::processes::descendants(last);
        place.order(&["stop"]);
        eventually("all is gone", || !all.iter().chain([&last]).any(|pid| is_alive(*pid)));
        // Nobody kept a copy.
        assert!(TcpListener::bind(&address).is_ok());
    }
}

#[test]
fn without_a_bind_of_its_own_it_is_upgraded_too() {
    let (listener, address) = listener();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control");
    let server = demo(&["--control-socket", socket.to_str().unwrap()]);
    let mut server = Server::spawn(activated(&server, listener, 1, None));
    server.signal("USR2");
    server.wait_for_log("serving in the place of");
    eventually("the old one is gone", || !is_alive(server.pid()));
    assert_eq!(get(&address, "/").status, 200);
    assert_eq!(status(&socket)["listeners"][0], format!("http://{address}"));
}

/// That a place can be started at all is not what these are about.
#[test]
fn a_server_without_such_sockets_has_the_usual_address() {
    let site = Site::start("");
    assert!(site.address().starts_with("127.0.0.1:"));
}
