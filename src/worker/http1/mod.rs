//! What HTTP/1.1 a client may speak: strict framing between a socket and hyper.
//!
//! hyper reads leniently (a bare LF ends a line, agreeing duplicate lengths
//! are merged), and two parties who read the same bytes differently are how
//! requests are smuggled. So [`Guard`] reads the socket first and hands hyper
//! only bytes that mean one thing. At the first byte that does not, it hands on
//! a synthetic request in place of the bad one, which the service answers with
//! the [`Violation`] that [`ConnState`] keeps, and never reads another request.

mod allowance;
mod chunked;
mod framer;
mod guard;
mod head;
mod linger;
mod state;
mod syntax;
#[cfg(test)]
mod tests;
mod timer;
mod writing;

use std::fmt;
use std::time::Duration;

use crate::config::Patience;

pub(super) use self::allowance::Allowance;
pub use self::guard::Guard;
pub use self::state::{ConnState, InFlight};

/// Most bytes of a head, whatever the single limits add up to: what one client
/// can make a worker keep for it before a request is known. Below hyper's own
/// 408 KiB, so that hyper never refuses a head that passed here.
const MAX_HEAD: usize = 256 * 1024;

/// More than any connection lives, and little enough to be added to a clock.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How much and how long a client may speak before its request is known.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request line, CRLF not counted.
    pub request_line: usize,
    /// Number of fields of a head, and of a trailer section.
    pub fields: usize,
    /// Bytes of one field: name, colon and value, CRLF not counted.
    pub field_size: usize,
    /// From the first byte of a head to its last; also how long a new
    /// connection may stay silent.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// How long a client may have its answer wait.
    pub send: Patience,
}

/// Why a request is refused; its connection is closed after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Status code of the answer: 400, 408, 414, 431, 501 or 505.
    pub status: u16,
    /// For the log and the response body; tells nothing the client sent.
    pub reason: &'static str,
}

impl Violation {
    const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Violation {}
