//! `-D`: in the background, once it serves.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::site::Place;
use crate::support::client::get;
use crate::support::processes::descendants;
use crate::support::{Server, children_of, eventually, file, is_alive, run, signal};

/// A daemon, ended with all that it has.
struct Daemon {
    pid: i32,
    log: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let all = descendants(self.pid);
        signal(self.pid, "KILL");
        eventually("it is gone", || !all.iter().any(|pid| is_alive(*pid)));
    }
}

impl Daemon {
    /// Of a place, once its launcher has left.
    #[track_caller]
    fn of(place: &Place, launched: ExitStatus) -> Self {
        let log = std::fs::read_to_string(place.path("log")).unwrap();
        assert_eq!(launched.code(), Some(0), "{log}");
        Self { pid: std::fs::read_to_string(place.path("pid")).unwrap().trim().parse().unwrap(), log }
    }

    fn address(&self) -> &str {
        self.log.split("listening on http://").nth(1).unwrap().split_whitespace().next().unwrap()
    }
}

fn place() -> Place {
    let place = Place::new();
    place.configure("one", "pid = 'pid'\ndaemon = true");
    place
}

/// Runs a launcher whose log is a file.
#[track_caller]
fn launch(place: &Place, mut command: Command) -> ExitStatus {
    let log = File::create(place.path("log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut launcher = command.spawn().unwrap();
    eventually("the launcher leaves", || launcher.try_wait().unwrap().is_some());
    launcher.wait().unwrap()
}

/// Fields of /proc/PID/stat behind the state: parent, group, session, terminal.
fn belongs(pid: i32) -> Vec<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(1).take(4);
    fields.map(|field| field.parse().unwrap()).collect()
}

#[test]
fn the_launcher_leaves_when_the_daemon_serves() {
    let place = place();
    let mut command = place.command();
    command.args(["-D", "-w", "3"]);
    let daemon = Daemon::of(&place, launch(&place, command));

    assert_eq!(get(daemon.address(), "/hello").status, 200);
    assert!(daemon.log.contains(&format!("ready, in the background as process {}", daemon.pid)));
    assert_eq!(place.master(), daemon.pid);
    assert_eq!(place.serving().len(), 3);
    let [parent, _, session, terminal] = belongs(daemon.pid)[..] else { panic!() };
    assert_ne!(parent, std::process::id() as i32);
    assert_eq!((session, terminal), (daemon.pid, 0));
}

#[test]
fn what_is_no_terminal_takes_the_log_further() {
    let place = place();
    let daemon = Daemon::of(&place, launch(&place, place.command()));
    signal(daemon.pid, "HUP");
    eventually("the reload is logged", || {
        std::fs::read_to_string(place.path("log")).unwrap().contains("ready: generation 2")
    });
}

#[test]
fn a_daemon_stops_and_leaves_nothing() {
    let place = place();
    let daemon = Daemon::of(&place, launch(&place, place.command()));
    let all = descendants(daemon.pid);
    place.order(&["stop"]);
    eventually("it is gone", || !all.iter().chain([&daemon.pid]).any(|pid| is_alive(*pid)));
    assert!(!place.path("pid").exists() && !place.socket().exists());
}

#[test]
fn a_daemon_is_upgraded_and_its_launcher_is_not_missed() {
    let place = place();
    let mut daemon = Daemon::of(&place, launch(&place, place.command()));
    let old = daemon.pid;
    place.configure("two", "pid = 'pid'\ndaemon = true");
    place.order(&["upgrade", "--wait"]);
    daemon.pid = place.master();
    eventually("the old one is gone", || !is_alive(old));
    assert!(get(daemon.address(), "/env").text().contains("two"));
    assert_eq!(belongs(daemon.pid)[3], 0);
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let place = place();
    place.spoil_component();
    let done = run(place.command());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("it is not WebAssembly"), "{}", done.stderr);
    assert!(!place.path("pid").exists());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    place.install("probe");
    let bind = format!("bind = '{}'\npid = 'pid'\ndaemon = true", taken.local_addr().unwrap());
    place.configure("one", &bind);
    let done = run(place.command());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("somebody else listens there"), "{}", done.stderr);
}

#[test]
fn a_launcher_that_is_interrupted_takes_the_start_with_it() {
    let place = place();
    let held = place.hold();
    place.configure("one", &format!("pid = 'pid'\ndaemon = true\n{}", held.option()));
    let launcher = Server::launch(place.command());
    // The daemon and its mold.
    eventually("it starts", || descendants(launcher.pid()).len() == 2);
    let all = descendants(launcher.pid());

    signal(-launcher.pid(), "INT");

    eventually("all is gone", || !all.iter().any(|pid| is_alive(*pid)) && !is_alive(launcher.pid()));
    // What is left does not keep the next one from starting.
    held.release();
    let _daemon = Daemon::of(&place, launch(&place, place.command()));
}

#[test]
fn from_a_terminal_it_is_started_and_lets_go_of_that() {
    if !Path::new("/usr/bin/script").exists() {
        eprintln!("skipped, there is no script(1): from_a_terminal_it_is_started_and_lets_go_of_that");
        return;
    }
    let place = place();
    let program = place.command();
    let start = format!("#!/bin/sh\ntty\n'{}'\n", program.get_program().display());
    let start = file(&place.path(""), "start", start.as_bytes());
    std::fs::set_permissions(&start, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("script");
    command.args(["-qefc", "./start", "typescript"]).stdin(Stdio::null()).current_dir(place.path(""));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let daemon = Daemon::of(&place, launch(&place, command));
    // What it said while it started was shown there, and it has gone on without.
    assert!(daemon.log.contains("/dev/pts/") && daemon.log.contains("ready: generation 1"), "{}", daemon.log);
    let [_, _, session, terminal] = belongs(daemon.pid)[..] else { panic!() };
    assert_eq!((session, terminal), (daemon.pid, 0));
    for pid in descendants(daemon.pid).into_iter().chain([daemon.pid]) {
        for number in 0..3 {
            let open = std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
            assert!(!open.starts_with("/dev/pts"), "{number} of {pid} is {}", open.display());
        }
    }
    let address = daemon.address().to_owned();
    assert_eq!(get(&address, "/hello").status, 200);
    assert!(children_of(std::process::id() as i32).iter().all(|pid| *pid != daemon.pid));
}
