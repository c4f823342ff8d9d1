use super::*;
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

const OWN: u32 = 4711;

/// A manager, where it listens, and what keeps its directory.
struct Listening {
    socket: UnixDatagram,
    at: OsString,
    _dir: tempfile::TempDir,
}

fn listening() -> Listening {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("notify");
    Listening { socket: UnixDatagram::bind(&at).unwrap(), at: at.into(), _dir: dir }
}

impl Listening {
    fn notifier(&self) -> Notifier {
        let (notifier, wrong) = Notifier::new(Some(&self.at), None, None, OWN);
        assert!(notifier.is_on() && wrong.is_empty(), "{wrong:?}");
        notifier
    }

    /// All that is there, each datagram on its own.
    fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut room = [0; 4096];
        let next =
            || self.socket.recv(&mut room).ok().map(|len| String::from_utf8_lossy(&room[..len]).into());
        std::iter::from_fn(next).collect()
    }
}

fn off(socket: &str) -> Vec<String> {
    let (mut notifier, wrong) = Notifier::new(Some(socket.as_ref()), Some("2000000".as_ref()), None, OWN);
    assert!(!notifier.is_on());
    assert_eq!(notifier.watchdog_interval(), None);
    notifier.ready("nobody hears").unwrap();
    notifier.watchdog().unwrap();
    assert!(notifier.owed.is_empty());
    wrong
}

#[test]
fn each_message_is_one_datagram() {
    let manager = listening();
    let mut notifier = manager.notifier();
    notifier.ready("4 workers").unwrap();
    notifier.status("3 workers").unwrap();
    notifier.watchdog().unwrap();
    notifier.main_pid(99).unwrap();
    notifier.stopping().unwrap();
    assert_eq!(
        manager.heard(),
        ["READY=1\nSTATUS=4 workers", "STATUS=3 workers", "WATCHDOG=1", "MAINPID=99\nREADY=1", "STOPPING=1"]
    );
}

#[test]
fn a_reload_is_dated_between_before_and_after() {
    let manager = listening();
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros();
    let before = now();
    manager.notifier().reloading().unwrap();
    let after = now();
    let heard = manager.heard().concat();
    let usec: u128 = heard.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(before <= usec && usec <= after);
}

#[test]
fn an_abstract_address_works_as_well() {
    let name = format!("wasgun test {}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let (mut notifier, wrong) = Notifier::new(Some(format!("@{name}").as_ref()), None, None, OWN);
    assert!(wrong.is_empty());
    notifier.stopping().unwrap();
    let mut room = [0; 64];
    let length = socket.recv(&mut room).unwrap();
    assert_eq!(&room[..length], b"STOPPING=1");
}

#[test]
fn the_socket_is_not_inherited_and_never_waits() {
    let manager = listening();
    let notifier = manager.notifier();
    let fd = notifier.manager.as_ref().unwrap().socket.as_fd();
    let flags = fcntl(fd, FcntlArg::F_GETFD).unwrap();
    assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    assert!(OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK));
}

#[test]
fn a_status_stays_on_its_line_and_in_its_datagram() {
    let manager = listening();
    let mut notifier = manager.notifier();
    notifier.status("one\ntwo\r\nWATCHDOG=trigger\0!\n").unwrap();
    assert_eq!(manager.heard(), ["STATUS=one two  WATCHDOG=trigger !"]);
    notifier.ready(&"🦀".repeat(5000)).unwrap();
    let heard = manager.heard();
    assert_eq!(heard, [format!("READY=1\nSTATUS={}", "🦀".repeat(512))]);
    assert!(heard[0].len() < 4096);
}

#[test]
fn a_manager_that_does_not_read_costs_signs_of_life_and_no_state() {
    let manager = listening();
    let mut notifier = manager.notifier();
    let full = (0..100_000).find_map(|_| notifier.watchdog().err()).unwrap();
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    notifier.reloading().unwrap();
    notifier.ready("reloaded").unwrap();
    assert!(notifier.status("lost").is_err() && notifier.watchdog().is_err());
    assert!(manager.heard().iter().all(|message| message == "WATCHDOG=1"));
    notifier.catch_up().unwrap();
    notifier.status("after it").unwrap();
    let heard = manager.heard();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[0].starts_with("RELOADING=1\n"));
    assert_eq!(heard[1..], ["READY=1\nSTATUS=reloaded", "STATUS=after it"]);
}

#[test]
fn what_is_kept_is_bounded_and_the_last_counts() {
    let manager = listening();
    let mut notifier = manager.notifier();
    while notifier.watchdog().is_ok() {}
    for round in 0..1000 {
        notifier.ready(&round.to_string()).unwrap();
    }
    drop(manager.heard());
    notifier.catch_up().unwrap();
    let mut heard = Vec::new();
    while !notifier.owed.is_empty() {
        heard.extend(manager.heard());
        notifier.catch_up().unwrap();
    }
    heard.extend(manager.heard());
    assert_eq!((heard.len(), heard.last().unwrap().as_str()), (MOST_OWED, "READY=1\nSTATUS=999"));
}

#[test]
fn a_manager_that_is_gone_is_an_error_and_one_that_comes_back_is_heard() {
    let manager = listening();
    let mut notifier = manager.notifier();
    fs::remove_file(&manager.at).unwrap();
    assert_eq!(notifier.ready("").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(notifier.owed.is_empty());
    let again = UnixDatagram::bind(&manager.at).unwrap();
    notifier.watchdog().unwrap();
    assert_eq!(again.recv(&mut [0; 64]).unwrap(), "WATCHDOG=1".len());
    drop((again, manager.socket));
    assert_eq!(notifier.watchdog().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn without_a_usable_socket_it_is_off() {
    assert!(Notifier::new(None, None, None, OWN).1.is_empty());
    assert!(off("").is_empty());
    let long = format!("/{}", "x".repeat(200));
    for bad in ["notify", "./notify", "@", "vsock:2:9999", &long, &long.replace('/', "@")] {
        let wrong = off(bad);
        assert!(wrong.len() == 1 && wrong[0].starts_with(&format!("NOTIFY_SOCKET={bad}: ")), "{wrong:?}");
    }
}

#[test]
fn the_watchdog_is_fed_twice_in_its_time_by_the_process_it_means() {
    let manager = listening();
    let read = |usec: Option<&str>, pid: Option<&str>| {
        let (usec, pid) = (usec.map(OsStr::new), pid.map(OsStr::new));
        let (notifier, wrong) = Notifier::new(Some(&manager.at), usec, pid, OWN);
        assert!(notifier.is_on());
        (notifier.watchdog_interval(), wrong.concat())
    };
    let second = Some(Duration::from_secs(1));
    assert_eq!(read(Some("2000000"), None), (second, String::new()));
    assert_eq!(read(Some("2000000"), Some("4711")), (second, String::new()));
    assert_eq!(read(Some("2000000"), Some("1")), (None, String::new()));
    assert_eq!(read(Some("soon"), Some("1")), (None, String::new()));
    assert_eq!(read(None, Some("4711")), (None, String::new()));
    assert_eq!(read(None, None), (None, String::new()));
    for bad in ["", "0", "-1", "+5", "soon", "18446744073709551615", "18446744073709551616"] {
        let (interval, wrong) = read(Some(bad), None);
        assert!(interval.is_none() && wrong.starts_with(&format!("WATCHDOG_USEC={bad} ")), "{wrong}");
    }
    let (interval, wrong) = read(Some("2000000"), Some("me"));
    assert!(interval.is_none() && wrong.starts_with("WATCHDOG_PID=me "), "{wrong}");
}
