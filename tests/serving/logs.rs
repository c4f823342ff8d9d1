//! The log and the access log.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::support::client::Connection;
use super::support::{Server, eventually};
use super::{each_generation, get, get_with, serve};

/// Collects what a server writes to its standard output.
fn stdout_of(server: &mut Server) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (kept, output) = (lines.clone(), BufReader::new(server.stdout()));
    std::thread::spawn(move || {
        output.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line))
    });
    lines
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn every_line_of_a_json_log_is_one_object() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "2", "--log-format", "json", "--log-level", "debug"]);
        for path in ["/hello", "/trap", "/stderr?text=%22quoted%22%5C", "/trap-after-head?bytes=3&ms=10"] {
            drop(Connection::open(&server.address).get(path));
        }
        let mut broken = Connection::open(&server.address);
        broken.send("GET \x01 HTTP/1.1\r\n\r\n").unwrap();
        broken.read_to_close();
        server.wait_for_log("cut after 3 bytes");
        server.signal("TERM");
        assert!(server.wait().success());
        let log = server.log();
        assert!(log.len() > 5, "{log:#?}");
        for line in &log {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(object["level"].is_string() && object["timestamp"].is_string(), "{line}");
        }
        let line = |text: &str| -> Value {
            let line =
                log.iter().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text}: {log:#?}"));
            serde_json::from_str(line).unwrap()
        };
        let printed = line("quoted");
        assert_eq!((&printed["app"], &printed["stream"]), (&Value::from(guest), &Value::from("stderr")));
        let failed = line("\"/trap\"");
        assert_eq!((&failed["level"], &failed["status"]), (&Value::from("ERROR"), &Value::from(500)));
    });
}

#[test]
fn the_access_log_names_client_request_status_and_length() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "1", "--access-log", "-"]);
        let lines = stdout_of(&mut server);
        get_with(
            &server,
            "/hello?a=b",
            "user-agent: te\"st\r\nreferer: http://from.test/\r\nx-request-id: acc-1\r\n",
        );
        get(&server, "/trap");
        eventually("there is a line for each", || lines.lock().unwrap().len() == 2);
        let lines = lines.lock().unwrap().clone();
        let first = &lines[0];
        assert!(first.starts_with("127.0.0.1 - - ["), "{first}");
        let rest = first.split("] ").nth(1).unwrap();
        let wanted = r#""GET /hello?a=b HTTP/1.1" 200 14 "http://from.test/" "te\"st" "#;
        assert!(rest.starts_with(wanted), "{first}");
        let account = rest.split_once(" acc-1 in=0 cpu=").expect(first).1;
        let (cpu, rest) = account.split_once(" memory=").expect(first);
        let (memory, sent) = rest.split_once(" outbound=").expect(first);
        let number = |text: &str| text.parse::<u64>().expect(first);
        assert!(number(cpu) > 0 && number(memory) >= 1 << 16 && number(sent) == 0, "{first}");
        assert!(lines[1].contains("\"GET /trap HTTP/1.1\" 500 "), "{}", lines[1]);
    });
}

#[test]
fn the_access_log_in_json_says_the_same() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "1", "--access-log", "-", "--log-format", "json"]);
        let lines = stdout_of(&mut server);
        get_with(&server, "/hello?a=b", "user-agent: te\"st\r\nx-request-id: acc-1\r\n");
        drop(Connection::open(&server.address).get("/trap-after-head?bytes=3&ms=10"));
        eventually("there is a line for each", || lines.lock().unwrap().len() == 2);
        let lines: Vec<Value> =
            lines.lock().unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (key, value) in [
            ("client", Value::from("127.0.0.1")),
            ("method", "GET".into()),
            ("path", "/hello?a=b".into()),
            ("status", 200.into()),
            ("bytes", 14.into()),
            ("complete", true.into()),
            ("user_agent", "te\"st".into()),
            ("referer", Value::Null),
            ("request", "acc-1".into()),
            ("app", guest.into()),
        ] {
            assert_eq!(lines[0][key], value, "{key}: {}", lines[0]);
        }
        assert!(lines[0]["us"].is_u64() && lines[0]["timestamp"].is_string(), "{}", lines[0]);
        assert_eq!(
            (&lines[1]["complete"], &lines[1]["bytes"]),
            (&Value::Bool(false), &Value::from(3)),
            "{}",
            lines[1]
        );
    });
}

#[test]
fn an_access_log_that_was_moved_away_is_opened_anew_on_usr1() {
    let dir = tempfile::tempdir().unwrap();
    let (log, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let server = serve("probe", &["-w", "2", "--access-log", log.to_str().unwrap()]);
    get(&server, "/hello?first");
    eventually("the request is logged", || text_of(&log).contains("/hello?first"));
    std::fs::rename(&log, &old).unwrap();
    server.signal("USR1");
    eventually("a new file appears", || log.exists());
    eventually("every worker writes to the new file", || {
        let before = text_of(&old);
        (0..20).for_each(|_| assert_eq!(get(&server, "/hello?later").status, 200));
        text_of(&old) == before && text_of(&log).contains("/hello?later")
    });
    assert!(text_of(&old).contains("/hello?first") && !text_of(&log).contains("/hello?first"));
}

#[test]
fn nothing_is_written_to_standard_output_without_an_access_log() {
    let mut server = serve("probe", &["-w", "1"]);
    let lines = stdout_of(&mut server);
    get(&server, "/hello");
    get(&server, "/stdout?text=printed");
    server.wait_for_log("printed");
    server.signal("TERM");
    assert!(server.wait().success());
    assert_eq!(*lines.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn an_access_log_that_is_a_pipe_waits_for_no_reader() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = serve("probe", &["-w", "1", "--access-log", pipe.to_str().unwrap()]);
    assert_eq!(get(&server, "/hello?lost").status, 200);
    server.signal("USR1");
    for _ in 0..2 {
        // One reader after the other.
        let mut reader = std::fs::File::options()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(&pipe)
            .unwrap();
        let mut text = String::new();
        eventually("lines come to who reads", || {
            assert_eq!(get(&server, "/hello?read").status, 200);
            // Nothing yet is an error, which keeps what came before.
            drop(reader.read_to_string(&mut text));
            text.contains("/hello?read")
        });
    }
}

#[test]
fn an_access_log_that_cannot_be_written_is_told_of_once() {
    let mut server = serve("probe", &["-w", "1", "--access-log", "/dev/full"]);
    for _ in 0..10 {
        assert_eq!(get(&server, "/hello").status, 200);
    }
    server.wait_for_log("lines of the access log are lost: No space left on device");
    assert_eq!(server.count_log("are lost"), 1);
}
