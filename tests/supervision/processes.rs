//! Which processes there are, and as whom they run.

use crate::support::client::get;
use crate::support::processes::{mold_beside, status, threads, workers};
use crate::support::{Server, eventually, parent_of, signal, wasgun};
use crate::{all_end_with, probe};

#[test]
fn workers_are_children_of_a_master_that_has_one_thread_as_has_the_mold() {
    let server = probe(&["-w", "4"]);
    let workers = workers(&server.address, 4);
    assert_eq!(workers.len(), 4);
    for worker in &workers {
        assert_eq!(parent_of(*worker), Some(server.pid()));
    }
    assert_eq!(threads(server.pid()), 1);
    assert_eq!(threads(mold_beside(&server, &workers)), 1);
}

#[test]
fn ttin_adds_a_worker_and_ttou_takes_one_away() {
    let mut server = probe(&["-w", "2"]);
    let before = workers(&server.address, 2);

    server.signal("TTIN");
    server.wait_for_log("3 workers wanted");
    let more = workers(&server.address, 3);
    assert!(before.is_subset(&more), "{before:?} {more:?}");

    server.signal("TTOU");
    server.wait_for_log("2 workers wanted");
    // Two workers and the mold.
    eventually("one worker has ended", || server.children().len() == 3);
    assert!(workers(&server.address, 2).is_subset(&more));
    assert_eq!(server.count_log("died"), 0);
}

#[test]
fn the_last_worker_stays() {
    const TTOU: u32 = 22;
    let mut server = probe(&["-w", "1"]);
    let before = workers(&server.address, 1);

    server.signal("TTOU");
    eventually("the signal has been taken", || {
        let pending = status(server.pid(), "ShdPnd").unwrap();
        u64::from_str_radix(&pending, 16).unwrap() & 1 << (TTOU - 1) == 0
    });
    server.signal("TTIN");

    server.wait_for_log("2 workers wanted");
    let after = workers(&server.address, 2);
    assert!(before.is_subset(&after), "{before:?} {after:?}");
}

#[test]
fn workers_run_as_another_user_and_still_die_with_the_master() {
    const NOBODY: &str = "65534\t65534\t65534\t65534";
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped, it takes root: workers_run_as_another_user_and_still_die_with_the_master");
        return;
    }
    let server = probe(&["-w", "2", "-u", "nobody", "-g", "1"]);
    let workers = workers(&server.address, 2);
    for worker in workers {
        assert_eq!(status(worker, "Uid").as_deref(), Some(NOBODY));
        assert_eq!(status(worker, "Gid").as_deref(), Some("1\t1\t1\t1"));
        let groups = status(worker, "Groups").unwrap();
        assert!(!groups.split_whitespace().any(|group| group == "0"), "{groups}");
    }
    assert_eq!(status(server.pid(), "Uid").as_deref(), Some("0\t0\t0\t0"));

    all_end_with(&server, || signal(server.pid(), "KILL"));
}

#[test]
fn what_another_user_needs_is_given_to_that_user() {
    use std::os::unix::fs::MetadataExt;
    const NOBODY: u32 = 65534;
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped, it takes root: what_another_user_needs_is_given_to_that_user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Others may enter it, and make nothing in it.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let [log, old, socket] = ["log", "log.1", "socket"].map(|name| dir.path().join(name));
    let bind = format!("unix:{}", socket.display());
    let server = probe(&["-w", "1", "-u", "nobody", "--access-log", log.to_str().unwrap(), "--bind", &bind]);
    assert_eq!(std::fs::metadata(&socket).unwrap().uid(), NOBODY);
    assert_eq!(std::fs::metadata(&log).unwrap().uid(), NOBODY);

    std::fs::rename(&log, &old).unwrap();
    server.signal("USR1");

    eventually("lines go into the new file", || {
        get(&server.address, "/hello");
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("/hello"))
    });
    assert_eq!(server.count_log(" ERROR "), 0);
    drop(server);

    // What is not made by the server stays whose it is, whatever a link says.
    let (secret, link) = (dir.path().join("secret"), dir.path().join("link"));
    std::fs::write(&secret, b"").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    let mut command = wasgun();
    command.args(["--demo", "-u", "nobody", "--bind", "127.0.0.1:0", "--access-log"]).arg(&link);
    let mut refused = Server::launch(command);
    assert_eq!(refused.wait().code(), Some(1));
    assert!(refused.wait_for_log("cannot start").contains("Permission denied"), "{:?}", refused.log());
    assert_eq!(std::fs::metadata(&secret).unwrap().uid(), 0);
}
