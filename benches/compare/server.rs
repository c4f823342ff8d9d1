//! A server under measurement: started, found ready, stopped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{client, proc};

/// Time for a server to answer; compiling a big component is the longest.
const START: Duration = Duration::from_secs(300);
/// Time for a server to end by itself.
const STOP: Duration = Duration::from_secs(3);
/// Time for a server to fall silent after its start, or after a load.
const SETTLE: Duration = Duration::from_secs(10);

/// How a server is started. `{address}` and `{port}` in `args` become those it
/// is to listen at.
#[derive(Debug, Clone)]
pub struct Launch {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub dir: Option<PathBuf>,
}

/// A running server; ended when dropped.
pub struct Server {
    child: Child,
    pub address: String,
}

impl Launch {
    /// Starts it on `cores` and waits for its first answer.
    pub fn start(&self, cores: &[usize]) -> Result<Server, String> {
        let log = log_file().map_err(|error| error.to_string())?;
        let server = self.spawn(cores, File::create(&log).map_err(|error| error.to_string())?.into())?;
        server.wait_for_answer().map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<_> = said.lines().rev().take(5).collect();
            format!("{error}; it said: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | "))
        })?;
        Ok(server)
    }

    /// Milliseconds from exec to the first answer.
    pub fn time_to_first_answer(&self, cores: &[usize]) -> Result<f64, String> {
        let started = Instant::now();
        let server = self.spawn(cores, Stdio::null())?;
        server.wait_for_answer()?;
        Ok(started.elapsed().as_secs_f64() * 1000.0)
    }

    fn spawn(&self, cores: &[usize], output: Stdio) -> Result<Server, String> {
        // A port that was free a moment ago: so that one can try to connect before
        // the server says where it listens, in its own way.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let (text, port) = (address.to_string(), address.port().to_string());
        let mut command = Command::new(&self.program);
        command.args(self.args.iter().map(|arg| arg.replace("{address}", &text).replace("{port}", &port)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        // What the caller's environment would configure, each in its way.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let ours = ["WASGUN_", "GUNICORN_", "UVICORN_", "GRANIAN_", "TOKIO_", "WEB_CONCURRENCY", "PORT"];
            if ours.iter().any(|start| name.starts_with(start)) {
                command.env_remove(&*name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        proc::stay_on(cores).map_err(|error| error.to_string())?;
        let child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        Ok(Server { child, address: text })
    }
}

impl Server {
    fn wait_for_answer(&self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            // A refused connection is no answer yet; a bad answer is one.
            if std::net::TcpStream::connect(&self.address).is_ok() {
                return client::answer(&self.address);
            }
            if !self.is_running() {
                return Err("it ended at its start".to_owned());
            }
            if started.elapsed() > START {
                return Err("it does not listen".to_owned());
            }
            sleep(Duration::from_micros(200));
        }
    }

    fn is_running(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    }

    /// Waits until all its processes are up and have nothing left to do.
    pub fn settle(&self) {
        let (started, step) = (Instant::now(), Duration::from_millis(100));
        let mut quiet = 0;
        while quiet < 2 && started.elapsed() < SETTLE {
            let before = self.cpu_nanos();
            sleep(step);
            let spent = self.cpu_nanos().saturating_sub(before);
            quiet = if u128::from(spent) * 20 < step.as_nanos() { quiet + 1 } else { 0 };
        }
    }

    /// Time on a processor of all its processes.
    pub fn cpu_nanos(&self) -> u64 {
        self.processes().into_iter().map(proc::cpu_nanos).sum()
    }

    /// Memory of all its processes. Those that end meanwhile have none; the first is there.
    pub fn pss_mib(&self) -> Result<f64, String> {
        proc::pss_kib(self.pid())?;
        Ok(self.processes().into_iter().flat_map(proc::pss_kib).sum::<u64>() as f64 / 1024.0)
    }

    /// The workers of wasgun: the master's children that are not the mold, which
    /// has one thread.
    pub fn workers(&self) -> Vec<i32> {
        let children = proc::children(self.pid()).into_iter();
        children.filter(|pid| proc::tasks(*pid).count() > 1).collect()
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn processes(&self) -> Vec<i32> {
        proc::tree(self.pid())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Listed before the first of them ends, and with it the ties to the others.
        let processes = self.processes();
        let _ = kill(Pid::from_raw(self.pid()), Signal::SIGTERM);
        let started = Instant::now();
        while self.is_running() && started.elapsed() < STOP {
            sleep(Duration::from_millis(5));
        }
        // What is left, if anything: some servers forget a child that is starting.
        for pid in processes {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        drop(self.child.wait());
    }
}

/// Where a server's output goes; on a new machine the directory is made.
fn log_file() -> std::io::Result<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compare");
    fs::create_dir_all(&dir)?;
    Ok(dir.join("server.log"))
}
