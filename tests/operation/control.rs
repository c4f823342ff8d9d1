//! What `wasgun ctl` can ask of a server.

use std::collections::BTreeSet;

use crate::site::Site;
use crate::support::client::{Connection, get};
use crate::support::control::{pids_in, say};
use crate::support::processes::{begin, mold_beside, one_connection_each, release, workers};
use crate::support::{eventually, is_alive};

#[test]
fn status_tells_which_workers_there_are_and_counts_requests() {
    let site = Site::start("");
    let pids = workers(site.address(), 2);
    assert_eq!(site.serving(), pids);
    let before = site.status()["requests"].as_u64().unwrap();
    for _ in 0..7 {
        assert_eq!(get(site.address(), "/hello").status, 200);
    }
    let status = site.status();
    assert_eq!(status["requests"], before + 7);
    let each: Vec<_> = status["workers"].as_array().unwrap().iter().map(|row| &row["requests"]).collect();
    assert_eq!(each.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), before + 7, "{each:?}");
    assert_eq!(status["pid"], site.server.pid());
    for (field, value) in [("generation", 1), ("workers_wanted", 2), ("workers_ready", 2), ("restarts", 0)] {
        assert_eq!(status[field], value, "{field}: {status}");
    }
    assert_eq!(status["state"], "ready");
    assert_eq!(status["listeners"][0], format!("http://{}", site.address()));
}

#[test]
fn status_is_a_table_for_people_and_json_for_programs() {
    let site = Site::start("");
    let table = site.order(&["status"]);
    for pid in site.serving() {
        let row = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&pid.to_string()));
        assert!(row.is_some_and(|row| row.contains("ready")), "{table}");
    }
    assert!(table.contains("workers 2/2") && table.contains("generation 1"), "{table}");

    let json: serde_json::Value = serde_json::from_str(&site.order(&["status", "--json"])).unwrap();
    assert_eq!((&json["ok"], &json["status"]["pid"]), (&true.into(), &site.server.pid().into()));
}

#[test]
fn a_request_in_flight_is_seen_in_the_status() {
    let site = Site::start("");
    let mut connection = Connection::open(site.address());
    begin(&mut connection, "/hello");
    let status = site.status();
    assert_eq!((&status["in_flight"], &status["connections"]), (&1.into(), &1.into()), "{status}");
    release(&mut connection);
    assert_eq!(connection.read().unwrap().status, 200);
    eventually("it is none any more", || site.status()["in_flight"] == 0);
}

#[test]
fn scale_holds_until_the_configuration_says_another_number() {
    let mut site = Site::start("");
    assert_eq!(site.order(&["scale", "3"]), "3 workers wanted\n");
    workers(site.address(), 3);

    site.configure("two", "");
    site.server.signal("HUP");
    site.server.wait_for_log("ready: generation 2, 3 workers");

    site.configure("three", "workers = 1");
    site.server.signal("HUP");
    site.server.wait_for_log("ready: generation 3, 1 worker");
    eventually("one serves", || site.serving().len() == 1);
}

