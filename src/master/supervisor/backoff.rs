//! How long to wait before the next try.

/// Shortest wait, after a second failure in a row; the first is retried at once.
const FIRST_WAIT: u64 = 100;

/// Longest wait.
const LONGEST_WAIT: u64 = 30_000;

/// Exponential, with jitter; one for each thing that is tried again.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure; milliseconds to wait before the next try. `seed` is
    /// stepped: equal seeds give equal waits.
    pub fn next(&mut self, seed: &mut u64) -> u64 {
        self.failures += 1;
        if self.failures == 1 {
            return 0;
        }
        let doublings = (self.failures - 2).min(20);
        let wait = (FIRST_WAIT << doublings).min(LONGEST_WAIT);
        // A quarter up or down, so that workers that died together do not
        // return together.
        wait * 3 / 4 + random(seed) % (wait / 2 + 1)
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// xorshift64: enough to spread retries.
pub(super) fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
