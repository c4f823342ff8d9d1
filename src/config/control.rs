//! What a running server can be asked to do.

use serde::{Deserialize, Serialize};

/// A request to the control socket; in JSON, `{"command":"scale","workers":4}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlAction {
    /// Tell how things stand.
    Status,
    /// Change the number of workers.
    Scale {
        /// How many there shall be.
        workers: usize,
    },
    /// Read configuration and app anew, and replace the workers.
    Reload {
        /// Whether to answer only once that is done.
        #[serde(default)]
        wait: bool,
    },
    /// Go back to the generation before.
    Rollback {
        /// Whether to answer only once that is done.
        #[serde(default)]
        wait: bool,
    },
    /// Hand over to a new master, started from the file of this one.
    Upgrade {
        /// Whether to answer only once that is done.
        #[serde(default)]
        wait: bool,
    },
    /// Replace one worker.
    Recycle {
        /// Its process id.
        pid: i32,
    },
    /// Change the least severe level that is logged.
    LogLevel {
        /// Name of the level, as `--log-level` takes it.
        level: String,
    },
    /// Stop the server.
    Stop {
        /// Whether to drop the requests in flight.
        #[serde(default)]
        now: bool,
    },
}

impl ControlAction {
    /// Whether the answer comes only when what was asked for has happened.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(
            self,
            Self::Reload { wait: true } | Self::Rollback { wait: true } | Self::Upgrade { wait: true }
        )
    }

    /// The commands with their fields, for a person who got one wrong.
    pub const COMMANDS: &str = "status, scale (workers), reload (wait), rollback (wait), upgrade (wait), \
                                recycle (pid), log-level (level), stop (now)";
}
