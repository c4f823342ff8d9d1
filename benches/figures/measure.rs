//! A server under measurement, and what /proc tells about it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n";
const CONNECTIONS: usize = 32;

/// A running server; ended when dropped.
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub fn native() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("native");
        Self::spawn(command)
    }

    pub fn wasgun(args: &[&str]) -> Self {
        Self::spawn(wasgun(args))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the server starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut address = None;
        loop {
            let mut line = String::new();
            assert!(
                stderr.read_line(&mut line).expect("stderr is text") > 0,
                "the server ended at its start"
            );
            if let Some(rest) = line.split("http://").nth(1) {
                address = rest.split_whitespace().next().map(str::to_owned);
            }
            if line.contains("ready: generation") {
                break;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address: address.expect("it says where it listens") }
    }

    /// CPU time of all its processes for each of `requests` requests.
    pub fn cpu_micros_per_request(&self, requests: usize) -> f64 {
        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| self.connect()).collect();
        let rounds = requests / CONNECTIONS;
        let processes = self.processes();
        let before: u64 = processes.iter().map(|pid| cpu_nanos(*pid)).sum();
        for _ in 0..rounds {
            for connection in &mut connections {
                connection.write_all(REQUEST).expect("the server reads");
            }
            for connection in &mut connections {
                read_answer(connection);
            }
        }
        let nanos = processes.iter().map(|pid| cpu_nanos(*pid)).sum::<u64>() - before;
        nanos as f64 / 1000.0 / (rounds * CONNECTIONS) as f64
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server listens");
        stream.set_nodelay(true).expect("TCP");
        stream
    }

    /// One request on a connection of its own.
    pub fn answer(&self) {
        let mut connection = self.connect();
        connection.write_all(REQUEST).expect("the server reads");
        read_answer(&mut connection);
    }

    /// Milliseconds from the kill of the only worker to an answer of the next.
    pub fn time_to_replace(&self, worker: i32) -> f64 {
        let started = Instant::now();
        kill(worker, "KILL");
        self.answer();
        assert!(!self.workers().contains(&worker), "the killed worker answered");
        millis(started.elapsed())
    }

    /// Milliseconds from exec to the first answer.
    pub fn time_to_first_answer(args: &[&str]) -> f64 {
        // A port that was free a moment ago: connecting is to begin before the
        // server says where it listens.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("a free port").to_string();
        let mut command = wasgun(args);
        command.args(["--bind", &address]).stderr(Stdio::null());
        let started = Instant::now();
        let server = Self { child: command.spawn().expect("the server starts"), address };
        loop {
            if let Ok(mut connection) = TcpStream::connect(&server.address) {
                connection.write_all(REQUEST).expect("the server reads");
                read_answer(&mut connection);
                return millis(started.elapsed());
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it does not start");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Process ids of the workers: the master's children that are not the mold,
    /// which has one thread.
    pub fn workers(&self) -> Vec<i32> {
        children(self.child.id() as i32).into_iter().filter(|pid| tasks(*pid).count() > 1).collect()
    }

    fn processes(&self) -> Vec<i32> {
        let master = self.child.id() as i32;
        let mut processes = children(master);
        processes.push(master);
        processes
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(self.child.id() as i32, "TERM");
        drop(self.child.wait());
    }
}

fn wasgun(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasgun"));
    command.args(args).env("WASGUN_CACHE_DIR", cache_dir());
    if !args.contains(&"--bind") {
        command.env("WASGUN_BIND", "127.0.0.1:0");
    }
    command
}

fn cache_dir() -> PathBuf {
    use std::os::unix::fs::DirBuilderExt;
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-cache");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).expect("target/tmp can be written");
    dir
}

/// Reads one answer that has a Content-Length.
fn read_answer(connection: &mut TcpStream) {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = connection.read(&mut piece).expect("the server answers");
        assert!(length > 0, "cut: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..length]);
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let body = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let body: usize = body.expect("a hello has a length");
        if answer.len() >= end + 4 + body {
            return;
        }
    }
}

fn kill(pid: i32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill {pid}");
}

fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn children(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|fields| fields[1] == parent.to_string())).collect()
}

/// Time on a processor of all threads; /proc/PID/stat would count it in ticks of
/// 10 ms.
fn cpu_nanos(pid: i32) -> u64 {
    let nanos = |task: PathBuf| -> Option<u64> {
        fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    tasks(pid).filter_map(nanos).sum()
}

fn tasks(pid: i32) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// How often any thread of a process has been woken so far.
pub fn wake_ups(pid: i32) -> u64 {
    tasks(pid).map(|task| number_in(&task.join("status"), "voluntary_ctxt_switches:")).sum()
}

/// Memory that a process shares with nobody and has written to.
pub fn private_dirty_kib(pid: i32) -> f64 {
    number_in(&PathBuf::from(format!("/proc/{pid}/smaps_rollup")), "Private_Dirty:") as f64
}

fn number_in(path: &std::path::Path, label: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
