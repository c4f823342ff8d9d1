//! A new master in the place of the old one.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use crate::load::{Load, Style};
use crate::site::Site;
use crate::support::client::{Connection, get};
use crate::support::control::pids_in;
use crate::support::processes::{begin, release, workers};
use crate::support::{eventually, is_alive, signal};

#[test]
fn usr2_puts_a_new_master_at_the_same_sockets() {
    let mut site = Site::start("bind = ['127.0.0.1:0', 'unix:socket']\npid = 'pid'");
    let (old, processes) = (site.server.pid(), site.processes());
    let socket = site.path("socket");
    let inode = || socket.metadata().unwrap().ino();
    let before = inode();
    let mut held = Connection::open(site.address());
    begin(&mut held, "/env");
    site.install_program();

    site.server.signal("USR2");
    site.server.wait_for_log("serves; this one finishes what it has");
    eventually("the new one answers", || site.master() != old);

    let new = site.master();
    assert_eq!(std::fs::read_to_string(site.path("pid")).unwrap(), format!("{new}\n"));
    assert!(is_alive(old));
    // Asked of the old one, and answered by it.
    release(&mut held);
    let answer = held.read().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    site.gone(&processes);
    assert_eq!(inode(), before);
    assert!(UnixStream::connect(site.path("socket")).is_ok());
    let ours = workers(site.address(), 2);
    assert!(!ours.iter().any(|pid| processes.contains(pid)), "{ours:?}");
    assert_eq!(site.serving(), ours);
    assert_eq!(site.master(), new);
    assert!(site.path("pid").exists() && site.socket().exists());
}

#[test]
fn upgrades_under_load_fail_no_request_and_count_each_once() {
    let site = Site::start("");
    let load = Load::start(site.address(), &[Style::Fresh, Style::Fresh, Style::Kept, Style::Kept]);
    let mut counted = 0;
    for generation in [2, 3] {
        load.goes_on();
        let (master, old) = (site.master(), site.processes());
        let mut asker = site.asker(&["upgrade", "--wait"]);
        eventually("the upgrade is over", || {
            let status = site.status();
            let now = status["requests"].as_u64().unwrap();
            assert!(now >= counted, "{now} after {counted}: {status}");
            counted = now;
            status["pid"] != master && status["state"] == "ready" && !old.iter().any(|pid| is_alive(*pid))
        });
        assert_eq!(asker.wait().code(), Some(0), "{:?}", asker.log());
        assert_eq!(site.status()["generation"], generation);
        load.goes_on();
    }
    assert_eq!(load.stop(), [""; 0]);
    assert_eq!(site.server.count_log("killed") + site.server.count_log(" ERROR "), 0);
}

#[test]
fn requests_are_counted_on_over_upgrades() {
    let site = Site::start("");
    for count in [5, 12, 19] {
        while site.status()["requests"] != count {
            assert_eq!(get(site.address(), "/hello").status, 200);
        }
        site.upgrade();
        assert_eq!(site.status()["requests"], count);
    }
}

#[test]
fn the_new_master_goes_on_where_the_old_one_was() {
    let mut site = Site::start("");
    let old = site.master();
    site.order(&["scale", "3"]);
    workers(site.address(), 3);
    site.configure("two", "");

    let text = site.order(&["upgrade", "--wait"]);

    let new = site.master();
    assert_eq!(text, format!("the new master serves: pid {new}\n"));
    eventually("the old one has ended", || !is_alive(old));
    assert_eq!(site.greeting(), "two");
    let status = site.status();
    assert_eq!((&status["generation"], &status["workers_ready"]), (&2.into(), &3.into()), "{status}");
    assert_eq!(pids_in(&status, &["ready"]).len(), 3);
    site.refuses(&["rollback"], "there is no generation before");

    // And all of it works there too.
    crate::support::signal(new, "HUP");
    site.server.wait_for_log("ready: generation 3, 3 workers");
    site.configure("three", "workers = 1");
    site.upgrade();
    assert_eq!((site.status()["workers_wanted"].clone(), site.greeting()), (1.into(), "three".to_owned()));
}

