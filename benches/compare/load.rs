//! Load by wrk, and what a server spends on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::proc;
use crate::server::Server;

/// So many requests go ahead of a measurement that code and data are in memory.
const WARM_UP: Duration = Duration::from_millis(300);

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub path: &'static str,
    /// Bytes that are posted; none for a GET.
    pub body: usize,
    pub connections: u32,
}

/// What one run has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub requests_per_second: f64,
    /// CPU time of all processes of the server, user and system, a request.
    pub cpu_micros: f64,
    pub p50_micros: f64,
    pub p99_micros: f64,
    /// Memory of all of them, late in the run.
    pub pss_mib: f64,
}

/// wrk, of this path.
pub struct Wrk(pub PathBuf);

impl Wrk {
    /// Loads `server` from `cores` for `time`.
    ///
    /// # Errors
    /// A request failed, or wrk.
    pub fn measure(
        &self,
        server: &Server,
        load: Load,
        time: Duration,
        cores: &[usize],
    ) -> Result<Sample, String> {
        let mut warming = self.start(server, load, time + Duration::from_secs(60), cores)?;
        sleep(WARM_UP);
        let _ = warming.kill();
        let _ = warming.wait();
        server.settle();

        let before = server.cpu_nanos();
        let running = self.start(server, load, time, cores)?;
        // Late, since a server may grow; it takes the reader a few milliseconds.
        sleep(time.mul_f64(0.8));
        let pss_mib = server.pss_mib();
        let output = running.wait_with_output().map_err(|error| error.to_string())?;
        let nanos = server.cpu_nanos().saturating_sub(before) as f64;

        let said = String::from_utf8_lossy(&output.stdout);
        let counted = Counted::read(&said).ok_or_else(|| {
            format!("wrk said: {} {}", said.trim(), String::from_utf8_lossy(&output.stderr).trim())
        })?;
        counted.check()?;
        if nanos == 0.0 {
            return Err("this kernel does not say how long processes run (/proc/PID/schedstat)".to_owned());
        }
        Ok(Sample {
            requests_per_second: counted.requests / (counted.micros / 1e6),
            cpu_micros: nanos / 1000.0 / counted.requests,
            p50_micros: counted.p50,
            p99_micros: counted.p99,
            pss_mib: pss_mib?,
        })
    }

    fn start(&self, server: &Server, load: Load, time: Duration, cores: &[usize]) -> Result<Child, String> {
        proc::stay_on(cores).map_err(|error| error.to_string())?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/load.lua");
        let mut command = Command::new(&self.0);
        command.args(["-t1", "--latency", "--timeout", "20s", "-c", &load.connections.to_string()]);
        command.args(["-d", &format!("{}s", time.as_secs()), "-s"]).arg(script);
        command.arg(format!("http://{}{}", server.address, load.path)).args(["--", &load.body.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|error| format!("{}: {error}", self.0.display()))
    }
}

/// What wrk has counted.
struct Counted {
    requests: f64,
    micros: f64,
    p50: f64,
    p99: f64,
    /// Connections, reads and writes that failed, time-outs, and bad statuses.
    errors: [f64; 5],
}

impl Counted {
    /// From the line that load.lua prints.
    fn read(said: &str) -> Option<Self> {
        let line = said.lines().find_map(|line| line.strip_prefix("measured "))?;
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [requests, micros, p50, p99, errors @ ..] = numbers.as_slice() else { return None };
        Some(Self {
            requests: *requests,
            micros: *micros,
            p50: *p50,
            p99: *p99,
            errors: errors.try_into().ok()?,
        })
    }

    fn check(&self) -> Result<(), String> {
        let [connect, read, write, timeout, status] = self.errors;
        if self.errors.iter().sum::<f64>() > 0.0 {
            return Err(format!(
                "of {} requests failed: {connect} to connect, {read} to read, {write} to write, {timeout} in time, \
                 {status} by their status",
                self.requests
            ));
        }
        if self.requests == 0.0 { Err("no request was answered".to_owned()) } else { Ok(()) }
    }
}
