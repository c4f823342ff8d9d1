//! What a service manager hears (`sd_notify(3)`).

use std::io::ErrorKind;
use std::os::unix::net::{UnixDatagram, UnixStream};

use crate::site::{Place, Site};
use crate::support::client::{Connection, get};
use crate::support::processes::{begin, release};
use crate::support::{PATIENCE, Server, signal};

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, dir }
    }

    /// A server that it starts.
    #[track_caller]
    fn start(&self, options: &str) -> Site {
        Site::start_with(options, |command| {
            command.env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        })
    }

    /// The next message in which a line begins like this; the whole of it.
    #[track_caller]
    fn wait_for(&self, begin: &str) -> String {
        let mut passed = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                // With a timeout set it is not resumed when this process was stopped.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("no {begin}: {error} after {passed:?}"),
            };
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.lines().any(|line| line.starts_with(begin)) {
                return message;
            }
            passed.push(message);
        }
    }
}

#[test]
fn it_is_ready_when_it_serves() {
    let manager = Manager::new();
    let place = Place::new();
    place.configure("one", "bind = ['127.0.0.1:0', 'unix:socket']");
    let held = place.hold();
    place.configure("one", &format!("bind = ['127.0.0.1:0', 'unix:socket']\n{}", held.option()));
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", manager.dir.path().join("notify"));
    let mut server = Server::launch(command);
    server.wait_for_log("listening on");
    // While it cannot be.
    manager.wait_for("STATUS=0 of 2 workers ready");
    held.release();

    let message = manager.wait_for("READY=1");

    assert!(message.contains("\nSTATUS=2 of 2 workers ready; generation 1 serves"), "{message}");
    assert!(UnixStream::connect(place.path("socket")).is_ok());
    assert_eq!(place.status()["workers_ready"], 2);
}

#[test]
fn a_reload_begins_and_ends_whatever_comes_of_it() {
    let manager = Manager::new();
    let site = manager.start("");
    manager.wait_for("READY=1");
    for (spoil, end) in [
        (&(|_: &Site| {}) as &dyn Fn(&Site), "generation 2 serves"),
        (&|site| site.write("workers = = 4"), "a reload was refused: "),
        (
            &|site| {
                site.configure("two", "");
                site.spoil_component();
            },
            "a reload was given up: ",
        ),
        (&|site| site.install("probe"), "generation 4 serves"),
    ] {
        spoil(&site);
        let before = now_in_microseconds();
        site.server.signal("HUP");
        let begun = manager.wait_for("RELOADING=1");
        let at = begun.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(at.parse::<u128>().unwrap() >= before, "{begun}");
        let ended = manager.wait_for("READY=1");
        assert!(ended.contains(end), "not {end:?}: {ended}");
    }
}

#[test]
fn changes_by_ctl_begin_and_end_too() {
    let manager = Manager::new();
    let site = manager.start("");
    manager.wait_for("READY=1");
    for order in ["reload", "rollback"] {
        site.order(&[order, "--wait"]);
        manager.wait_for("RELOADING=1");
        manager.wait_for("READY=1");
    }
    site.order(&["scale", "3"]);
    manager.wait_for("STATUS=3 of 3 workers ready");
}

fn now_in_microseconds() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    std::time::Duration::from(now).as_micros()
}

#[test]
fn a_stop_is_told_when_it_begins() {
    for order in ["TERM", "QUIT"] {
        let manager = Manager::new();
        let mut site = manager.start("shutdown-delay = '300ms'");
        manager.wait_for("READY=1");
        site.server.signal(order);
        manager.wait_for("STOPPING=1");
        assert_eq!(site.server.wait().code(), Some(0));
    }
}

#[test]
fn the_workers_that_are_ready_are_told_of() {
    let manager = Manager::new();
    let site = manager.start("");
    manager.wait_for("READY=1");
    signal(*site.serving().first().unwrap(), "KILL");
    manager.wait_for("STATUS=1 of 2 workers ready");
    manager.wait_for("STATUS=2 of 2 workers ready");
}

#[test]
fn an_upgrade_tells_who_the_server_is_by_then() {
    let manager = Manager::new();
    let site = manager.start("");
    manager.wait_for("READY=1");
    let old = site.processes();
    let mut held = Connection::open(site.address());
    begin(&mut held, "/hello");
    site.order(&["upgrade", "--wait"]);
    let new = site.master();
    let message = manager.wait_for("MAINPID=");
    assert_eq!(message, format!("MAINPID={new}\nREADY=1"));
    release(&mut held);
    assert_eq!(held.read().unwrap().status, 200);
    site.gone(&old);
    signal(new, "HUP");
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    // The old one's end is no stop of the service.
    signal(new, "TERM");
    manager.wait_for("STOPPING=1");
}

#[test]
fn the_watchdog_gets_its_signs_also_of_the_next_master() {
    let manager = Manager::new();
    let site = Site::start_with("", |command| {
        command.env("NOTIFY_SOCKET", manager.dir.path().join("notify")).env("WATCHDOG_USEC", "200000");
    });
    for _ in 0..2 {
        manager.wait_for("WATCHDOG=1");
    }
    let old = site.processes();
    site.order(&["upgrade", "--wait"]);
    manager.wait_for("MAINPID=");
    site.gone(&old);
    // Those of the old one, which is gone, are at most the ones that wait here.
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 8192]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    for _ in 0..2 {
        manager.wait_for("WATCHDOG=1");
    }
    assert_eq!(get(site.address(), "/hello").status, 200);
}

#[test]
fn a_manager_that_is_gone_or_never_was_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for socket in [dir.path().join("none").display().to_string(), "nonsense".to_owned()] {
        let site = Site::start_with("", |command| {
            command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "soon");
        });
        site.order(&["reload", "--wait"]);
        assert_eq!(get(site.address(), "/hello").status, 200);
        assert_eq!(site.server.count_log("WATCHDOG_USEC=soon is not a number"), 1);
        assert_eq!(site.server.count_log(" ERROR "), 0);
    }
}
