//! What one request may use, and what it has used.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::support::client::{Connection, get};
use super::support::{Server, eventually, file, run, wasgun};
use super::{guest_arg, serve};

const GENERATIONS: [&str; 2] = ["probe", "probe_p3"];

/// The access lines of a server that writes them to its standard output, in JSON.
fn access_lines(server: &mut Server) -> Arc<Mutex<Vec<Value>>> {
    let lines = Arc::<Mutex<Vec<Value>>>::default();
    let (stdout, seen) = (server.stdout(), lines.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            seen.lock().unwrap().push(serde_json::from_str(&line).unwrap());
        }
    });
    lines
}

#[test]
fn processor_time_is_limited_and_waiting_is_not() {
    for guest in GENERATIONS {
        for reuse in ["1", "100"] {
            let args = ["-w", "1", "--request-timeout", "1h", "--cpu-limit", "60ms"];
            let mut server = serve(guest, &[&args[..], &["--instance-max-requests", reuse]].concat());
            assert_eq!(get(&server.address, "/spin").status, 504, "{guest}");
            server.wait_for_log("more processor time than --cpu-limit");
            // Much longer than that by the clock.
            assert_eq!(get(&server.address, "/sleep?ms=300").status, 200, "{guest}");
            assert_eq!(get(&server.address, "/hello").status, 200, "{guest}");
        }
    }
}

#[test]
fn the_time_after_the_response_has_a_limit_of_its_own() {
    for guest in GENERATIONS {
        let args = ["-w", "1", "--max-concurrency", "1", "--queue-timeout", "1h"];
        let short = ["--request-timeout", "1h", "--post-return-timeout", "50ms"];
        let server = serve(guest, &[&args[..], &short[..]].concat());
        assert_eq!(get(&server.address, "/after?ms=3600000").text(), "answered\n");
        // It gets the only place there is.
        assert_eq!(get(&server.address, "/hello").status, 200, "{guest}");
        drop(server);
        // And that of the request does not count there.
        let long = ["--request-timeout", "400ms", "--post-return-timeout", "1h"];
        let mut server = serve(guest, &[&args[..], &long[..]].concat());
        assert_eq!(get(&server.address, "/after?ms=900").text(), "answered\n");
        server.wait_for_log("worked on for 900 ms");
    }
}

#[test]
fn an_idle_instance_that_goes_on_computing_is_ended() {
    let args = ["-w", "1", "--instance-max-requests", "100", "--log-level", "debug"];
    let mut server = serve("probe_p3", &[&args[..], &["--post-return-timeout", "50ms"]].concat());
    assert_eq!(get(&server.address, "/after?busy=yes").text(), "answered\n");
    server.wait_for_log("after its responses, an instance: the guest used more processor time");
    assert_eq!(get(&server.address, "/hello").status, 200);
}

#[test]
fn what_a_guest_may_print_is_limited_for_each_request() {
    for guest in GENERATIONS {
        for reuse in ["1", "100"] {
            let args = ["-w", "1", "--limit-guest-output", "2000", "--instance-max-requests", reuse];
            let mut server = serve(guest, &args);
            for _ in 0..3 {
                assert_eq!(get(&server.address, "/stdout?text=fine&lines=10").status, 200, "{guest}");
            }
            assert_eq!(get(&server.address, "/stdout?text=flood&lines=1000").status, 500, "{guest}");
            server.wait_for_log("status=500");
            let flood = server.count_log("flood app=");
            assert!((10..20).contains(&flood), "{guest}: {flood} lines");
            assert_eq!(get(&server.address, "/hello").status, 200, "{guest}");
        }
    }
}

