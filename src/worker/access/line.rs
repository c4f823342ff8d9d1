//! The access line of a request.

use std::time::SystemTime;

use http::HeaderValue;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{self, FormatTime};

use super::Exchange;
use crate::config::LogFormat;

impl Exchange {
    /// In the form of the server's log.
    pub(super) fn line(&self) -> Vec<u8> {
        let status = self.status.map_or(499, |status| status.as_u16());
        let micros = self.started.elapsed().as_micros() as u64;
        let peer = self.peer();
        let version = self.spoken.clone().unwrap_or_else(|| format!("{:?}", self.version));
        let text = |value: &Option<HeaderValue>| {
            value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        match self.worker.inheritance.config.log.format {
            LogFormat::Json => {
                let line = serde_json::json!({
                    "timestamp": timestamp(),
                    "client": peer,
                    "method": self.method.as_str(),
                    "path": self.target,
                    "version": version,
                    "status": status,
                    "bytes": self.sent,
                    "complete": self.complete,
                    "us": micros,
                    "received": self.received(),
                    "cpu_us": self.usage.processor().as_micros() as u64,
                    "memory": self.usage.memory(),
                    "outbound": self.usage.outbound(),
                    "referer": text(&self.referer),
                    "user_agent": text(&self.agent),
                    "request": &*self.id,
                    "app": self.worker.apps[0].config().name,
                });
                format!("{line}\n").into_bytes()
            }
            LogFormat::Text => {
                let quoted = |value| text(value).map_or_else(|| "-".to_owned(), |text| escape(&text));
                format!(
                    "{peer} - - [{}] \"{} {} {}\" {status} {} \"{}\" \"{}\" {micros} {} in={} cpu={} memory={} outbound={}{}\n",
                    common_log_date(SystemTime::now()),
                    self.method,
                    escape(&self.target),
                    version,
                    self.sent,
                    quoted(&self.referer),
                    quoted(&self.agent),
                    self.id,
                    self.received(),
                    self.usage.processor().as_micros(),
                    self.usage.memory(),
                    self.usage.outbound(),
                    if self.complete { "" } else { " incomplete" },
                )
                .into_bytes()
            }
        }
    }
}

/// Quotes and control characters would let a client forge lines.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The time as the server's own log writes it (RFC 3339).
fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = time::SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// `24/Nov/2026:03:00:00 +0000`, as in the common log format.
fn common_log_date(now: SystemTime) -> String {
    // "Tue, 24 Nov 2026 03:00:00 GMT"
    let date = httpdate::fmt_http_date(now);
    let mut parts = date.split(' ').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    format!("{}/{}/{}:{} +0000", part(), part(), part(), part())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn dates_are_those_of_the_common_log_format() {
        assert_eq!(
            common_log_date(UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
            "09/Sep/2001:01:46:40 +0000"
        );
    }

    #[test]
    fn a_field_cannot_end_its_quotes_or_its_line() {
        assert_eq!(escape("a\" 200 \n\u{1b}[31m\\"), "a\\\" 200 \\n\\u{1b}[31m\\\\");
    }
}
