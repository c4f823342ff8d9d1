//! What confines the processes of a server, seen from outside and from within.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use wasgun::config::SandboxMode;
use wasgun::sandbox::{self, Connections, Grants};

use super::serve;
use super::support::client::get;
use super::support::guests::slow_component;
use super::support::processes::{status, workers};
use super::support::{self, Server, eventually, run, wasgun};

#[test]
fn workers_have_no_rights_left() {
    let mut server = serve("probe", &["-w", "2", "--sandbox", "required"]);
    server.wait_for_log(
        "sandbox: no capabilities, no new privileges, files and ports by Landlock, system calls",
    );
    for pid in workers(&server.address, 2) {
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(status(pid, set).unwrap(), "0000000000000000", "{set}");
        }
        assert_eq!(["NoNewPrivs", "Seccomp"].map(|name| status(pid, name).unwrap()), ["1", "2"]);
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
}

#[test]
fn without_a_sandbox_they_keep_them_and_the_log_says_so() {
    let mut server = serve("probe", &["-w", "1", "--sandbox", "off"]);
    server.wait_for_log("sandbox: off");
    for pid in workers(&server.address, 1) {
        assert_eq!(["NoNewPrivs", "Seccomp"].map(|name| status(pid, name).unwrap()), ["0", "0"]);
    }
}

/// Runs `work` where system calls of these numbers are not there, as on an older kernel:
/// what it starts is as lacking.
fn lacking<T: Send>(calls: &[i64], work: impl FnOnce() -> T + Send) -> T {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let machine = std::env::consts::ARCH.try_into().unwrap();
    let lack = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, lack, machine).unwrap();
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            let program: BpfProgram = filter.try_into().unwrap();
            apply_filter(&program).unwrap();
            work()
        });
        there.join().unwrap()
    })
}

#[test]
fn a_kernel_that_lacks_something_is_named() {
    lacking(&[libc::SYS_landlock_create_ruleset], || {
        let mut command = wasgun();
        command.args(["--demo", "-b", "127.0.0.1:0", "--sandbox", "required"]);
        let refused = run(command);
        assert_eq!(refused.code, Some(1));
        let text = "wasgun: --sandbox=required: this kernel lacks Landlock (of Linux 6.7 or later";
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
        assert!(!refused.stderr.contains("listening"), "{}", refused.stderr);

        let mut server = Server::start(&["--demo", "-w", "1"]);
        server.wait_for_log("; this kernel lacks Landlock");
        assert_eq!(get(&server.address, "/").status, 200);
    });
}

#[test]
fn a_compiler_is_confined_too() {
    let dir = tempfile::tempdir().unwrap();
    let slow = slow_component(dir.path());
    let mut command = wasgun();
    command.arg(&slow).args(["-b", "127.0.0.1:0", "-w", "1", "--sandbox", "required"]);
    let mut server = Server::launch(command);
    server.wait_for_log("compiling");
    eventually("it has no rights left", || {
        let compilers = server.children().into_iter().flat_map(support::children_of);
        compilers.into_iter().any(|pid| status(pid, "Seccomp").as_deref() == Some("2"))
    });
}

#[test]
fn the_access_log_can_be_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let (log, old) = (dir.path().join("log"), dir.path().join("old"));
    let server = serve("probe", &["-w", "1", "--sandbox", "required", "--access-log", log.to_str().unwrap()]);
    get(&server.address, "/hello?1");
    eventually("it is logged", || fs::read_to_string(&log).is_ok_and(|text| text.contains("/hello?1")));
    fs::rename(&log, &old).unwrap();
    server.signal("USR1");
    eventually("it is opened again", || log.exists());
    get(&server.address, "/hello?2");
    eventually("it is logged", || fs::read_to_string(&log).is_ok_and(|text| text.contains("/hello?2")));
}

/// Confines one thread, which is all that a test needs, and looks at what it may do.
fn confined(grants: Grants, look: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let there = scope.spawn(move || {
            sandbox::confine(SandboxMode::Required, &grants).unwrap();
            look();
        });
        there.join().unwrap();
    });
}

fn is_refused<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

