//! How to log.

use std::path::PathBuf;

use super::reader::Reader;

/// How to log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Least severe level that is shown.
    pub level: LogLevel,
    /// Form of the lines, access log included.
    pub format: LogFormat,
    /// Access log; `None`: none is written.
    pub access: Option<AccessLogTarget>,
}

/// Severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// All of them, the most severe first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
}

impl std::str::FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "error" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(format!("{text:?} is not a level: write error, warn, info, debug or trace")),
        }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where access lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to, reopened on USR1.
    File(PathBuf),
}

impl std::fmt::Display for AccessLogTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What is said about logs.
pub(super) fn log(reader: &mut Reader) -> LogConfig {
    LogConfig {
        level: reader.one("log-level", str::parse),
        format: reader.one("log-format", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("{text:?} is not a form of log lines: write text or json")),
        }),
        access: match reader.said.entry("access-log").and_then(|entry| entry.values.last()) {
            Some(text) if text == "-" => Some(AccessLogTarget::Stdout),
            _ => reader.file_to_write("access-log").map(AccessLogTarget::File),
        },
    }
}
