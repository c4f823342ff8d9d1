//! What the server answers.

use serde::{Deserialize, Serialize};

/// Answer to one request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether what was asked for was done, or begun if nobody wanted to wait.
    pub ok: bool,
    /// What was done, for a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// How things stand, if that was the question.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Status>,
}

impl Reply {
    /// It was done.
    pub fn done(message: impl Into<String>) -> Self {
        Self { ok: true, message: Some(message.into()), ..Self::default() }
    }

    /// It was not done.
    pub fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// How things stand.
    pub fn status(status: Status) -> Self {
        Self { ok: true, status: Some(status), ..Self::default() }
    }

    /// As it crosses the socket, without the end of the line.
    pub fn to_json(&self) -> String {
        // What is only numbers and texts can always be said.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How the server is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of wasgun.
    pub version: String,
    /// Process id of the master.
    pub pid: i32,
    /// Milliseconds since the master started.
    pub uptime_ms: u64,
    /// `ready`, `degraded`, `starting`, `reloading`, `upgrading` or `stopping`.
    pub state: String,
    /// The generation that serves; the first is 1.
    pub generation: u32,
    /// The generation that a rollback would go back to.
    pub previous: Option<u32>,
    /// Name of the app.
    pub app: String,
    /// How many workers there shall be.
    pub workers_wanted: usize,
    /// How many workers serve.
    pub workers_ready: usize,
    /// Fewest and most workers, where the server scales by itself.
    pub scaling: Option<(usize, usize)>,
    /// Addresses listened on, as a person would use them.
    pub listeners: Vec<String>,
    /// Requests answered since the master started.
    pub requests: u64,
    /// Milliseconds of processor time that the app has used since the master started.
    #[serde(default)]
    pub app_cpu_ms: u64,
    /// Bytes of request bodies that have come since then.
    #[serde(default)]
    pub received: u64,
    /// Bytes of response bodies that have gone out since then.
    #[serde(default)]
    pub sent: u64,
    /// Requests that the app has sent since then.
    #[serde(default)]
    pub outbound: u64,
    /// Requests being worked on.
    pub in_flight: u64,
    /// Requests that wait for a place.
    pub waiting: u64,
    /// Open connections of clients.
    pub connections: u64,
    /// Workers started in place of others since the master started.
    pub restarts: u64,
    /// Most connections of a ready worker over their mean: 1 is even.
    pub imbalance: Option<f64>,
    /// The last reload, rollback, upgrade or change of scale, and how it went.
    pub last_change: Option<String>,
    /// A row per worker, by slot.
    pub workers: Vec<WorkerStatus>,
}

/// How one worker is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its place, the same for whoever succeeds it.
    pub slot: usize,
    /// Process id, while it has a process.
    pub pid: Option<i32>,
    /// The generation it serves.
    pub generation: u32,
    /// `waiting`, `forking`, `booting`, `ready`, `recycling`, `draining` or `dying`.
    pub state: String,
    /// Milliseconds since it was forked.
    pub age_ms: u64,
    /// Requests it answered.
    pub requests: u64,
    /// Requests it works on.
    pub in_flight: u64,
    /// Open connections of clients.
    pub connections: u64,
    /// How often the slot was filled again.
    pub restarts: u32,
    /// Why the one before it in the slot ended.
    pub last_end: Option<String>,
    /// Bytes of memory, shared pages counted by share.
    pub pss: Option<u64>,
    /// Milliseconds of processor time.
    pub cpu_ms: Option<u64>,
    /// Milliseconds since it last said that it is alive.
    pub beat_age_ms: Option<u64>,
}
