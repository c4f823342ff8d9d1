//! `-w MIN..MAX`: as many workers as the load asks for.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::load::{Load, Style};
use crate::site::Site;
use crate::support::client::Connection;
use crate::support::{PATIENCE, eventually};

#[test]
fn it_starts_with_the_fewest_and_the_operator_may_choose() {
    let mut site = Site::start("workers = '1..3'");
    site.server.wait_for_log("ready: generation 1, 1 worker, ");
    let status = site.status();
    assert_eq!((&status["workers_wanted"], &status["scaling"]), (&1.into(), &serde_json::json!([1, 3])));

    site.server.signal("TTIN");
    eventually("there are two", || site.serving().len() == 2);
    site.order(&["scale", "3"]);
    eventually("there are three", || site.serving().len() == 3);
    site.server.signal("TTOU");
    eventually("there are two", || site.serving().len() == 2);
    assert!(site.order(&["status"]).contains("workers 2/2 (1..3)"));
}

/// Has clients keep the guest busy until `enough`, or for as long as that takes;
/// whether it came to that.
fn spin_until(site: &Site, mut enough: impl FnMut() -> bool) -> bool {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let mut connection = Connection::open(site.address());
                    assert_eq!(connection.get("/spin?ms=50").unwrap().status, 200);
                }
            });
        }
        let deadline = Instant::now() + PATIENCE;
        let mut is_enough = false;
        while !is_enough && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            is_enough = enough();
        }
        over.store(true, SeqCst);
        is_enough
    })
}

#[test]
fn when_the_guest_keeps_a_worker_busy_there_come_more_up_to_the_most() {
    let site = Site::start("workers = '1..2'");
    if !spin_until(&site, || site.serving().len() == 2) {
        let worker = site.status()["workers"][0].clone();
        let [used, age] = ["cpu_ms", "age_ms"].map(|field| worker[field].as_u64().unwrap());
        assert!(used * 10 < age * 9, "busy, and alone: {worker}");
        eprintln!(
            "skipped, this machine is too busy: when_the_guest_keeps_a_worker_busy_there_come_more_up_to_the_most"
        );
        return;
    }
    let line = site.server.log().into_iter().find(|line| line.contains("2 workers wanted: ")).unwrap();
    assert!(line.contains("% busy"), "{line}");
    assert_eq!(site.status()["workers_wanted"], 2);
}

#[test]
fn an_empty_range_is_a_mistake() {
    let place = crate::site::Place::new();
    place.configure("one", "workers = '3..1'");
    let done = crate::support::run(place.command());
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("write the smaller number first"), "{}", done.stderr);
}

#[test]
fn workers_that_are_not_wanted_before_they_were_there_lose_nobody() {
    let site = Site::start("workers = 2");
    let load = Load::start(site.address(), &[Style::Fresh, Style::Fresh, Style::Kept]);
    for round in 0..30 {
        site.order(&["scale", "12"]);
        if round % 3 == 0 {
            site.server.signal("HUP");
        }
        site.order(&["scale", "2"]);
    }
    load.goes_on();
    assert_eq!(load.stop(), [""; 0]);
    eventually("two are left", || site.status()["workers"].as_array().unwrap().len() == 2);
}
