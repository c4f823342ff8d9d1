use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::ControlServer;

fn refusal(path: &Path) -> String {
    format!("{:#}", ControlServer::bind(path).expect_err("it is bound"))
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn nobody_but_the_owner_could_ever_connect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(dir.path()).unwrap().flatten() {
                    let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
                    assert_eq!(found.permissions().mode() & 0o7777, 0o600, "{:?}", entry.path());
                    seen += 1;
                }
            }
            seen
        });
        for _ in 0..500 {
            drop(ControlServer::bind(&path).unwrap());
        }
        done.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0);
    });
    assert_eq!(entries(dir.path()), 1);
}

#[test]
fn the_name_leads_to_a_socket_that_listens_at_all_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let mut servers = vec![ControlServer::bind(&path).unwrap()];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let fd =
                    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
                let reached = connect(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap());
                assert!(matches!(reached, Ok(()) | Err(Errno::EAGAIN)), "{reached:?}");
            }
        });
        for _ in 0..100 {
            servers.push(ControlServer::take_over(&path).unwrap());
        }
        done.store(true, Ordering::Relaxed);
        visitor.join().unwrap();
    });
    servers.iter().for_each(ControlServer::unlink);
    assert_eq!(entries(dir.path()), 0);
}

#[test]
fn a_stale_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let server = ControlServer::bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    assert_eq!(server.path(), path);
    server.unlink();
    assert_eq!(entries(dir.path()), 0);
}

#[test]
fn a_socket_that_somebody_answers_on_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let _server = ControlServer::bind(&path).unwrap();
    let refusal = refusal(&path);
    assert!(refusal.contains("another server listens there"), "{refusal}");
    assert!(refusal.contains(path.to_str().unwrap()), "{refusal}");
    UnixStream::connect(&path).unwrap();
    assert_eq!(entries(dir.path()), 1);
}

#[test]
fn what_is_no_stream_socket_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = dir.path().join("link");
    symlink("/nowhere", &link).unwrap();
    for path in [&file, &link, dir.path()] {
        assert!(refusal(path).contains("it exists and is not a socket"));
        assert!(ControlServer::take_over(path).is_err());
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let datagrams = dir.path().join("datagrams");
    let _bound = UnixDatagram::bind(&datagrams).unwrap();
    assert!(refusal(&datagrams).contains("cannot be probed"));
    assert_eq!(entries(dir.path()), 3);
}

#[test]
fn places_that_cannot_be_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(120));
    let said = refusal(&long);
    assert!(said.contains("107") && said.contains(long.to_str().unwrap()), "{said}");

    let deep = dir.path().join("d".repeat(104 - dir.path().as_os_str().len()));
    fs::create_dir(&deep).unwrap();
    let said = refusal(&deep.join("c"));
    assert!(said.contains("directory") && said.contains("107"), "{said}");

    let missing = refusal(&dir.path().join("missing/c"));
    assert!(missing.contains("missing/c") && missing.contains("No such file"), "{missing}");
    for path in ["", "/", "..", "a\0b"] {
        refusal(Path::new(path));
    }
    assert_eq!(entries(&deep), 0);
}

#[test]
fn the_longest_path_there_can_be_works() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x".repeat(107 - dir.path().as_os_str().len() - 1));
    let _server = ControlServer::bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn temporary_names_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    for number in 0..9 {
        fs::write(dir.path().join(format!(".wasgun-{number}")), "").unwrap();
    }
    ControlServer::bind(&path).unwrap().unlink();
    fs::write(dir.path().join(".wasgun-9"), "").unwrap();
    let refusal = refusal(&path);
    assert!(refusal.contains(".wasgun-0 to .wasgun-9"), "{refusal}");
    assert_eq!(entries(dir.path()), 10);
}

#[test]
fn a_server_leaves_the_file_of_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let old = ControlServer::bind(&path).unwrap();
    let new = ControlServer::take_over(&path).unwrap();
    old.unlink();
    drop(old);
    UnixStream::connect(&path).unwrap();
    new.unlink();
    assert!(!path.exists());
    new.unlink();
}
