//! What wasgun is told: options in, one validated [`Config`] out.
//!
//! Every option is declared once, in `table`; the command line, `WASGUN_*`
//! and the TOML file all yield the same raw strings (`layer`), and
//! `resolve` turns those into a [`Config`] or into every mistake at once.
//! This module names nothing else of ours.

mod activation;
mod addr;
mod app;
mod cli;
mod control;
mod cpus;
mod egress;
mod env_file;
mod file;
mod identity;
mod layer;
mod log;
mod operation;
mod options;
mod order;
mod pool;
mod print;
mod reader;
mod resolve;
mod special;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use activation::number as number_in_variable;
pub use addr::{BindAddr, IpNet};
pub use control::ControlAction;
pub use egress::{EgressRule, HostPattern};
pub use identity::Identity;
pub use layer::{Entry, Source, Specified};
pub use log::{AccessLogTarget, LogConfig, LogFormat, LogLevel};
pub use options::{Group, OPTIONS, OptionSpec, Place, Takes, option_table_markdown};
pub use pool::{Ceiling, PoolConfig, Recycling, Surge, Workers};
pub use print::to_toml;
pub use resolve::{Problem, Problems};
pub use special::is_public;
pub use values::ByteSize;

/// The variable by which a master tells the next one that it hands over.
pub const HANDOVER: &str = "WASGUN_HANDOVER";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Serve, with this configuration.
    Serve(Box<Config>),
    /// Print that the configuration holds, and exit.
    CheckConfig(Box<Config>),
    /// Print the effective configuration as TOML, and exit.
    PrintConfig(String),
    /// Compile `app` to `out`, and exit.
    Compile {
        /// The component to compile.
        app: PathBuf,
        /// Those in front of it.
        middleware: Vec<PathBuf>,
        /// Where the compiled component goes.
        out: PathBuf,
        /// Limits of the compiling child.
        limits: CompileLimits,
    },
    /// Write a project to start from, or list what there is, and exit.
    New(Option<NewProject>),
    /// Ask a running server for something, and exit.
    Control {
        /// Its socket.
        socket: PathBuf,
        /// What is asked for.
        action: ControlAction,
        /// Print the reply as it is, not for people.
        json: bool,
    },
    /// Text that clap renders itself: `--help` and `--version`.
    Message(String),
}

/// A project that is wanted.
#[derive(Debug)]
pub struct NewProject {
    /// What it starts from.
    pub template: String,
    /// Where it goes.
    pub dir: PathBuf,
}

/// Everything the server needs to know, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on, in the order given; never empty.
    pub bind: Vec<BindAddr>,
    /// Length of the kernel's queue of connections nobody accepted yet.
    pub backlog: u32,
    /// The master's own matters.
    pub master: MasterConfig,
    /// HTTP limits and times, the same for every app.
    pub http: HttpConfig,
    /// What is answered without the app.
    pub health: HealthConfig,
    /// The group of workers and the apps they serve.
    pub pool: PoolConfig,
    /// Logging.
    pub log: LogConfig,
    /// Where compiled components are kept; `None`: the default places.
    pub cache_dir: Option<PathBuf>,
    /// Limits of the child that compiles.
    pub compile: CompileLimits,
    /// What the workers give up.
    pub sandbox: SandboxMode,
}

/// What concerns the master process alone.
#[derive(Debug, Clone)]
pub struct MasterConfig {
    /// Whether to go on in the background.
    pub daemon: bool,
    /// Where `wasgun ctl` is heard.
    pub control_socket: Option<ControlSocket>,
    /// How long to go on serving after TERM.
    pub shutdown_delay: Duration,
    /// What to watch beside the component; `None`: nothing is watched.
    pub reload: Option<Vec<PathBuf>>,
    /// Where to write the master's process id.
    pub pid_file: Option<PathBuf>,
    /// How long requests in flight may take after TERM.
    pub graceful_timeout: Duration,
    /// How long a worker may be silent before it is killed.
    pub worker_timeout: Duration,
    /// Whom the workers run as.
    pub identity: Identity,
    /// File mode creation mask, octal, as in `umask(2)`.
    pub umask: Option<u32>,
    /// Directory to change to before anything is opened.
    pub chdir: Option<PathBuf>,
}

/// How much of the sandbox there has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SandboxMode {
    /// None is wanted.
    Off,
    /// What the kernel offers.
    #[default]
    BestEffort,
    /// All of it.
    Required,
}

/// The socket that `wasgun ctl` talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSocket {
    /// Where it is.
    pub path: PathBuf,
    /// Whether somebody asked for it, rather than that there is a place for it:
    /// the server starts without one that nobody asked for.
    pub is_wanted: bool,
}

/// What workers answer themselves, however busy the app is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthConfig {
    /// An address for nothing else.
    pub bind: Option<BindAddr>,
    /// The start of the paths that are kept from the app, without a slash at its
    /// end.
    pub prefix: Option<String>,
}

