//! What the tests share: a real server process, real sockets, and waiting for
//! conditions instead of for time.

#![allow(dead_code, reason = "each test program uses a part")]

pub mod client;
pub mod control;
pub mod guests;
pub mod processes;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Long enough for a loaded CI machine; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The cache that all tests share, so that each guest is compiled once.
pub fn cache_dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    dir
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Variables that say something to the server beside its own.
const OF_PLATFORMS: [&str; 9] = [
    "PORT",
    "WEB_CONCURRENCY",
    "RUNTIME_DIRECTORY",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// A command for the real binary, with nothing of the caller's environment that
/// would configure it, and the tests' cache.
pub fn wasgun() -> Command {
    wasgun_at(Path::new(env!("CARGO_BIN_EXE_wasgun")))
}

/// The same for a copy of it.
pub fn wasgun_at(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("WASGUN_") || OF_PLATFORMS.contains(&&*name) {
            command.env_remove(&*name);
        }
    }
    command.env("WASGUN_CACHE_DIR", cache_dir()).stdin(Stdio::null());
    // The configuration file of whoever runs the tests is not theirs.
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

/// A running server; killed, with all its processes, when dropped.
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
    /// `host:port` of its first TCP listener, once it is ready.
    pub address: String,
}

impl Server {
    /// Starts `wasgun ARGS --bind 127.0.0.1:0` and waits until it is ready.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        let mut command = wasgun();
        command.args(args).args(["--bind", "127.0.0.1:0"]);
        Self::spawn(command)
    }

    /// The same with a prepared command, and without `--bind`.
    #[track_caller]
    pub fn spawn(command: Command) -> Self {
        let mut server = Self::launch(command);
        server.wait_for_log("ready: generation 1");
        let line = server.log().into_iter().find(|line| line.contains("listening on http://"));
        if let Some(line) = line {
            let rest = line.split("http://").nth(1).unwrap();
            server.address = rest.split_whitespace().next().unwrap().trim_end_matches('"').to_owned();
        }
        server
    }

    /// Starts it and waits for nothing.
    pub fn launch(mut command: Command) -> Self {
        // A group of its own, so that nothing of it outlives the test.
        command.process_group(0);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = log.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, log, reader, address: String::new() }
    }

    /// Everything it has logged.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Asked first: what it logged last is read when this is so. Not the process
            // that was started, whose log a master goes on with that took over from it.
            let is_over = self.reader.is_finished();
            if let Some(line) = self.log().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            let log = self.log().join("\n");
            assert!(!is_over, "it ended ({:?}) before it logged {text:?}:\n{log}", self.child.try_wait());
            assert!(Instant::now() < deadline, "it never logged {text:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many lines contain `text`.
    pub fn count_log(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// The master's process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Takes the standard output, which carries the access log with `-`.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// Sends the master a signal, by its name: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// The workers' process ids: children of the master that accept, so neither
    /// the mold nor a compiler, by what they answer requests with.
    pub fn children(&self) -> Vec<i32> {
        children_of(self.pid())
    }

    /// Waits for the master to end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.read_to_end();
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log().join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Server {
    /// Waits for the last line of a server that has ended.
    #[track_caller]
    fn read_to_end(&self) {
        eventually("its log ends with it", || self.reader.is_finished());
    }
}

/// What a command that is to end by itself has said.
pub struct Finished {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end; what does not end is killed.
#[track_caller]
pub fn run(command: Command) -> Finished {
    finish(Server::launch(command))
}

/// Waits for the end of a command that was launched.
#[track_caller]
pub fn finish(mut server: Server) -> Finished {
    // Beside the wait, or a long text would fill the pipe.
    let mut output = server.stdout();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut output, &mut text).map(|_| text)
    });
    let code = server.wait().code();
    Finished { code, stdout: reader.join().unwrap().unwrap(), stderr: server.log().join("\n") }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.pid();
        signal(-pid, "KILL");
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- log of the server\n{}\n---", self.log().join("\n"));
        }
    }
}

/// Sends a signal by name, to a process or, with a negative number, a group.
pub fn signal(pid: i32, name: &str) {
    let status =
        Command::new("kill").args(["-s", name, "--", &pid.to_string()]).stderr(Stdio::null()).status();
    status.expect("kill is installed");
}

/// The processes whose parent is `pid`.
pub fn children_of(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(child) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        if parent_of(child) == Some(pid) {
            children.push(child);
        }
    }
    children
}

/// A process's parent, from /proc/PID/stat; `None` if it is gone or a zombie.
pub fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok()).flatten()
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: i32) -> bool {
    parent_of(pid).is_some()
}

/// A file in a directory of the test's own, with this content.
pub fn file(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::io::Write::write_all(&mut File::create(&path).unwrap(), content).unwrap();
    path
}
