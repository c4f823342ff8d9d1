//! How many workers, and when they are replaced.

use std::time::Duration;

use super::app::app;
use super::reader::Reader;
use super::values::{duration, duration_from, number_in, or_none, size_in};
use super::{PoolConfig, Recycling, Surge, Workers, cpus};

/// Most requests a worker can be given; with the jitter's as many again it is far
/// from overflowing.
const MOST_REQUESTS: u32 = 4_000_000_000;

/// The group of workers the options describe.
pub(super) fn pool(reader: &mut Reader) -> PoolConfig {
    PoolConfig {
        workers: workers(reader),
        max_concurrency: reader.one("max-concurrency", number_in("requests", 1..=4096)) as usize,
        queue: reader.one("queue", number_in("requests", 0..=65_536)) as usize,
        queue_timeout: reader.one("queue-timeout", duration),
        max_connections: reader.one("max-connections", number_in("connections", 1..=1_000_000)) as usize,
        recycling: recycling(reader),
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

fn surge(text: &str) -> Result<Surge, String> {
    match text.strip_suffix('%') {
        Some(percent) => {
            number_in("percent", 1..=100)(percent).map(|percent| Surge::Percent(percent as usize))
        }
        None => number_in("workers", 1..=cpus::MOST_WORKERS)(text).map(|count| Surge::Count(count as usize)),
    }
    .map_err(|error| format!("{error}; a share has a percent sign, such as 25%"))
}
