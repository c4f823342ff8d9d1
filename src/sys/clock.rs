//! One clock for every process of the server.

use nix::time::{ClockId, clock_gettime};

/// Milliseconds of `CLOCK_MONOTONIC`: comparable between processes, and
/// standing still while the machine is suspended (`clock_gettime(2)`).
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC always exists on Linux");
    now.tv_sec() as u64 * 1000 + now.tv_nsec() as u64 / 1_000_000
}
