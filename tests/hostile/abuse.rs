//! Each attack, a few times at once, beside a polite client of the same workers.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::attack::{Attack, OF_0_2, OF_0_3, Wanted};
use super::polite::{self, Seen};
use super::serve;
use super::support::client::{Connection, Response};
use super::support::{Server, eventually, file};
use super::table::{self, Row};

/// As many attackers at once.
const AT_ONCE: usize = 4;

/// Memory that workers may have more than at the start: what is kept for the next
/// request, and what the allocator does.
const SLACK: u64 = 6 << 20;

/// A server that answers everything; its port.
fn target() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It ends with the test program.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = stream;
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
                    // Long enough for requests at once to be on their way at once.
                    thread::sleep(Duration::from_millis(20));
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// Directories for the guest, with ways out of them.
fn directories(base: &Path) -> [String; 2] {
    let (open, fixed) = (base.join("open"), base.join("fixed"));
    for dir in [&open, &fixed] {
        std::fs::create_dir(dir).unwrap();
        std::fs::create_dir(dir.join("sub")).unwrap();
        file(dir, "inside", b"inside");
        for (to, link) in [
            ("../secret", "link"),
            ("..", "dirlink"),
            (base.join("secret").to_str().unwrap(), "absolute"),
            ("loop", "loop"),
        ] {
            std::os::unix::fs::symlink(to, dir.join(link)).unwrap();
        }
    }
    file(base, "secret", b"secret");
    [format!("{}::/open:rw", open.display()), format!("{}::/fixed", fixed.display())]
}

fn workers(server: &Server) -> BTreeSet<i32> {
    server.children().into_iter().collect()
}

/// Bytes of memory that the server's children have, those shared counted by share. Pages
/// of files are left out: whose they are changes with every other server on the machine.
fn memory(server: &Server) -> u64 {
    let of = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    server.children().into_iter().filter_map(of).sum::<u64>() << 10
}

fn send(server: &Server, attack: &Attack, path: &str) -> std::io::Result<Response> {
    let mut connection = Connection::open(&server.address);
    match attack.body {
        Some(body) => connection.post(path, body),
        None => connection.get(path),
    }
}

/// What an attacker got, for the table.
///
/// # Panics
/// It is not what was wanted.
fn judge(attack: &Attack, came: &std::io::Result<Response>) -> String {
    let ok = match (attack.wanted, came) {
        (Wanted::Status(status), Ok(response)) => response.status == status,
        (Wanted::Fails, Ok(response)) => response.status >= 500,
        (Wanted::Cut, Err(_)) => true,
        (Wanted::Says(text), Ok(response)) => response.text().contains(text),
        (Wanted::Never(text), Ok(response)) => response.status == 200 && !response.text().contains(text),
        (Wanted::Refused(status), Ok(response)) => {
            response.status == status || response.text().contains("refused")
        }
        _ => false,
    };
    assert!(ok, "{}: {:?} was wanted, not {came:?}", attack.what, attack.wanted);
    match came {
        Ok(_) if matches!(attack.wanted, Wanted::Fails) => "5xx".to_owned(),
        Err(_) => "a cut response".to_owned(),
        Ok(response) => match attack.wanted {
            Wanted::Says(text) => format!("{}: `{text}`", response.status),
            _ => response.status.to_string(),
        },
    }
}

/// What the polite client sees while `attack` goes on.
fn beside<T>(server: &Server, path: &str, attack: impl FnOnce() -> T) -> (T, Seen) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let polite = polite::ask(scope, &server.address, path, &stop);
        let came = attack();
        stop.store(true, Relaxed);
        (came, polite.join().unwrap())
    })
}

fn try_all(server: &Server, polite: &str, attacks: &[Attack], fill: impl Fn(&str) -> String) -> String {
    let (_, quiet) = beside(server, polite, || thread::sleep(Duration::from_secs(2)));
    let (pids, start) = (workers(server), memory(server));
    let rows: Vec<Row> = attacks
        .iter()
        .map(|attack| {
            let path = fill(attack.path);
            let (came, seen) = beside(server, polite, || {
                thread::scope(|scope| {
                    let attackers: Vec<_> =
                        (0..AT_ONCE).map(|_| scope.spawn(|| send(server, attack, &path))).collect();
                    attackers.into_iter().map(|attacker| attacker.join().unwrap()).collect::<Vec<_>>()
                })
            });
            let ended = Instant::now();
            assert!(seen.failures.is_empty(), "{}: the polite client got {:?}", attack.what, seen.failures);
            assert_eq!(workers(server), pids, "{}: a worker has ended", attack.what);
            let results: BTreeSet<_> = came.iter().map(|came| judge(attack, came)).collect();
            eventually(&format!("{}: memory is back at {start}", attack.what), || {
                memory(server) <= start + SLACK
            });
            Row {
                what: attack.what.to_owned(),
                path: attack.path.to_owned(),
                result: results.into_iter().collect::<Vec<_>>().join(" or "),
                polite: seen.requests,
                p99: seen.p99(),
                back_after: ended.elapsed(),
            }
        })
        .collect();
    let table = table::markdown(quiet.p99(), &rows);
    println!("{table}");
    for row in rows {
        println!("{}: {} polite requests beside it", row.path, row.polite);
    }
    table
}

const LIMITS: [&str; 10] = [
    "-w",
    "2",
    "--request-timeout",
    "1s",
    "--post-return-timeout",
    "1s",
    "--memory-limit",
    "64MiB",
    "--outbound-requests",
    "64",
];

#[test]
fn attacks_of_a_0_2_guest_cost_nobody_else_anything() {
    let base = tempfile::tempdir().unwrap();
    let dirs = directories(base.path());
    let (reachable, inside) = (target(), target());
    let allowed = format!("127.0.0.1:{reachable}");
    let args = ["--dir", &dirs[0], "--dir", &dirs[1], "--allow-outbound", &allowed, "--allow-outbound", "*"];
    let server = serve("abuse", &[&LIMITS[..], &args[..]].concat());
    let fill = |path: &str| {
        path.replace("TARGET", &format!("127.0.0.1:{reachable}"))
            .replace("INSIDEPORT", &inside.to_string())
            .replace("INSIDE", &format!("127.0.0.1:{inside}"))
    };
    let table = try_all(&server, "/", OF_0_2, fill);
    table::keep("### A 0.2 guest", &table);
}

#[test]
fn attacks_of_a_0_3_guest_cost_nobody_else_anything() {
    let inside = target();
    let server = serve("probe_p3", &[&LIMITS[..], &["--allow-outbound", "*"]].concat());
    let line = "x".repeat(1_000);
    let fill = |path: &str| path.replace("INSIDE", &format!("127.0.0.1%3A{inside}")).replace("LINE", &line);
    let table = try_all(&server, "/hello", OF_0_3, fill);
    table::keep("### A 0.3 guest", &table);
}