/// Limits and times of HTTP/1.1.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// How long an idle connection is kept between two requests.
    pub keep_alive: Duration,
    /// How long a request head may take from its first byte to its last.
    pub header_timeout: Duration,
    /// How long a client may have a request body wait.
    pub body_patience: Patience,
    /// How long it may have its response wait.
    pub write_patience: Patience,
    /// Bytes of a request line, CRLF not counted.
    pub limit_request_line: usize,
    /// Number of header fields of a request.
    pub limit_request_fields: usize,
    /// Bytes of one header field, name, colon and value.
    pub limit_request_field_size: usize,
    /// Bytes of a request body; `None`: no limit.
    pub limit_request_body: Option<u64>,
    /// Bytes of a request body that are read before an instance is taken.
    pub body_buffer: usize,
    /// Bytes of a response taken off the guest ahead of a slow client.
    pub response_buffer: usize,
    /// Peers whose `Forwarded` and `X-Forwarded-*` are believed.
    pub forwarded_allow_ips: Vec<IpNet>,
}

/// How long a slow client is waited for, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Whatever it sends or takes.
    pub time: Duration,
    /// Bytes for which it gets another second; `None`: with each byte it gets `time`
    /// again.
    pub rate: Option<u64>,
}

/// One application.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// Name in logs: the file's stem, or `demo`.
    pub name: String,
    /// Where its component is.
    pub source: AppSource,
    /// The components in front of it; the first one sees a request first.
    pub middleware: Vec<PathBuf>,
    /// Environment of the guest; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Arguments of the guest, after its name.
    pub args: Vec<String>,
    /// Directories it may see.
    pub dirs: Vec<DirMount>,
    /// Hosts it may send requests to.
    pub allow_outbound: Vec<EgressRule>,
    /// How many of those requests.
    pub outbound: OutboundLimits,
    /// Time for the guest's whole work on a request, its body included.
    pub request_timeout: Duration,
    /// Time for what the guest does after its response.
    pub post_return_timeout: Duration,
    /// Time on the processor for a request.
    pub cpu_limit: Option<Duration>,
    /// Bytes of memories, tables and heaps of an instance.
    pub memory_limit: u64,
    /// Bytes that an instance may print for a request.
    pub output_limit: u64,
    /// Requests an instance answers before it is dropped.
    pub instance_max_requests: u32,
    /// Upper bound of a random number added to `instance_max_requests`.
    pub instance_max_requests_jitter: u32,
    /// Requests a reused 0.3 instance works on at the same time.
    pub instance_concurrency: u32,
    /// What the app must answer before it is let at clients.
    pub health_path: Option<String>,
}

/// How much a worker sends for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboundLimits {
    /// Open connections.
    pub connections: usize,
    /// Requests on their way.
    pub requests: usize,
    /// Requests a second.
    pub rate: Option<u32>,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppSource {
    /// A component on disk: `.wasm` or `.wat`.
    File(PathBuf),
    /// A compiled component whose code the operator trusts: `.cwasm`.
    Precompiled(PathBuf),
    /// The component embedded in the binary.
    Demo,
}

impl AppSource {
    /// The file that it is in.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Precompiled(path) => Some(path),
            Self::Demo => None,
        }
    }
}

impl fmt::Display for AppSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => path.display().fmt(f),
            None => f.write_str("the demo"),
        }
    }
}

/// A host directory under a guest name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirMount {
    /// Directory on the host.
    pub host: PathBuf,
    /// Absolute path the guest sees.
    pub guest: String,
    /// Whether the guest may write.
    pub access: DirAccess,
}

/// What a guest may do in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirAccess {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// What a compilation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Wall-clock time.
    pub timeout: Duration,
    /// Address space in bytes.
    pub memory: u64,
    /// What the process that compiles gives up.
    pub sandbox: SandboxMode,
}

/// What the process was started with: arguments and environment, so that
/// resolving is a function of its arguments (and of the files these name).
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Arguments, the program's name first.
    pub args: Vec<OsString>,
    /// Environment.
    pub env: Vec<(OsString, OsString)>,
    /// Directory relative paths start from.
    pub cwd: PathBuf,
}

impl Invocation {
    /// Of this process.
    ///
    /// # Errors
    /// The current directory is gone.
    pub fn current() -> std::io::Result<Self> {
        Ok(Self {
            args: std::env::args_os().collect(),
            env: std::env::vars_os().collect(),
            cwd: std::env::current_dir()?,
        })
    }

    /// Reads and validates everything; called again at each reload, so that
    /// a changed file counts.
    ///
    /// # Errors
    /// All mistakes found, each with the option and where it was said.
    pub fn resolve(&self) -> Result<Command, Problems> {
        resolve::resolve(self)
    }
}
