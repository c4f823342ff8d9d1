//! As process 1 of a container, which adopts what others leave behind.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::client::get;
use crate::support::guests::guest_arg;
use crate::support::{Server, children_of, eventually, signal, wasgun};

const NAMESPACE: [&str; 4] = ["--fork", "--pid", "--mount-proc", "--kill-child"];

#[test]
fn as_process_one_it_serves_reaps_orphans_and_stops() {
    if !namespaces_are_permitted() {
        eprintln!("skipped, unshare is not permitted: as_process_one_it_serves_reaps_orphans_and_stops");
        return;
    }
    let mut server = Server::spawn(in_a_namespace());
    server.wait_for_log("(pid 1)");
    let master = children_of(server.pid())[0];

    let orphan = leave_orphan(master);
    assert_eq!(get(&server.address, "/hello").status, 200);
    signal(orphan, "KILL");
    // Of a zombie the entry would stay.
    eventually("the orphan is reaped", || !Path::new(&format!("/proc/{orphan}")).exists());

    signal(master, "TERM");
    assert_eq!(server.wait().code(), Some(0));
}

fn namespaces_are_permitted() -> bool {
    let tried = Command::new("unshare").args(NAMESPACE).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

fn in_a_namespace() -> Command {
    let mut server = wasgun();
    server.args([&guest_arg("probe"), "-w", "1", "--bind", "127.0.0.1:0"]);
    let mut command = Command::new("unshare");
    command.args(NAMESPACE).arg(server.get_program()).args(server.get_args()).stdin(Stdio::null());
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(server.get_current_dir().unwrap());
    command
}

/// A process in the namespace of `master` whose own parent has ended.
fn leave_orphan(master: i32) -> i32 {
    let target = master.to_string();
    let left = Command::new("nsenter")
        .args(["--pid", "--mount", "--target", &target, "sh", "-c", "sleep 1000 >/dev/null 2>&1 &"])
        .status();
    assert!(left.unwrap().success());
    let mut orphan = 0;
    eventually("the orphan is adopted", || {
        let sleeps = |child: &i32| {
            std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sleep")
        };
        orphan = children_of(master).into_iter().find(sleeps).unwrap_or(0);
        orphan != 0
    });
    orphan
}