#[test]
fn the_access_log_and_the_status_say_what_a_request_has_used() {
    for guest in GENERATIONS {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control");
        let control = ["--control-socket", socket.to_str().unwrap()];
        let log = ["-w", "1", "--access-log", "-", "--log-format", "json"];
        let mut server = serve(guest, &[&log[..], &control[..]].concat());
        let lines = access_lines(&mut server);
        assert_eq!(get(&server.address, "/hello").status, 200);
        // A twentieth of which it gets on a busy machine too.
        assert_eq!(get(&server.address, "/spin?ms=1000").status, 200);
        assert_eq!(get(&server.address, "/sleep?ms=300").status, 200);
        assert_eq!(get(&server.address, "/alloc?mib=32").status, 200);
        assert_eq!(Connection::open(&server.address).post("/sink", &[b'x'; 300_000]).unwrap().status, 200);
        get(&server.address, "/outbound?url=http%3A%2F%2F127.0.0.1%2F");
        eventually("there is a line for each", || lines.lock().unwrap().len() == 6);
        let lines = lines.lock().unwrap().clone();
        let number = |line: usize, key: &str| lines[line][key].as_u64().unwrap();
        let (hello, spin, sleep, alloc, sink, outbound) = (0, 1, 2, 3, 4, 5);
        assert!(number(spin, "cpu_us") >= 50_000, "{guest}: {}", lines[spin]);
        assert!(
            number(sleep, "us") >= 300_000 && number(sleep, "cpu_us") < 150_000,
            "{guest}: {}",
            lines[sleep]
        );
        assert!((1 << 16..32 << 20).contains(&number(hello, "memory")), "{guest}: {}", lines[hello]);
        assert!(number(alloc, "memory") >= 32 << 20, "{guest}: {}", lines[alloc]);
        assert_eq!((number(sink, "received"), number(hello, "received")), (300_000, 0));
        assert_eq!((number(outbound, "outbound"), number(hello, "outbound")), (1, 0));
        eventually("the status has the sums", || {
            let status = super::support::control::status(&socket);
            status["app_cpu_ms"].as_u64() >= Some(50)
                && status["received"].as_u64() == Some(300_000)
                && status["sent"].as_u64() > Some(20)
                && status["outbound"].as_u64() == Some(1)
        });
    }
}

/// The demo with a module beside it that, when it starts, keeps `mib` MiB in a heap that is
/// garbage-collected.
fn keeper(dir: &Path, mib: u32) -> PathBuf {
    let demo = include_str!("../../guests/hello.wat");
    let (program, end) = demo.split_at(demo.rfind(')').unwrap());
    let module = format!(
        "(core module $keeper
           (type $bytes (array (mut i8)))
           (type $node (struct (field (ref null $node)) (field (ref $bytes))))
           (global $kept (mut (ref null $node)) (ref.null $node))
           (func $keep (local $left i32)
             (local.set $left (i32.const {mib}))
             (loop $again
               (global.set $kept (struct.new $node (global.get $kept)
                 (array.new_default $bytes (i32.const 1048576))))
               (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
           (start $keep))
         (core instance (instantiate $keeper))"
    );
    file(dir, "keeper.wat", format!("{program}{module}{end}").as_bytes())
}

#[test]
fn garbage_collected_heaps_count_as_memory() {
    let dir = tempfile::tempdir().unwrap();
    let component = keeper(dir.path(), 100);
    let args = |limit| [component.to_str().unwrap(), "-w", "1", "--memory-limit", limit];
    assert_eq!(get(&Server::start(&args("400MiB")).address, "/hello").status, 200);
    let mut command = wasgun();
    command.args(args("64MiB")).args(["-b", "127.0.0.1:0"]);
    let refused = run(command);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("GC heap out of memory"), "{}", refused.stderr);
}

/// Hogs take turns, so that it makes no difference how many there are.
#[test]
fn much_to_wait_for_may_be_kept_and_little_of_what_costs_the_host_more() {
    let server = Server::start(&[&guest_arg("abuse"), "-w", "1"]);
    for (path, status) in [
        ("/readiness-flood?n=20000", 200),
        ("/field-flood?n=900", 200),
        ("/field-flood?n=1500", 500),
        ("/swapped-flood?n=900", 200),
        ("/swapped-flood?n=2000", 500),
    ] {
        assert_eq!(get(&server.address, path).status, status, "{path}");
    }
}

#[test]
fn who_keeps_some_of_each_request_fails_none() {
    let args = ["-w", "1", "--instance-max-requests", "100000"];
    let server = Server::start(&[&[&*guest_arg("abuse")], &args[..]].concat());
    let mut connection = Connection::open(&server.address);
    for (kept, requests) in [(1, 1100), (5, 300), (6, 300), (499, 10), (1100, 10)] {
        for nth in 0..requests {
            let path = format!("/field-flood-for-ever?n={kept}");
            let answer = connection.get(&path).unwrap();
            assert_eq!(answer.status, 200, "{kept} of each, request {nth}: {}", answer.text());
        }
    }
    assert_eq!(server.count_log("ERROR"), 0);
}

#[test]
fn guests_that_compute_all_get_on() {
    for guest in GENERATIONS {
        let server = serve(guest, &["-w", "1", "--request-timeout", "1h"]);
        std::thread::scope(|scope| {
            let hogs: Vec<_> =
                (0..8).map(|_| scope.spawn(|| get(&server.address, "/spin?ms=400").status)).collect();
            for _ in 0..20 {
                assert_eq!(get(&server.address, "/hello").status, 200);
            }
            assert!(hogs.into_iter().all(|hog| hog.join().unwrap() == 200));
        });
    }
}
