//! Upgrades that come to nothing: the old master goes on.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use crate::site::Site;
use crate::support::client::get;
use crate::support::control::pids_in;
use crate::support::{eventually, finish, is_alive, signal};

const OPTIONS: &str = "pid = 'pid'\nbind = ['127.0.0.1:0', 'unix:socket']";

/// An upgrade after `spoil` fails for a `reason`, touches nothing, and works after
/// `mend`.
#[track_caller]
fn fails_and_works_again(spoil: impl FnOnce(&Site), reason: &str, mend: impl FnOnce(&Site)) {
    let site = Site::start(OPTIONS);
    let inode = site.path("socket").metadata().unwrap().ino();
    let (master, workers) = (site.master(), site.serving());
    spoil(&site);

    site.refuses(&["upgrade", "--wait"], reason);

    assert_eq!((site.master(), site.serving()), (master, workers));
    assert_eq!(site.greeting(), "one");
    assert_eq!(std::fs::read_to_string(site.path("pid")).unwrap().trim(), master.to_string());
    assert_eq!(site.path("socket").metadata().map(|found| found.ino()).ok(), Some(inode));
    assert!(UnixStream::connect(site.path("socket")).is_ok());
    // Itself, its mold and its workers.
    eventually("nothing of the new one is left", || site.processes().len() == 4);
    mend(&site);
    assert_ne!(site.upgrade(), master);
    assert_eq!(get(site.address(), "/hello").status, 200);
}

#[test]
fn a_new_program_that_ends_at_once_is_given_up() {
    let spoil = |site: &Site| site.install_script("#!/bin/sh\nexit 7\n");
    fails_and_works_again(spoil, "exit code 7", |site| site.install_program());
}

#[test]
fn a_new_program_that_is_none_is_given_up() {
    let spoil = |site: &Site| site.install_script("\0\0\0\0garbage");
    fails_and_works_again(spoil, "cannot start", |site| site.install_program());
}

#[test]
fn a_new_program_that_is_missing_is_given_up() {
    let spoil = |site: &Site| std::fs::remove_file(site.program()).unwrap();
    fails_and_works_again(spoil, "No such file", |site| site.install_program());
}

#[test]
fn a_configuration_that_is_wrong_by_now_is_given_up() {
    let spoil = |site: &Site| site.configure("two", "keep-alive = 'forever'");
    fails_and_works_again(spoil, "keep-alive", |site| site.configure("two", OPTIONS));
    let spoil = |site: &Site| site.write("workers = = 4");
    fails_and_works_again(spoil, "wasgun.toml", |site| site.configure("two", OPTIONS));
}

#[test]
fn a_component_that_is_garbage_by_now_is_given_up() {
    let spoil = |site: &Site| site.spoil_component();
    fails_and_works_again(spoil, "it is not WebAssembly", |site| site.install("probe"));
    let spoil = |site: &Site| std::fs::remove_file(site.path("app.wasm")).unwrap();
    fails_and_works_again(spoil, "app.wasm", |site| site.install("probe"));
}

#[test]
fn an_address_that_cannot_be_had_is_given_up() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let spoil = |site: &Site| {
        let binds = format!("bind = ['127.0.0.1:0', 'unix:socket', 'unix:more', '{address}']");
        site.configure("two", &binds);
    };
    let mend = |site: &Site| {
        assert!(!site.path("more").exists());
        site.configure("two", OPTIONS);
    };
    fails_and_works_again(spoil, "somebody else listens there", mend);
}

#[test]
fn workers_that_do_not_start_are_given_up() {
    let site = Site::start("");
    std::fs::create_dir(site.path("data")).unwrap();
    let master = site.master();
    site.configure("two", "dir = ['data::/data']");
    site.upgrade();
    std::fs::remove_dir(site.path("data")).unwrap();
    site.refuses(&["upgrade", "--wait"], "data");
    assert_ne!(site.master(), master);
    assert_eq!(site.greeting(), "two");
}

/// The process that an upgrade has started.
#[track_caller]
fn newcomer(site: &mut Site) -> i32 {
    let line = site.server.wait_for_log("upgrading: a new master (pid ");
    line.split_once("(pid ").unwrap().1.split_once(')').unwrap().0.parse().unwrap()
}

#[test]
fn a_new_program_that_hangs_can_be_killed() {
    let mut site = Site::start("");
    let workers = site.serving();
    site.install_script("#!/bin/sh\nexec sleep 1000\n");
    let asker = site.asker(&["upgrade", "--wait"]);
    let new = newcomer(&mut site);
    eventually("it is under way", || site.status()["state"] == "upgrading");

    signal(new, "KILL");

    let told = finish(asker);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("SIGKILL"), "{}", told.stderr);
    assert_eq!(site.serving(), workers);
    assert_eq!(site.status()["state"], "ready");
    site.install_program();
    site.upgrade();
}

#[test]
fn a_new_master_killed_while_it_starts_takes_its_own_with_it_and_nothing_else() {
    let mut site = Site::start("pid = 'pid'");
    let before = site.processes();
    let held = site.hold();
    site.configure("two", &format!("pid = 'pid'\n{}", held.option()));
    let asker = site.asker(&["upgrade", "--wait"]);
    let new = newcomer(&mut site);
    eventually("it has a mold", || !crate::support::children_of(new).is_empty());
    let its = crate::support::processes::descendants(new);

    signal(new, "KILL");

    assert_eq!(finish(asker).code, Some(1));
    site.gone(&its);
    assert!(before.iter().all(|pid| is_alive(*pid)));
    assert_eq!(pids_in(&site.status(), &["ready"]).len(), 2);
    assert_eq!(site.master(), site.server.pid());
    assert!(std::fs::read_to_string(site.path("pid")).unwrap().contains(&site.server.pid().to_string()));
    held.release();
    site.upgrade();
    assert_eq!(site.greeting(), "two");
}

#[test]
fn the_new_master_serves_though_the_old_one_is_killed_meanwhile() {
    let mut site = Site::start(OPTIONS);
    let old = site.processes();
    let held = site.hold();
    site.configure("two", &format!("{OPTIONS}\n{}", held.option()));
    site.server.signal("USR2");
    let new = newcomer(&mut site);
    eventually("it has a mold", || !crate::support::children_of(new).is_empty());

    site.server.signal("KILL");
    site.gone(&old);
    held.release();

    // Whoever connects waits for it.
    assert_eq!(site.greeting(), "two");
    eventually("it is who answers", || {
        site.ctl(&["status"]).code == Some(0) && site.master() == new && site.status()["state"] == "ready"
    });
    assert_eq!(std::fs::read_to_string(site.path("pid")).unwrap().trim(), new.to_string());
    assert!(UnixStream::connect(site.path("socket")).is_ok());
    site.upgrade();
    assert_eq!(site.greeting(), "two");
}

#[test]
fn a_new_master_told_to_stop_while_it_starts_leaves_the_old_one_its_sockets() {
    let mut site = Site::start(OPTIONS);
    let held = site.hold();
    site.configure("two", &format!("{OPTIONS}\n{}", held.option()));
    let asker = site.asker(&["upgrade", "--wait"]);
    let new = newcomer(&mut site);
    eventually("it has a mold", || !crate::support::children_of(new).is_empty());

    signal(new, "TERM");

    assert_eq!(finish(asker).code, Some(1));
    eventually("it is gone", || !is_alive(new));
    assert!(UnixStream::connect(site.path("socket")).is_ok());
    assert_eq!((site.greeting(), site.master()), ("one".to_owned(), site.server.pid()));
    assert!(site.path("pid").exists());
}
