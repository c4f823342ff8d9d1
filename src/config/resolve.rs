//! What was said into what is true, or into everything that is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;

use super::activation::{self, Activated};
use super::addr::{BindAddr, IpNet};
use super::app::{directory, middleware, readable, text_of};
use super::identity::identity;
use super::layer::{self, Layer, Source, Specified, shown_option};
use super::log::log;
use super::operation::{control_socket, health, reload};
use super::order;
use super::pool::pool;
use super::reader::{Reader, path, replaceable};
use super::values::{ByteSize, duration, duration_from, flag, length_in, number_in, or_none, size_in, umask};
use super::{
    AppSource, Command, CompileLimits, Config, HttpConfig, Invocation, MasterConfig, NewProject, Patience,
    SandboxMode, cli, file, print,
};

/// Read when no other file is named.
const DEFAULT_FILE: &str = "./wasgun.toml";

/// Most fields that the HTTP library's map of them holds with room to spare, and
/// the longest line whose target it takes for a URI.
const MOST_FIELDS: u32 = 16_384;
const LONGEST_LINE: u64 = 65_534;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the option, or a key of the file that is no option; empty if it
    /// is about the command line or the file as a whole.
    pub option: String,
    /// Where it was said.
    pub source: Source,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Problem {
    pub(super) fn new(option: &str, source: Source, message: impl Into<String>) -> Self {
        Self { option: option.to_owned(), source, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, source, message } = self;
        let place = source.shown(option);
        match source {
            Source::CommandLine | Source::Default if option.is_empty() => f.write_str(message),
            Source::CommandLine | Source::Default => write!(f, "{}: {message}", shown_option(option)),
            _ if option.is_empty() => write!(f, "{place}: {message}"),
            Source::Environment(_) => write!(f, "{} (from {place}): {message}", shown_option(option)),
            Source::File(_) => write!(f, "{} (from {place}): {message}", option.escape_debug()),
        }
    }
}

/// Every mistake there is; shown one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

impl std::error::Error for Problems {}

/// See [`Invocation::resolve`].
pub(super) fn resolve(invocation: &Invocation) -> Result<Command, Problems> {
    let matches = match cli::parse(&invocation.args) {
        Ok(matches) => matches,
        Err(error) => {
            let wrong = |message| Problems(vec![Problem::new("", Source::CommandLine, message)]);
            return cli::text(&error, &invocation.args).map(Command::Message).map_err(wrong);
        }
    };
    if let Some(("new", matches)) = matches.subcommand() {
        return new(matches, &invocation.cwd);
    }
    let mut problems = Vec::new();
    let environment = layer::environment(&invocation.env, &mut problems);
    if let Some(("compile", matches)) = matches.subcommand() {
        let output = matches.get_one::<String>("output").cloned().unwrap_or_default();
        let said = Specified::new(vec![cli::layer(matches), environment, layer::defaults()]);
        let base = Some(invocation.cwd.clone());
        return compile(Reader { said: &said, base, handed: &[], problems }, &output);
    }
    let order = matches.subcommand();
    let own = cli::layer(order.map_or(&matches, |(_, matches)| matches));
    let above = Specified::new(vec![own.clone(), environment.clone()]);
    let file = read_file(&above, &invocation.cwd, &mut problems);
    let handed = activation::handed_over(&invocation.env).unwrap_or_else(|message| {
        problems.push(Problem::new("bind", Source::Environment("LISTEN_FDS".to_owned()), message));
        Vec::new()
    });
    let platform = layer::platform(&invocation.env, &handed);
    let said = Specified::new(vec![own, environment, file, platform, layer::defaults()]);
    let said = said.alternatives(["app", "demo"]);
    let reader = Reader { said: &said, base: Some(invocation.cwd.clone()), handed: &handed, problems };
    match order {
        Some((_, matches)) => order::order(reader, matches),
        None => serve(reader),
    }
}

fn new(matches: &ArgMatches, cwd: &Path) -> Result<Command, Problems> {
    let text = |name| matches.get_one::<String>(name);
    let Some((template, dir)) = text("template").zip(text("dir")) else { return Ok(Command::New(None)) };
    let dir = path(dir).map_err(|message| {
        Problems(vec![Problem::new("", Source::CommandLine, format!("DIR: {message}"))])
    })?;
    Ok(Command::New(Some(NewProject { template: template.clone(), dir: cwd.join(dir) })))
}

