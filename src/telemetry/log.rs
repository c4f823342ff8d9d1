//! The server's own log, on standard error.

use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::outlet::{Outlet, Written};
use crate::config::{LogConfig, LogFormat, LogLevel};

type Format = Box<dyn Layer<Registry> + Send + Sync>;
type Formatted = Layered<reload::Layer<Format, Registry>, Registry>;

/// What can change while it logs. The filter is a layer of its own, around the
/// format: only then do events below its level cost a comparison and no more.
struct Current {
    format: reload::Handle<Format, Registry>,
    filter: reload::Handle<Targets, Formatted>,
}

static CURRENT: OnceLock<Current> = OnceLock::new();

static STDERR: OnceLock<Outlet> = OnceLock::new();

pub(super) fn stderr() -> &'static Outlet {
    STDERR.get_or_init(|| Outlet::new(2))
}

/// The descriptor that the log is written to, if it is none of the standard ones:
/// whoever closes what it inherited keeps this one.
pub fn descriptor() -> Option<RawFd> {
    stderr().descriptor()
}

/// Starts logging, or, once started, changes level and format: processes forked
/// later inherit what the one before them logs with.
///
/// What guests print shows at every level: it is the apps' log, not the server's.
/// Lines of the libraries below show from errors on, or all of them at level
/// trace.
pub fn init(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let others = if level == Level::TRACE { Level::TRACE } else { Level::ERROR };
    let filter = Targets::new()
        .with_default(others)
        .with_target("wasgun", level)
        .with_target("guest", level.max(Level::INFO));
    let style = config.format;
    let base = fmt::layer().with_writer(move || Lines { format: style });
    let format: Format = match style {
        LogFormat::Json => base.json().flatten_event(true).boxed(),
        LogFormat::Text => {
            let colour = io::IsTerminal::is_terminal(&io::stderr());
            base.compact().with_target(false).with_ansi(colour).boxed()
        }
    };
    match CURRENT.get() {
        Some(current) => current.change(format, filter),
        None => {
            let (format, format_handle) = reload::Layer::new(format);
            let (filter, filter_handle) = reload::Layer::new(filter);
            if tracing_subscriber::registry().with(format).with(filter).try_init().is_ok() {
                drop(CURRENT.set(Current { format: format_handle, filter: filter_handle }));
            }
        }
    }
}

impl Current {
    fn change(&self, format: Format, filter: Targets) {
        // These fail only if the subscriber is gone, and it is never dropped.
        drop(self.format.reload(format));
        drop(self.filter.reload(filter));
    }
}

/// Ends logging in this process.
pub fn silence() {
    if let Some(current) = CURRENT.get() {
        drop(current.filter.reload(Targets::new().with_default(LevelFilter::OFF)));
    }
}

/// Where the formatter writes its lines, each in one piece.
struct Lines {
    format: LogFormat,
}

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Written::AfterLoss(lost) = stderr().write_line(line) {
            let text = format!("{lost} log lines were lost before the last one: standard error was not read");
            let note = match self.format {
                LogFormat::Json => format!("{}\n", serde_json::json!({ "level": "WARN", "message": text })),
                LogFormat::Text => format!(" WARN {text}\n"),
            };
            stderr().write_line(note.as_bytes());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