#[test]
fn a_confined_process_has_the_files_it_was_granted_and_no_other() {
    let base = tempfile::tempdir().unwrap();
    let dir = |name: &str| {
        let dir = base.path().join(name);
        fs::create_dir(&dir).unwrap();
        support::file(&dir, "file", b"content");
        dir
    };
    let (read, write, other) = (dir("read"), dir("write"), dir("other"));
    let log = support::file(base.path(), "log", b"");
    let grants = Grants {
        read: vec![read.clone()],
        write: vec![write.clone()],
        append: vec![log.clone()],
        ..Grants::default()
    };
    confined(grants, || {
        assert_eq!(fs::read(read.join("file")).unwrap(), b"content");
        assert!(
            is_refused(fs::write(read.join("file"), "x")) && is_refused(fs::write(read.join("new"), "x"))
        );
        fs::write(write.join("new"), "x").unwrap();
        fs::rename(write.join("new"), write.join("moved")).unwrap();
        fs::remove_file(write.join("moved")).unwrap();
        File::options().append(true).open(&log).unwrap().write_all(b"x").unwrap();
        assert!(is_refused(File::open(&log)), "it is to write to, not to read");
        for path in [&other.join("file"), Path::new("/etc/passwd"), Path::new("/proc/self/environ")] {
            assert!(is_refused(File::open(path)), "{}", path.display());
        }
        assert!(is_refused(fs::read_dir("/")) && is_refused(fs::rename(write.join("file"), other.join("x"))));
    });
}

#[test]
fn a_confined_process_connects_to_where_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, other) = (listener.local_addr().unwrap(), other.local_addr().unwrap());
    confined(Grants::default(), || assert!(is_refused(TcpStream::connect(address))));
    let ports = Connections::Ports(vec![address.port()]);
    confined(Grants { connections: ports, ..Grants::default() }, || {
        TcpStream::connect(address).unwrap();
        assert!(is_refused(TcpStream::connect(other)));
        assert!(is_refused(TcpListener::bind("127.0.0.1:0")), "nobody else may take its place");
    });
    confined(Grants { connections: Connections::Anywhere, ..Grants::default() }, || {
        TcpStream::connect(address).unwrap();
        TcpStream::connect(other).unwrap();
    });
}

/// What a process dies of that tries one of these, by the number of its signal.
fn end_of_victim(deed: &str) -> Option<i32> {
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["sandbox::a_victim", "--exact", "--ignored", "--test-threads=1"]).env("DEED", deed);
    victim.output().unwrap().status.signal()
}

#[test]
#[ignore = "run by another test, in a process that it ends"]
fn a_victim() {
    let deed = std::env::var("DEED").expect("run by another test");
    let pid = nix::unistd::Pid::this();
    confined(Grants::default(), || match &*deed {
        "nothing" => {}
        "program" => drop(Command::new("/bin/true").status()),
        "signal" => drop(nix::sys::signal::kill(pid, None)),
        "session" => drop(nix::unistd::setsid()),
        "abort" => std::process::abort(),
        "root" => drop(nix::unistd::chroot("/")),
        "limit" => drop(nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 9, 9)),
        other => panic!("{other}?"),
    });
    println!("it lives");
}

#[test]
fn a_confined_process_that_tries_what_it_never_needs_is_ended() {
    assert_eq!(end_of_victim("nothing"), None);
    assert_eq!(end_of_victim("abort"), Some(libc::SIGABRT), "it may signal itself");
    for deed in ["program", "signal", "session", "root", "limit"] {
        assert_eq!(end_of_victim(deed), Some(libc::SIGSYS), "{deed}");
    }
}

/// The test program is in whatever group the server would have.
#[test]
fn limits_by_cgroup_are_refused_where_the_group_is_not_the_servers_own() {
    for option in [["--cgroup-memory", "64MiB"], ["--cgroup-cpus", "0.5"]] {
        let mut command = wasgun();
        command.args(["--demo", "-b", "127.0.0.1:0"]).args(option);
        let refused = run(command);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        let why = format!("{} takes a cgroup (v2)", option[0]);
        assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    }
    let mut server = serve("probe", &["-w", "1"]);
    server.wait_for_log("; no cgroups: ");
}
