//! Reloads that are waited for, one inside another.

use crate::load::{Load, Style};
use crate::site::Site;
use crate::support::control::pids_in;
use crate::support::{eventually, finish};

#[test]
fn a_reload_worker_by_worker_loses_nothing_and_never_serves_with_fewer() {
    let site = Site::start("workers = 4\nreload-surge = '1'");
    let load = Load::start(site.address(), &[Style::Fresh, Style::Fresh, Style::Kept, Style::Kept]);
    for greeting in ["two", "three"] {
        load.goes_on();
        let before = site.processes();
        site.configure(greeting, "workers = 4\nreload-surge = '1'");
        let mut asker = site.asker(&["reload", "--wait"]);
        let old: Vec<_> = before.into_iter().filter(|pid| *pid != site.server.pid()).collect();
        eventually("it is over", || {
            let status = site.status();
            assert!(pids_in(&status, &["ready", "recycling"]).len() >= 4, "{status}");
            // The fifth is on its way while a fourth of the old ones still serves.
            let staying = pids_in(&status, &["ready", "recycling"]).len();
            assert!(staying <= 5, "{status}");
            !old.iter().any(|pid| crate::support::is_alive(*pid))
        });
        assert_eq!(asker.wait().code(), Some(0), "{:?}", asker.log());
        assert_eq!(site.greeting(), greeting);
    }
    load.goes_on();
    assert_eq!(load.stop(), [""; 0]);
}

#[test]
fn who_waits_for_a_reload_within_another_hears_of_both_ends() {
    let site = Site::start("");
    let held = site.hold();
    site.configure("two", &held.option());
    let first = site.asker(&["reload", "--wait"]);
    eventually("it reloads", || site.status()["state"] == "reloading");
    site.configure("three", "");
    let second = site.asker(&["reload", "--wait"]);
    eventually("another is to follow", || site.server.count_log("another follows it") == 1);
    let third = site.asker(&["reload", "--wait"]);
    eventually("and another in its place", || site.server.count_log("another follows it") == 2);

    held.release();

    let told = finish(first);
    assert!(told.stdout.contains("generation 2 serves"), "{} {}", told.stdout, told.stderr);
    for asker in [second, third] {
        let told = finish(asker);
        assert!(told.stdout.contains("generation 3 serves"), "{} {}", told.stdout, told.stderr);
    }
    site.comes_to_greet("three");
}

#[test]
fn who_waits_behind_a_reload_that_fails_hears_of_their_own() {
    let site = Site::start("");
    let held = site.hold();
    site.spoil_component();
    site.configure("two", &held.option());
    let first = site.asker(&["reload", "--wait"]);
    eventually("it reloads", || site.status()["state"] == "reloading");
    let second = site.asker(&["reload", "--wait"]);
    eventually("another is to follow", || site.server.count_log("another follows it") == 1);
    site.install("probe");
    held.release();
    // What each finds depends on when it read the file; each is told.
    for asker in [first, second] {
        let told = finish(asker);
        assert!(told.code.is_some_and(|code| code < 2), "{}", told.stderr);
    }
    site.comes_to_greet("two");
}

#[test]
fn who_waits_for_a_reload_hears_that_the_server_stops() {
    let mut site = Site::start("");
    let held = site.hold();
    site.configure("two", &held.option());
    let first = site.asker(&["reload", "--wait"]);
    eventually("it reloads", || site.status()["state"] == "reloading");
    let second = site.asker(&["reload", "--wait"]);
    eventually("another is to follow", || site.server.count_log("another follows it") == 1);
    let all = site.processes();

    site.server.signal("TERM");

    for asker in [first, second] {
        let told = finish(asker);
        assert_eq!(told.code, Some(1), "{}", told.stdout);
        assert!(told.stderr.contains("the server is stopping"), "{}", told.stderr);
    }
    assert_eq!(site.server.wait().code(), Some(0));
    site.gone(&all);
}

#[test]
fn a_component_replaced_while_it_is_compiled_is_served_as_it_is_then() {
    let mut site = Site::start("");
    let cache = site.path("empty");
    site.configure("two", &format!("cache-dir = {cache:?}"));
    let asker = site.asker(&["reload", "--wait"]);
    site.server.wait_for_log("compiling");
    site.install("hello");

    let told = finish(asker);

    assert_eq!(told.code, Some(0), "{}", told.stderr);
    site.comes_to_say_hello();
}

#[test]
fn a_component_removed_while_it_is_compiled_is_told_of() {
    let mut site = Site::start("");
    let cache = site.path("empty");
    site.configure("two", &format!("cache-dir = {cache:?}"));
    let asker = site.asker(&["reload", "--wait"]);
    site.server.wait_for_log("compiling");
    std::fs::remove_file(site.path("app.wasm")).unwrap();
    let told = finish(asker);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(told.stderr.contains("app.wasm"), "{}", told.stderr);
    assert_eq!(site.greeting(), "one");
}

#[test]
fn reloads_asked_for_in_one_breath_follow_each_other() {
    let mut site = Site::start("");
    for _ in 0..20 {
        // Both are there when the master looks, more often than not.
        site.server.signal("HUP");
        site.server.signal("HUP");
    }
    site.order(&["reload", "--wait"]);
    site.server.wait_for_log("reloading");
    assert_eq!(site.server.count_log(" ERROR "), 0, "{:?}", site.server.log());
}