#[test]
fn a_number_of_workers_that_makes_no_sense_is_refused() {
    let site = Site::start("");
    for number in ["0", "100000", "many", "-1"] {
        assert_ne!(site.ctl(&["scale", number]).code, Some(0), "{number}");
    }
    for number in ["0", "100000"] {
        let reply = say(&site.socket(), &format!(r#"{{"command":"scale","workers":{number}}}"#));
        let error = reply["error"].as_str().unwrap();
        assert!(reply["ok"] == false && error.contains("write a number from 1"), "{reply}");
    }
    assert_eq!(site.status()["workers_wanted"], 2);
}

#[test]
fn reload_tells_what_came_of_it() {
    let mut site = Site::start("");
    assert_eq!(site.order(&["reload"]), "reloading\n");
    site.server.wait_for_log("ready: generation 2");

    site.configure("two", "workers = 1");
    let text = site.order(&["reload", "--wait"]);
    assert!(text.starts_with("generation 3 serves with 1 worker, after "), "{text}");
    site.comes_to_greet("two");

    let before = site.serving();
    site.configure("three", "workers = 'some'");
    site.refuses(&["reload", "--wait"], "workers");
    site.configure("three", "");
    site.spoil_component();
    site.refuses(&["reload", "--wait"], "it is not WebAssembly");
    assert_eq!((site.serving(), site.greeting()), (before, "two".to_owned()));
    let change = site.status()["last_change"].to_string();
    assert!(change.contains("given up") && change.contains("it is not WebAssembly"), "{change}");
}

#[test]
fn a_server_that_stops_says_so_to_who_wants_a_change() {
    let mut site = Site::start("");
    let mut busy = Connection::open(site.address());
    begin(&mut busy, "/hello");

    assert_eq!(site.order(&["stop"]), "stopping\n");

    for order in [&["reload", "--wait"][..], &["reload"], &["rollback"], &["upgrade", "--wait"]] {
        site.refuses(order, "the server is stopping");
    }
    site.refuses(&["scale", "3"], "starting or stopping");
    assert_eq!(site.status()["state"], "stopping");
    release(&mut busy);
    assert_eq!(busy.read().unwrap().status, 200);
    assert_eq!(site.server.wait().code(), Some(0));
    assert!(!site.socket().exists());
}

#[test]
fn stop_now_cuts_what_is_in_flight() {
    let mut site = Site::start("graceful-timeout = '300s'");
    let mut busy = Connection::open(site.address());
    begin(&mut busy, "/hello");
    assert_eq!(site.order(&["stop", "--now"]), "stopping now\n");
    assert_eq!(site.server.wait().code(), Some(0));
    assert!(busy.read().is_err());
}

#[test]
fn rollback_goes_back_to_what_served_and_forth_again_whatever_the_files_say() {
    let site = Site::start("");
    site.refuses(&["rollback", "--wait"], "there is no generation before this one");
    site.install("hello");
    site.configure("two", "workers = 1");
    site.order(&["reload", "--wait"]);
    site.comes_to_say_hello();
    site.spoil_component();
    site.write("workers = = 4");
    assert_eq!(site.status()["previous"], 1);

    let text = site.order(&["rollback", "--wait"]);
    assert!(text.starts_with("generation 3 serves with 2 workers"), "{text}");
    site.comes_to_greet("one");
    assert_eq!(site.status()["previous"], 2);

    site.order(&["rollback", "--wait"]);
    site.comes_to_say_hello();
    eventually("one serves", || site.serving().len() == 1);
    // Neither is a later reload of what the files say.
    site.refuses(&["reload", "--wait"], "wasgun.toml");
}

#[test]
fn recycle_replaces_one_worker_which_ends_when_the_next_one_serves() {
    let site = Site::start("");
    let mut each = one_connection_each(site.address(), 2);
    let (victim, mut busy) = each.pop_first().unwrap();
    let (other, _) = each.pop_first().unwrap();
    begin(&mut busy, "/hello");

    let text = site.order(&["recycle", &victim.to_string()]);

    assert_eq!(text, format!("worker {victim} is replaced\n"));
    let mut last = site.status();
    eventually("it ends", || {
        last = site.status();
        let serving = pids_in(&last, &["ready", "recycling"]);
        assert!(serving.len() >= 2, "{last}");
        pids_in(&last, &["draining"]) == [victim]
    });
    let serving: BTreeSet<_> = pids_in(&last, &["ready"]).into_iter().collect();
    assert!(serving.len() == 2 && serving.contains(&other) && !serving.contains(&victim), "{last}");
    release(&mut busy);
    assert_eq!(busy.read().unwrap().status, 200);
    eventually("it is gone", || !is_alive(victim));
    assert_eq!(site.serving(), serving);
    assert_eq!(site.server.count_log("died"), 0);
}

#[test]
fn only_workers_are_recycled() {
    let site = Site::start("");
    let before = site.serving();
    let mold = mold_beside(&site.server, &before);
    for pid in [1, mold, site.server.pid(), std::process::id() as i32] {
        site.refuses(&["recycle", &pid.to_string()], &format!("{pid} is no worker that serves"));
    }
    for pid in ["0", "-4", "x"] {
        assert_eq!(site.ctl(&["recycle", pid]).code, Some(2), "{pid}");
    }
    assert_eq!(site.serving(), before);
    assert_eq!(mold_beside(&site.server, &before), mold);
}

#[test]
fn the_level_of_the_log_is_another_one_until_the_next_reload() {
    let mut site = Site::start("");
    site.refuses(&["log-level", "loud"], "loud");
    site.order(&["log-level", "error"]);
    site.server.signal("HUP");
    site.server.wait_for_log("ready: generation 2");
    assert_eq!(site.server.count_log("reloading"), 0);
    site.server.signal("HUP");
    site.server.wait_for_log("ready: generation 3");
    assert_eq!(site.server.count_log("reloading"), 1);
}
