//! Where `wasgun ctl` meets the server, and what happens there to strangers.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use crate::site::{Place, Site};
use crate::support::client::get;
use crate::support::control::{ctl, say, status};
use crate::support::{Server, file, run, wasgun};

/// `wasgun ctl ORDER`, wherever its server is.
fn anywhere(order: &[&str]) -> Command {
    let mut command = wasgun();
    command.arg("ctl").args(order);
    command
}

#[track_caller]
fn fails(command: Command, code: i32, reason: &str) {
    let done = run(command);
    assert_eq!(done.code, Some(code), "{}", done.stderr);
    assert!(done.stderr.contains(reason), "not because of {reason:?}: {}", done.stderr);
    assert_eq!(done.stdout, "");
}

#[test]
fn where_there_is_no_server_ctl_says_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = dir.path().join(name);
        let mut command = anywhere(&["status", "--control-socket"]);
        command.arg(path);
        command
    };
    fails(at("none"), 1, "there is no socket");
    drop(UnixListener::bind(dir.path().join("stale")).unwrap());
    fails(at("stale"), 1, "the server that made it is gone");
    file(dir.path(), "file", b"");
    fails(at("file"), 1, "is not a socket");
}

#[test]
fn an_order_that_is_none_is_a_mistake_of_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let command = |order: &[&str]| {
        let mut command = anywhere(order);
        command.env("WASGUN_CONTROL_SOCKET", dir.path().join("socket"));
        command
    };
    fails(command(&["dance"]), 2, "dance");
    fails(command(&[]), 2, "say what to do");
    fails(command(&["scale"]), 2, "<N>");
    fails(command(&["status", "--wait"]), 2, "--wait");
}

#[test]
fn without_a_word_about_the_server_ctl_asks_for_one() {
    fails(anywhere(&["status"]), 2, "say --control-socket PATH");
}

#[test]
fn ctl_finds_the_server_by_configuration_and_by_environment() {
    let site = Site::start("");
    let mut here = anywhere(&["status"]);
    here.current_dir(site.path(""));
    let mut named = anywhere(&["status", "-c"]);
    named.arg(site.path("wasgun.toml")).current_dir(site.path(""));
    let mut told = anywhere(&["status"]);
    told.env("WASGUN_CONTROL_SOCKET", site.socket());
    for command in [here, named, told] {
        let done = run(command);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stdout.contains(&format!("pid {}", site.server.pid())), "{}", done.stdout);
    }
}

#[test]
fn ctl_finds_the_server_though_the_rest_of_its_configuration_is_wrong() {
    let site = Site::start("");
    site.configure("two", "keep-alive = 'forever'");
    let mut here = anywhere(&["status"]);
    here.current_dir(site.path(""));
    assert_eq!(run(here).code, Some(0));
}

#[test]
fn the_control_socket_is_for_its_user_alone() {
    let site = Site::start("umask = '0'");
    let mode = std::fs::metadata(site.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "{mode:o}");
}

#[test]
fn a_second_server_at_the_same_control_socket_is_refused() {
    let site = Site::start("");
    let done = run(site.command());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    for part in ["--control-socket", "another server listens there", &site.socket().display().to_string()] {
        assert!(done.stderr.contains(part), "nothing about {part:?}: {}", done.stderr);
    }
    assert_eq!(site.master(), site.server.pid());
}

#[test]
fn the_socket_of_a_killed_server_is_replaced() {
    let mut site = Site::start("");
    let old = site.processes();
    site.server.signal("KILL");
    site.gone(&old);
    site.server = Server::spawn(site.command());
    assert_eq!(site.master(), site.server.pid());
}

#[test]
fn a_directory_from_the_service_manager_is_where_the_socket_goes() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    std::fs::create_dir(&first).unwrap();
    let both = format!("{}:{}", first.display(), dir.path().display());
    let mut command = wasgun();
    command.args(["--demo", "-w", "1", "--bind", "127.0.0.1:0"]).env("RUNTIME_DIRECTORY", both);
    let server = Server::spawn(command);
    assert_eq!(status(&first.join("control.sock"))["pid"], server.pid());
}

#[test]
fn a_directory_from_the_service_manager_that_is_not_there_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let file = file(dir.path(), "file", b"");
    for directory in [missing, file] {
        let mut command = wasgun();
        command.args(["--demo", "-w", "1", "--bind", "127.0.0.1:0"]).env("RUNTIME_DIRECTORY", directory);
        let server = Server::spawn(command);
        assert_eq!(get(&server.address, "/").status, 200);
        assert_eq!(server.count_log(" INFO there is no control socket: "), 1, "{:?}", server.log());
        assert_eq!(server.count_log(" WARN ") + server.count_log(" ERROR "), 0, "{:?}", server.log());
    }
}

#[test]
fn a_directory_for_the_socket_that_somebody_asked_for_has_to_be_there() {
    let place = Place::new();
    place.configure("one", "control-socket = 'missing/socket'");
    let done = run(place.command());
    assert_ne!(done.code, Some(0));
    assert!(done.stderr.contains("control-socket"), "{}", done.stderr);
}

#[test]
fn rubbish_at_the_control_socket_harms_nothing() {
    let site = Site::start("");
    let before = site.serving();
    for line in ["{}", "[]", "null", "\u{0}", "{\"command\":\"dance\"}", "GET / HTTP/1.1", "{\"command\":"] {
        let reply = say(&site.socket(), line);
        assert_eq!(reply["ok"], false, "{line:?}: {reply}");
    }
    let mut kept = Vec::new();
    for rubbish in [vec![0xff; 100], vec![b'x'; 1 << 20], b"{\"command\":\"sta".to_vec(), Vec::new()] {
        for _ in 0..30 {
            let mut stream = UnixStream::connect(site.socket()).unwrap();
            stream.set_nonblocking(true).unwrap();
            // Refused, or cut, or taken.
            drop(stream.write(&rubbish));
            kept.push(stream);
        }
        // None of them is let go of before the server has answered others.
        assert_eq!(get(site.address(), "/hello").status, 200);
    }
    drop(kept);
    assert!(ctl(&site.socket(), &["status"]).stdout.contains("workers 2/2"));
    assert_eq!(site.serving(), before);
}
