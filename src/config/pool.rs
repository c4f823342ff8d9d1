//! How many workers, and when they are replaced.

use std::time::Duration;

use super::app::app;
use super::reader::Reader;
use super::values::{duration, duration_from, number_in, or_none, size_in};
use super::{AppConfig, cpus};

/// Most requests a worker can be given; with the jitter's as many again it is far
/// from overflowing.
const MOST_REQUESTS: u32 = 4_000_000_000;

/// A group of workers that serve the same apps.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// How many workers.
    pub workers: Workers,
    /// Requests in flight per worker.
    pub max_concurrency: usize,
    /// Requests per worker that wait for one of these to end.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Open connections per worker.
    pub max_connections: usize,
    /// When a worker is replaced that works.
    pub recycling: Recycling,
    /// What the kernel lets each of them have at most.
    pub ceiling: Ceiling,
    /// How many workers a reload starts at a time.
    pub reload_surge: Surge,
    /// The apps; never empty.
    pub apps: Vec<AppConfig>,
}

/// How many workers, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// To start with, and never fewer than this; at least 1.
    pub count: usize,
    /// Most, when the load asks for it; otherwise the same.
    pub most: usize,
    /// For the log: who said so (`--workers`, `WEB_CONCURRENCY`), or what was
    /// found (`auto: 2 CPUs by affinity`, `auto: 1.5 CPUs by cpu.max`).
    pub reason: String,
}

/// What a worker may have of the machine, as the kernel counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor's time.
    pub millicpus: Option<u32>,
}

/// When a worker is replaced although nothing is wrong with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recycling {
    /// After as many requests; 0 for never.
    pub max_requests: u64,
    /// Upper bound of a random number added to that.
    pub max_requests_jitter: u64,
    /// After as long.
    pub lifetime: Option<Duration>,
    /// When it has more bytes of memory, what it shares counted in part (PSS).
    pub memory: Option<u64>,
}

/// A number of workers, absolute or relative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surge {
    /// As many.
    Count(usize),
    /// As many of a hundred.
    Percent(usize),
}

impl Default for Surge {
    fn default() -> Self {
        Self::Count(1)
    }
}

impl Surge {
    /// As a number of `workers`, rounded up; at least 1.
    #[must_use]
    pub fn of(self, workers: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (workers * percent).div_ceil(100),
        }
        .max(1)
    }
}

/// The group of workers the options describe.
pub(super) fn pool(reader: &mut Reader) -> PoolConfig {
    PoolConfig {
        workers: workers(reader),
        max_concurrency: reader.one("max-concurrency", number_in("requests", 1..=4096)) as usize,
        queue: reader.one("queue", number_in("requests", 0..=65_536)) as usize,
        queue_timeout: reader.one("queue-timeout", duration),
        max_connections: reader.one("max-connections", number_in("connections", 1..=1_000_000)) as usize,
        recycling: recycling(reader),
        ceiling: Ceiling {
            memory: reader.one("cgroup-memory", or_none(size_in(16 << 20..=1 << 50))),
            millicpus: reader.one("cgroup-cpus", or_none(millicpus)),
        },
        reload_surge: reader.optional("reload-surge", surge).unwrap_or_default(),
        apps: vec![app(reader)],
    }
}

fn workers(reader: &mut Reader) -> Workers {
    let reason = reader.said.entry("workers").map_or_else(String::new, |entry| entry.source.shown("workers"));
    let count = |text: &str| number_in("workers", 1..=cpus::MOST_WORKERS)(text).map(|count| count as usize);
    let said = reader.one("workers", |text| match text.split_once("..") {
        None if text == "auto" => Ok(None),
        None => count(text)
            .map(|count| Some((count, count)))
            .map_err(|error| format!("{error}, a range such as 2..8, or auto")),
        Some((least, most)) => match (count(least)?, count(most)?) {
            (least, most) if least <= most => Ok(Some((least, most))),
            _ => Err(format!("{text:?} is an empty range: write the smaller number first")),
        },
    });
    match said {
        Some((count, most)) => Workers { count, most, reason },
        None => cpus::auto(),
    }
}

fn recycling(reader: &mut Reader) -> Recycling {
    let requests = number_in("requests", 0..=MOST_REQUESTS);
    let max_requests: u32 = reader.one("max-requests", &requests);
    let jitter = reader.optional("max-requests-jitter", &requests).unwrap_or(max_requests / 10);
    Recycling {
        max_requests: max_requests.into(),
        max_requests_jitter: jitter.into(),
        lifetime: reader.one("max-worker-lifetime", or_none(duration_from(Duration::from_secs(1)))),
        memory: reader.one("worker-max-memory", or_none(size_in(1 << 20..=1 << 50))),
    }
}

fn millicpus(text: &str) -> Result<u32, String> {
    let cpus = text.parse().ok().filter(|cpus: &f64| (0.01..=1024.0).contains(cpus));
    let mistake = || format!("{text:?} is no number of processors: write one from 0.01 to 1024, such as 1.5");
    cpus.map(|cpus| (cpus * 1000.0).round() as u32).ok_or_else(mistake)
}

fn surge(text: &str) -> Result<Surge, String> {
    match text.strip_suffix('%') {
        Some(percent) => {
            number_in("percent", 1..=100)(percent).map(|percent| Surge::Percent(percent as usize))
        }
        None => number_in("workers", 1..=cpus::MOST_WORKERS)(text).map(|count| Surge::Count(count as usize)),
    }
    .map_err(|error| format!("{error}; a share has a percent sign, such as 25%"))
}
