//! A stop that is put off, so that others notice.

use crate::site::Site;
use crate::support::client::{Connection, get};
use crate::support::eventually;

#[test]
fn after_term_it_serves_until_the_delay_is_over() {
    let mut site = Site::start("shutdown-delay = '1s'");
    let all = site.processes();
    site.server.signal("TERM");
    site.server.wait_for_log("stopping");
    let status = site.status();
    assert_eq!((&status["state"], &status["workers_ready"]), (&"stopping".into(), &2.into()), "{status}");
    assert_eq!(get(site.address(), "/hello").status, 200);
    assert_eq!(site.server.wait().code(), Some(0));
    site.gone(&all);
}

#[test]
fn a_second_term_does_not_wait_for_the_delay() {
    let mut site = Site::start("shutdown-delay = '300s'");
    let all = site.processes();
    site.server.signal("TERM");
    site.server.wait_for_log("stopping");
    let mut kept = Connection::open(site.address());
    for _ in 0..3 {
        assert_eq!(kept.get("/hello").unwrap().status, 200);
        assert_eq!(get(site.address(), "/hello").status, 200);
    }
    // It replaces those that die meanwhile too.
    let victim = *site.serving().first().unwrap();
    crate::support::signal(victim, "KILL");
    eventually("it is replaced", || {
        let now = site.serving();
        now.len() == 2 && !now.contains(&victim)
    });
    site.refuses(&["reload", "--wait"], "the server is stopping");

    site.server.signal("TERM");

    assert_eq!(site.server.wait().code(), Some(0));
    site.gone(&all);
}

#[test]
fn stop_now_does_not_wait_for_the_delay() {
    let mut site = Site::start("shutdown-delay = '300s'");
    assert_eq!(site.order(&["stop"]), "stopping\n");
    assert_eq!(site.status()["state"], "stopping");
    assert_eq!(site.order(&["stop", "--now"]), "stopping now\n");
    assert_eq!(site.server.wait().code(), Some(0));
}
