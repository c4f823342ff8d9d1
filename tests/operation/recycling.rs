//! Workers that are replaced one by one.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::load::{Load, Style};
use crate::site::Site;
use crate::support::control::pids_in;
use crate::support::{eventually, is_alive, signal};

const ALL: [Style; 4] = [Style::Fresh, Style::Fresh, Style::Kept, Style::Kept];

fn serving(status: &Value) -> Vec<i32> {
    pids_in(status, &["ready", "recycling"])
}

#[test]
fn workers_that_are_old_are_replaced_and_there_are_never_fewer() {
    let site = Site::start("max-worker-lifetime = '1s'\nworkers = 2");
    let load = Load::start(site.address(), &ALL);
    let mut seen = BTreeSet::new();
    eventually("there were many", || {
        let status = site.status();
        assert!(serving(&status).len() >= 2, "{status}");
        seen.extend(serving(&status));
        seen.len() >= 8
    });
    load.goes_on();
    assert_eq!(load.stop(), [""; 0]);
    assert_eq!(site.server.count_log("died") + site.server.count_log("killed"), 0);
    eventually("it says why", || site.server.count_log("it has reached --max-worker-lifetime") >= 6);
    assert_eq!(site.status()["restarts"], 0);
}

#[test]
fn workers_that_have_grown_too_large_are_replaced_one_at_a_time() {
    // All of them are, from the start.
    let site = Site::start("worker-max-memory = '1MiB'\nworkers = 3");
    let load = Load::start(site.address(), &ALL);
    let first = serving(&site.status());
    eventually("all of them have been replaced", || {
        let status = site.status();
        let (serving, coming) =
            (serving(&status), pids_in_states(&status, &["waiting", "forking", "booting"]));
        assert!(serving.len() >= 3 && serving.len() + coming <= 4, "{status}");
        !first.iter().any(|pid| serving.contains(pid))
    });
    load.goes_on();
    assert_eq!(load.stop(), [""; 0]);
    let line = site.server.log().into_iter().find(|line| line.contains("--worker-max-memory")).unwrap();
    assert!(line.contains("of memory, --worker-max-memory is 1MiB"), "{line}");
}

/// How many there are in these states, where they may have no process yet.
fn pids_in_states(status: &Value, states: &[&str]) -> usize {
    let workers = status["workers"].as_array().unwrap().iter();
    workers.filter(|worker| states.contains(&worker["state"].as_str().unwrap())).count()
}

#[test]
fn workers_below_their_limit_stay() {
    let mut site = Site::start("worker-max-memory = '4GiB'\nmax-worker-lifetime = '1h'");
    let before = site.serving();
    // One is weighed against the others here, or not at all.
    site.order(&["recycle", &before.first().unwrap().to_string()]);
    eventually("that one is replaced", || {
        let now = site.serving();
        now.len() == 2 && !now.contains(before.first().unwrap())
    });
    assert!(site.serving().contains(before.last().unwrap()));
    site.server.wait_for_log("is replaced");
    assert_eq!(site.server.count_log("is replaced"), 1);
}

#[test]
fn a_worker_that_somebody_else_tells_to_end_serves_until_another_one_does() {
    let site = Site::start("workers = 1");
    let load = Load::start(site.address(), &ALL);
    let worker = *site.serving().first().unwrap();

    signal(worker, "TERM");

    eventually("another one serves", || !site.serving().contains(&worker) && site.serving().len() == 1);
    eventually("that one is gone", || !is_alive(worker));
    load.goes_on();
    assert_eq!(load.stop(), [""; 0]);
    assert_eq!(site.status()["restarts"], 0);
}