fn compile(mut reader: Reader, output: &str) -> Result<Command, Problems> {
    let app = reader.path("app").unwrap_or_default();
    let limits = compile_limits(&mut reader);
    let middleware = middleware(&mut reader, &AppSource::File(app.clone()));
    if let Err(message) = readable(&app) {
        reader.wrong("app", message);
    }
    let out = path(output).and_then(|out| replaceable(&reader.base().join(out))).and_then(|out| {
        let mut components = std::iter::once(&app).chain(&middleware);
        if components.any(|component| component.canonicalize().is_ok_and(|component| component == out)) {
            return Err(format!("{} is the component itself: write to another file", out.display()));
        }
        Ok(out)
    });
    match out {
        Ok(out) if reader.problems.is_empty() => {
            return Ok(Command::Compile { app, middleware, out, limits });
        }
        Ok(_) => {}
        Err(message) => reader.problems.push(Problem::new("output", Source::CommandLine, message)),
    }
    Err(Problems(reader.problems))
}

/// The layer of the file that is named, or of the default one if it is there.
fn read_file(above: &Specified, cwd: &Path, problems: &mut Vec<Problem>) -> Layer {
    let named =
        above.entry("config").and_then(|entry| Some((PathBuf::from(entry.values.last()?), &entry.source)));
    let shown = named.as_ref().map_or_else(|| PathBuf::from(DEFAULT_FILE), |(path, _)| path.clone());
    let path = cwd.join(&shown);
    if named.is_none() && !path.exists() {
        return Layer::new();
    }
    match text_of(&path) {
        Ok(text) => file::layer(&shown, &text, problems),
        Err(message) => {
            let source = named.map_or_else(|| Source::File(shown.clone()), |(_, source)| source.clone());
            problems.push(Problem::new("config", source, message));
            Layer::new()
        }
    }
}

fn serve(mut reader: Reader) -> Result<Command, Problems> {
    let said = reader.said;
    let check = reader.one("check-config", flag);
    let print = reader.one("print-config", flag);
    let config = config(&mut reader);
    // A file to start from is wanted most where there is no app yet, and one that
    // cannot be read may well name it.
    let is_unread = |problem: &Problem| problem.option == "config" || problem.option.is_empty();
    if print || reader.problems.iter().any(is_unread) {
        let is_missing = |problem: &Problem| problem.option == "app" && problem.source == Source::Default;
        reader.problems.retain(|problem| !is_missing(problem));
    }
    match (reader.problems.is_empty(), print, check) {
        (false, ..) => Err(Problems(reader.problems)),
        (true, true, _) => Ok(Command::PrintConfig(print::to_toml(said))),
        (true, false, true) => Ok(Command::CheckConfig(Box::new(config))),
        (true, false, false) => Ok(Command::Serve(Box::new(config))),
    }
}

fn config(reader: &mut Reader) -> Config {
    let chdir = reader.path("chdir");
    if let Some(dir) = &chdir {
        let checked = directory(dir);
        reader.base = checked.is_ok().then(|| dir.clone());
        checked.unwrap_or_else(|message| reader.wrong("chdir", message));
    }
    let compile = compile_limits(reader);
    Config {
        sandbox: compile.sandbox,
        bind: bind(reader),
        backlog: reader.one("backlog", number_in("connections", 1..=65_535)),
        master: master(reader, chdir),
        http: http(reader),
        health: health(reader),
        pool: pool(reader),
        log: log(reader),
        cache_dir: reader.path("cache-dir"),
        compile,
    }
}

fn bind(reader: &mut Reader) -> Vec<BindAddr> {
    let base = reader.base();
    let handed = reader.handed;
    let addresses = reader.many("bind", |text| match text.strip_prefix("fd://") {
        Some(name) if !name.bytes().all(|b| b.is_ascii_digit()) => named(name, handed),
        _ => text.parse::<BindAddr>()?.below(&base).map(|address| vec![address]),
    });
    let addresses = addresses.concat();
    for (at, address) in addresses.iter().enumerate() {
        if let BindAddr::Fd(number) = address
            && !Path::new(&format!("/proc/self/fd/{number}")).exists()
        {
            reader.wrong(
                "bind",
                format!("{address}: nothing is open there; who starts wasgun has to hand it down"),
            );
        }
        // Port 0 is another port each time.
        if !address.is_any_port() && addresses[..at].contains(address) {
            reader.wrong("bind", format!("{address} is there twice"));
        }
    }
    if reader.said.entry("bind").is_some_and(|entry| entry.values.is_empty()) {
        reader.wrong("bind", "no address to listen on");
    }
    addresses
}

