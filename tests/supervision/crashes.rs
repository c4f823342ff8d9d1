//! Processes that die, and what becomes of the others.

use crate::load::{CLOSED, Load, Style};
use crate::support::client::{Connection, get};
use crate::support::processes::{answered_by, mold_beside, one_connection_each, stop, workers};
use crate::support::{eventually, is_alive, signal};
use crate::{all_end_with, assert_lost, probe, start_request};

#[test]
fn a_killed_worker_loses_its_own_request_alone_and_is_replaced() {
    let mut server = probe(&["-w", "2"]);
    let mut each = one_connection_each(&server.address, 2);
    let (victim, mut lost) = each.pop_first().unwrap();
    let (survivor, mut kept) = each.pop_first().unwrap();
    start_request(&mut lost, "/sleep");
    start_request(&mut kept, "/sleep?ms=500");

    signal(victim, "KILL");

    assert_lost(&mut lost);
    assert_eq!(get(&server.address, "/hello").status, 200);
    assert_eq!(kept.read().unwrap().status, 200);
    let line = server.wait_for_log("died");
    assert!(
        (0..2).any(|slot| line.contains(&format!("worker {slot} (pid {victim}) died: SIGKILL"))),
        "{line}"
    );
    let now = workers(&server.address, 2);
    assert!(now.contains(&survivor) && !now.contains(&victim), "{now:?}");
}

#[test]
fn a_guest_that_traps_leaves_its_worker_alive() {
    let server = probe(&["-w", "1"]);
    let mut connection = Connection::open(&server.address);
    let before = answered_by(&mut connection).unwrap();
    assert_eq!(connection.get("/trap").unwrap().status, 500);
    assert_eq!(answered_by(&mut Connection::open(&server.address)).unwrap(), before);
}

#[test]
fn the_server_recovers_when_all_workers_are_killed_at_once_under_load() {
    let server = probe(&["-w", "3"]);
    let before = workers(&server.address, 3);
    let load = Load::start(&server.address, &[Style::Fresh, Style::Fresh, Style::Kept, Style::Kept]);
    load.goes_on();

    before.iter().for_each(|pid| signal(*pid, "KILL"));

    load.goes_on();
    let after = workers(&server.address, 3);
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    let wrong = load.stop();
    assert!(wrong.iter().all(|what| what == CLOSED), "{wrong:?}");
}

#[test]
fn workers_serve_on_without_a_mold_and_the_next_one_replaces_them() {
    let mut server = probe(&["-w", "2"]);
    let before = workers(&server.address, 2);
    let mold = mold_beside(&server, &before);
    let load = Load::start(&server.address, &[Style::Fresh, Style::Kept]);

    signal(mold, "KILL");

    server.wait_for_log("ended (SIGKILL)");
    load.goes_on();
    assert_eq!(load.stop(), [""; 0]);
    eventually("the old mold is gone", || !is_alive(mold));
    assert_eq!(workers(&server.address, 2), before);
    assert_ne!(mold_beside(&server, &before), mold);

    let victim = *before.first().unwrap();
    signal(victim, "KILL");
    server.wait_for_log(&format!("(pid {victim}) died: SIGKILL"));
    assert!(!workers(&server.address, 2).contains(&victim));
}

#[test]
fn a_worker_that_dies_with_the_mold_is_replaced() {
    let mut server = probe(&["-w", "2"]);
    let before = workers(&server.address, 2);
    let mold = mold_beside(&server, &before);
    let victim = *before.first().unwrap();

    signal(mold, "KILL");
    signal(victim, "KILL");

    server.wait_for_log("ended (SIGKILL)");
    server.wait_for_log(&format!("(pid {victim}) died: SIGKILL"));
    let after = workers(&server.address, 2);
    assert_eq!(after.intersection(&before).count(), 1, "{before:?} {after:?}");
}

#[test]
fn every_process_dies_with_the_master_busy_or_not() {
    let server = probe(&["-w", "3", "--request-timeout", "300s"]);
    let mut each = one_connection_each(&server.address, 3);
    let (spinning, mut connection) = each.pop_first().unwrap();
    start_request(&mut connection, "/spin");
    let (_, mut sleeping) = each.pop_first().unwrap();
    start_request(&mut sleeping, "/sleep");
    let before = processor_time(spinning);
    eventually("the guest spins", || processor_time(spinning) > before + 10);

    all_end_with(&server, || signal(server.pid(), "KILL"));
}

/// In clock ticks, from /proc/PID/stat.
fn processor_time(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap().parse().unwrap()
}

#[test]
fn a_worker_that_is_silent_for_too_long_is_replaced() {
    let mut server = probe(&["-w", "2", "--worker-timeout", "2s"]);
    let before = workers(&server.address, 2);
    let victim = *before.first().unwrap();

    stop(victim);

    let line = server.wait_for_log("it was silent for");
    assert!(line.contains(&format!("(pid {victim})")), "{line}");
    eventually("it is killed", || !is_alive(victim));
    let after = workers(&server.address, 2);
    assert_eq!(after.intersection(&before).count(), 1, "{before:?} {after:?}");
}

#[test]
fn a_busy_guest_is_no_silent_worker() {
    let server = probe(&["-w", "1", "--worker-timeout", "1s"]);
    let mut connection = Connection::open(&server.address);
    let before = answered_by(&mut connection).unwrap();
    assert_eq!(connection.get("/spin?ms=3000").unwrap().status, 200);
    assert_eq!(answered_by(&mut connection).unwrap(), before);
    assert_eq!(server.count_log("silent"), 0);
}

#[test]
fn a_mold_that_hangs_is_replaced() {
    let mut server = probe(&["-w", "2"]);
    let before = workers(&server.address, 2);
    let mold = mold_beside(&server, &before);
    stop(mold);
    let victim = *before.first().unwrap();

    signal(victim, "KILL");

    server.wait_for_log("it has not answered");
    assert_eq!(workers(&server.address, 2).intersection(&before).count(), 1);
    eventually("it is gone", || !is_alive(mold));
}
