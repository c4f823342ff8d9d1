//! What is asked for while an upgrade is under way, or where there can be none.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::site::{Held, Site};
use crate::support::client::{Connection, get};
use crate::support::processes::{begin, descendants, release};
use crate::support::{Server, children_of, eventually, finish, signal};

/// A server in the middle of an upgrade, with who waits for that.
#[track_caller]
fn amid_an_upgrade() -> (Site, Held, Server) {
    let site = Site::start("pid = 'pid'");
    let held = site.hold();
    site.configure("two", &format!("pid = 'pid'\n{}", held.option()));
    let asker = site.asker(&["upgrade", "--wait"]);
    // Two workers, two molds, two masters.
    eventually("the new one has a mold", || descendants(site.server.pid()).len() == 5);
    (site, held, asker)
}

#[test]
fn term_during_an_upgrade_ends_both() {
    let (mut site, _held, asker) = amid_an_upgrade();
    let all = site.processes();
    let mut busy = Connection::open(site.address());
    begin(&mut busy, "/hello");

    site.server.signal("TERM");

    let told = finish(asker);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("the server is stopping"), "{}", told.stderr);
    release(&mut busy);
    assert_eq!(busy.read().unwrap().status, 200);
    assert_eq!(site.server.wait().code(), Some(0));
    site.gone(&all);
    assert!(!site.path("pid").exists() && !site.socket().exists());
}

#[test]
fn reloads_and_upgrades_during_an_upgrade_are_refused_and_disturb_nothing() {
    let (mut site, held, asker) = amid_an_upgrade();
    let old = site.processes();
    site.server.signal("HUP");
    site.server.wait_for_log("the reload is refused, the configuration stays as it was: an upgrade is under");
    site.server.signal("USR2");
    site.server.wait_for_log("the upgrade is refused: an upgrade is under way");
    for order in ["reload", "rollback", "upgrade"] {
        site.refuses(&[order, "--wait"], "an upgrade is under way");
    }
    assert_eq!(site.greeting(), "one");

    held.release();

    assert_eq!(finish(asker).code, Some(0));
    site.gone(&old.into_iter().filter(|pid| *pid == site.server.pid()).collect::<Vec<_>>());
    assert_eq!(site.greeting(), "two");
}

#[test]
fn an_upgrade_during_a_reload_is_refused() {
    let site = Site::start("");
    let held = site.hold();
    site.configure("two", &held.option());
    let asker = site.asker(&["reload", "--wait"]);
    eventually("it reloads", || site.status()["state"] == "reloading");
    site.refuses(&["upgrade", "--wait"], "a reload is under way");
    site.refuses(&["rollback", "--wait"], "a reload is under way");
    held.release();
    assert_eq!(finish(asker).code, Some(0));
    site.upgrade();
    assert_eq!(site.greeting(), "two");
}

#[test]
fn the_variable_that_hands_over_is_nobody_elses_to_set() {
    for value in ["7", "0", "x", "999999"] {
        let mut command = crate::support::wasgun();
        command.args(["--demo", "--bind", "127.0.0.1:0"]).env("WASGUN_HANDOVER", value);
        let done = crate::support::run(command);
        assert_eq!(done.code, Some(1), "{value}: {}", done.stderr);
        assert!(
            done.stderr.contains("WASGUN_HANDOVER") && done.stderr.contains("unset it"),
            "{}",
            done.stderr
        );
    }
}

const NAMESPACE: [&str; 4] = ["--fork", "--pid", "--mount-proc", "--kill-child"];

#[test]
fn process_one_is_not_upgraded() {
    let tried = Command::new("unshare").args(NAMESPACE).arg("true").stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("skipped, unshare is not permitted: process_one_is_not_upgraded");
        return;
    }
    let mut site = Site::start_with("", |command| {
        let program = command.get_program().to_owned();
        let mut outer = Command::new("unshare");
        outer.args(NAMESPACE).arg(program).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer.current_dir(command.get_current_dir().unwrap());
        *command = outer;
    });
    let master = children_of(site.server.pid())[0];
    site.refuses(&["upgrade", "--wait"], "this is process 1");
    signal(master, "USR2");
    eventually("it is refused too", || {
        site.server.count_log("the upgrade is refused: this is process 1") == 2
    });
    assert_eq!(get(site.address(), "/hello").status, 200);
    assert!(Path::new(&format!("/proc/{master}")).exists());
    site.order(&["stop"]);
    assert_eq!(site.server.wait().code(), Some(0));
}