/// The sockets that a service manager calls `name`.
fn named(name: &str, handed: &[Activated]) -> Result<Vec<BindAddr>, String> {
    let found: Vec<_> = handed.iter().filter(|socket| socket.name == name).collect();
    if found.is_empty() {
        let names: Vec<_> = handed.iter().map(|socket| socket.name.as_str()).collect();
        let there =
            if names.is_empty() { "none was".to_owned() } else { format!("there are: {}", names.join(", ")) };
        return Err(format!("fd://{name}: no socket of that name was handed over by systemd; {there}"));
    }
    Ok(found.into_iter().map(|socket| BindAddr::Fd(socket.number)).collect())
}

fn master(reader: &mut Reader, chdir: Option<PathBuf>) -> MasterConfig {
    let base = reader.base();
    MasterConfig {
        pid_file: reader.optional("pid", |text| {
            let file = base.join(path(text)?);
            // Under the name that was said, or it would be another one once it is there.
            if file.is_symlink() {
                return Err(format!("{} is a link, which is not followed: name a file", file.display()));
            }
            replaceable(&file)?;
            match std::fs::read_to_string(&file) {
                Ok(text) if !text.trim().chars().all(|c| c.is_ascii_digit()) => {
                    Err(format!("{} holds something else than a process id", file.display()))
                }
                _ => Ok(file),
            }
        }),
        daemon: reader.one("daemon", flag),
        control_socket: control_socket(reader),
        shutdown_delay: reader.one("shutdown-delay", duration),
        reload: reload(reader),
        graceful_timeout: reader.one("graceful-timeout", duration),
        worker_timeout: reader.one("worker-timeout", duration_from(Duration::from_secs(1))),
        identity: identity(reader),
        umask: reader.optional("umask", umask),
        chdir,
    }
}

fn http(reader: &mut Reader) -> HttpConfig {
    let rate = reader.one("min-rate", or_none(size_in(1..=1 << 30)));
    let mut patience =
        |option| Patience { time: reader.one(option, duration_from(Duration::from_millis(1))), rate };
    let (body_patience, write_patience) = (patience("body-timeout"), patience("write-timeout"));
    HttpConfig {
        keep_alive: reader.one("keep-alive", duration),
        header_timeout: reader.one("header-timeout", duration_from(Duration::from_millis(1))),
        body_patience,
        write_patience,
        limit_request_line: reader.one("limit-request-line", length_in(64..=LONGEST_LINE)),
        limit_request_fields: reader.one("limit-request-fields", number_in("fields", 1..=MOST_FIELDS))
            as usize,
        limit_request_field_size: reader.one("limit-request-field-size", length_in(64..=1 << 20)),
        limit_request_body: reader
            .one("limit-request-body", or_none(|text| text.parse().map(|ByteSize(bytes)| bytes))),
        body_buffer: reader.one("body-buffer", length_in(0..=1 << 30)),
        response_buffer: reader.one("response-buffer", length_in(1 << 10..=1 << 30)),
        forwarded_allow_ips: forwarded(reader),
    }
}

fn forwarded(reader: &mut Reader) -> Vec<IpNet> {
    let nets = |text: &str| match text {
        "*" => Ok(IpNet::EVERYTHING.to_vec()),
        _ => text.parse().map(|net| vec![net]).map_err(|error: String| format!("{error}, or *")),
    };
    reader.list("forwarded-allow-ips", nets).concat()
}

fn compile_limits(reader: &mut Reader) -> CompileLimits {
    CompileLimits {
        timeout: reader.one("compile-timeout", duration_from(Duration::from_secs(1))),
        memory: reader.one("compile-memory", size_in(64 << 20..=1 << 50)),
        sandbox: reader.one("sandbox", |text| match text {
            "off" => Ok(SandboxMode::Off),
            "best-effort" => Ok(SandboxMode::BestEffort),
            "required" => Ok(SandboxMode::Required),
            _ => Err(format!("{text:?} is no way to be confined: write off, best-effort or required")),
        }),
    }
}
