//! The file that tells which process the master is.

use crate::site::{Place, Site};
use crate::support::{Server, file, run};

/// With a control socket of its own, which would be refused first.
const OPTIONS: &str = "pid = 'pid'\ncontrol-socket = 'none'";

fn place() -> Place {
    let place = Place::new();
    place.configure("one", OPTIONS);
    place
}

fn told(place: &Place) -> String {
    std::fs::read_to_string(place.path("pid")).unwrap()
}

#[test]
fn it_is_there_from_the_start_to_the_end() {
    let mut site = Site::start(OPTIONS);
    assert_eq!(told(&site), format!("{}\n", site.server.pid()));
    site.server.signal("TERM");
    assert_eq!(site.server.wait().code(), Some(0));
    assert!(!site.path("pid").exists());
}

#[test]
fn a_file_that_nobody_holds_is_replaced_whatever_number_is_in_it() {
    let own = std::process::id().to_string();
    for left in [own.as_str(), "1\n", "999999999\n", "", "0"] {
        let place = place();
        file(&place.path(""), "pid", left.as_bytes());
        let server = Server::spawn(place.command());
        assert_eq!(told(&place), format!("{}\n", server.pid()), "{left:?}");
    }
}

#[test]
fn the_file_of_a_killed_server_is_replaced() {
    let mut site = Site::start(OPTIONS);
    site.server.signal("KILL");
    site.server.wait();
    assert!(site.path("pid").exists());
    site.server = Server::spawn(site.command());
    assert_eq!(told(&site), format!("{}\n", site.server.pid()));
}

#[test]
fn a_second_server_is_told_of_the_first() {
    let site = Site::start(OPTIONS);
    let done = run(site.command());
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let expected = format!("pid: it is held by process {}, which is running", site.server.pid());
    assert!(done.stderr.contains(&expected), "{}", done.stderr);
    assert_eq!(told(&site), format!("{}\n", site.server.pid()));
}

#[test]
fn a_server_that_does_not_start_leaves_none() {
    let place = place();
    place.spoil_component();
    assert_eq!(run(place.command()).code, Some(1));
    assert!(!place.path("pid").exists());
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let place = place();
    let precious = file(&place.path(""), "pid", b"precious");
    assert_ne!(run(place.command()).code, Some(0));
    assert_eq!(std::fs::read(precious).unwrap(), b"precious");
}

#[test]
fn a_link_is_refused_and_not_followed() {
    for content in [&b""[..], b"4711\n"] {
        let place = place();
        let other = file(&place.path(""), "other", content);
        std::os::unix::fs::symlink(&other, place.path("pid")).unwrap();
        let done = run(place.command());
        assert_ne!(done.code, Some(0));
        assert!(done.stderr.contains("pid"), "{}", done.stderr);
        assert_eq!(std::fs::read(other).unwrap(), content);
        assert!(crate::site::is_there(&place.path("pid")));
    }
    let place = place();
    std::os::unix::fs::symlink(place.path("nowhere"), place.path("pid")).unwrap();
    assert_ne!(run(place.command()).code, Some(0));
    assert!(!place.path("nowhere").exists());
}

#[test]
fn a_file_that_somebody_else_wrote_meanwhile_is_left_to_them() {
    let mut site = Site::start(OPTIONS);
    file(&site.path(""), "pid", b"4711\n");
    site.server.signal("TERM");
    assert_eq!(site.server.wait().code(), Some(0));
    assert_eq!(told(&site), "4711\n");
}

#[test]
fn it_is_held_by_every_master_in_turn() {
    let site = Site::start("pid = 'pid'");
    for _ in 0..2 {
        let master = site.upgrade();
        let done = run(site.command());
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains(&format!("held by process {master}")), "{}", done.stderr);
        assert_eq!(told(&site), format!("{master}\n"));
    }
}