#[test]
fn an_upgraded_server_stops_and_leaves_nothing() {
    let site = Site::start("bind = ['127.0.0.1:0', 'unix:socket']\npid = 'pid'");
    site.upgrade();
    let all = site.processes();
    site.order(&["stop"]);
    site.gone(&all);
    for name in ["socket", "pid", "control"] {
        assert!(!site.path(name).exists(), "{name}");
    }
    assert!(std::net::TcpListener::bind(site.address()).is_ok());
}

#[test]
fn an_upgrade_takes_up_what_a_restart_would() {
    let site = Site::start("bind = ['127.0.0.1:0', 'unix:socket']\npid = 'pid'");
    site.configure("two", "bind = ['127.0.0.1:0', 'unix:another']\npid = 'other'\nworkers = 1");
    let new = site.upgrade();
    assert_eq!(get(site.address(), "/hello").status, 200);
    assert!(UnixStream::connect(site.path("another")).is_ok());
    assert_eq!(std::fs::read_to_string(site.path("other")).unwrap(), format!("{new}\n"));
    for name in ["socket", "pid"] {
        assert!(!site.path(name).exists(), "{name} is left");
    }
}

#[test]
fn the_control_socket_may_be_another_one_after_an_upgrade() {
    let site = Site::start("");
    let old = site.processes();
    site.configure("two", "control-socket = 'other'");
    site.order(&["upgrade", "--wait"]);
    site.gone(&old);
    assert_ne!(crate::support::control::status(&site.path("other"))["pid"], old[0]);
    assert!(!site.socket().exists());
}

#[test]
fn a_pid_file_behind_a_link_is_the_same_after_an_upgrade() {
    let mut site = Site::start_with("pid = 'link/pid'", |command| {
        let dir = command.get_current_dir().unwrap();
        std::fs::create_dir(dir.join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.join("link")).unwrap();
    });
    site.server.signal("HUP");
    site.server.wait_for_log("ready: generation 2");
    assert_eq!(site.server.count_log("--pid was changed"), 0);
    let new = site.upgrade();
    assert_eq!(std::fs::read_to_string(site.path("real/pid")).unwrap(), format!("{new}\n"));
}

#[test]
fn a_stop_of_the_old_master_leaves_it_the_time_that_it_has() {
    let mut site = Site::start("");
    let mut held = Connection::open(site.address());
    begin(&mut held, "/env");
    let old = site.server.pid();
    site.server.signal("USR2");
    site.server.wait_for_log("serves; this one finishes what it has");

    // As who was used to another server does.
    signal(old, "TERM");
    site.server.wait_for_log("requests in flight are finished");

    release(&mut held);
    assert_eq!(held.read().unwrap().status, 200);
    eventually("the old one has ended", || !is_alive(old));
    assert_eq!(get(site.address(), "/env").status, 200);
}

#[test]
fn a_link_to_the_program_leads_to_the_next_one() {
    let mut command = None;
    let mut site = Site::start_with("", |started| {
        let program = std::path::PathBuf::from(started.get_program());
        let link = program.with_file_name("link");
        std::os::unix::fs::symlink(&program, &link).unwrap();
        let mut linked = std::process::Command::new(&link);
        linked.args(started.get_args()).current_dir(started.get_current_dir().unwrap());
        for (name, value) in started.get_envs() {
            match value {
                Some(value) => linked.env(name, value),
                None => linked.env_remove(name),
            };
        }
        *started = linked;
        command = Some((program, link));
    });
    let (program, link) = command.unwrap();
    let next = program.with_file_name("next");
    std::fs::rename(&program, &next).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&next, &link).unwrap();

    site.upgrade();

    site.server.wait_for_log(&format!("starts from {}", link.display()));
}

#[test]
fn what_is_counted_survives_two_upgrades_before_the_first_master_has_ended() {
    let site = Site::start("");
    let mut held = Connection::open(site.address());
    begin(&mut held, "/env");
    for _ in 0..9 {
        get(site.address(), "/env");
    }
    for _ in 0..2 {
        assert_eq!(site.status()["requests"], 10);
        site.order(&["upgrade", "--wait"]);
    }
    assert_eq!(site.status()["requests"], 10);
    release(&mut held);
    assert_eq!(held.read().unwrap().status, 200);
    assert_eq!(site.status()["requests"], 10);
}
