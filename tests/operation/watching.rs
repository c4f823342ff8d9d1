//! `--reload`: what changes is served.

use std::io::Write;

use crate::site::{Place, Site};
use crate::support::guests::guest;
use crate::support::{Server, eventually, file};

#[test]
fn a_component_that_has_changed_is_served() {
    let mut site = Site::start("reload = true");
    assert_eq!(site.greeting(), "one");

    site.install("hello");

    site.comes_to_say_hello();
    let line = site.server.wait_for_log("reloading, since ");
    assert!(line.contains("app.wasm has changed"), "{line}");
    let line = site.server.wait_for_log("ready: generation 2, 2 workers, after ");
    let took = line.rsplit_once("after ").unwrap().1.strip_suffix(" s").unwrap();
    assert!(took.parse::<f64>().is_ok(), "{line}");
    assert_eq!(site.server.count_log("reloading, since "), 1);
}

#[test]
fn a_broken_build_leaves_the_last_good_one_until_there_is_another() {
    let mut site = Site::start("reload = true");
    site.spoil_component();
    site.server.wait_for_log("the reload is given up");
    assert_eq!(site.greeting(), "one");

    std::fs::remove_file(site.path("app.wasm")).unwrap();
    assert_eq!(site.greeting(), "one");
    site.install("hello");

    site.comes_to_say_hello();
}

#[test]
fn a_component_written_in_pieces_is_served_when_it_is_whole() {
    let site = Site::start("reload = true");
    let whole = std::fs::read(guest("hello")).unwrap();
    let mut written = std::fs::File::create(site.path("app.wasm")).unwrap();
    let (first, second) = whole.split_at(whole.len() / 2);
    written.write_all(first).unwrap();
    assert_eq!(site.greeting(), "one");
    written.write_all(second).unwrap();
    site.comes_to_say_hello();
}

#[test]
fn what_is_named_beside_the_component_is_watched_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("inner")).unwrap();
    let site = Site::start(&format!("reload = true\nreload-extra = [{:?}, 'wasgun.toml']", dir.path()));

    file(&dir.path().join("inner"), "source", b"new");
    eventually("it reloads", || site.status()["generation"] == 2);

    site.configure("two", "reload = true\nreload-extra = ['wasgun.toml']");
    eventually("it reloads for the configuration", || site.status()["generation"] == 3);
    // That directory is named no more.
    file(dir.path(), "another", b"new");
    site.configure("three", "reload = true\nreload-extra = ['wasgun.toml']");
    site.comes_to_greet("three");
    eventually("all of it", || site.status()["state"] == "ready");
    assert_eq!(site.status()["generation"], 4);
}

#[test]
fn what_changes_while_the_server_starts_is_not_missed() {
    let place = Place::new();
    let held = place.hold();
    let options = format!("reload = true\nreload-extra = ['wasgun.toml']\n{}", held.option());
    place.configure("one", &options);
    let mut server = Server::launch(place.command());
    server.wait_for_log("listening on");
    server.wait_for_log("2 workers (");
    eventually("it has a mold", || !server.children().is_empty());
    place.configure("two", &options);
    held.release();
    server.wait_for_log("wasgun.toml has changed");
    server.wait_for_log("ready: generation 2");
}

#[test]
fn who_takes_over_watches_on() {
    let site = Site::start("reload = true");
    site.upgrade();
    site.install("hello");
    site.comes_to_say_hello();
}
