//! Requests against a real server, whose path `WASGUN_BIN` has: whatever comes, a polite
//! request is answered, by the same worker.
#![no_main]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;

struct Server {
    _child: Child,
    address: String,
    pid: String,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let program = std::env::var_os("WASGUN_BIN").expect("WASGUN_BIN names the server");
    let limits = ["--header-timeout", "200ms", "--body-timeout", "200ms", "--request-timeout", "1s"];
    // Nobody drops what is static: the server ends with this process.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(["--demo", "-w", "1", "-b", "127.0.0.1:0"])
        .args(limits)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = log.find(|line| line.contains("listening on http://")).expect("it listens");
    let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    log.find(|line| line.contains("ready: generation")).expect("it is ready");
    // It must not fill the pipe.
    std::thread::spawn(move || log.for_each(drop));
    let pid = worker(&address);
    Server { _child: child, address, pid }
});

/// Who answers a polite request, by the name that the server gives a refused one.
fn worker(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET HTTP/9.9\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let id = text.rsplit("request ").next().unwrap();
    id.split('-').nth(1).expect("a refusal names the request").to_owned()
}

fuzz_target!(|data: &[u8]| {
    let mut stream = TcpStream::connect(&SERVER.address).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let half = data.len() / 2;
    let sent = stream.write_all(&data[..half]).and_then(|()| stream.write_all(&data[half..]));
    if sent.is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(worker(&SERVER.address), SERVER.pid, "the same worker");
});
