//! What can happen thousands of times a second is said once a second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sys::clock;

/// Between two lines, in milliseconds.
const PAUSE: u64 = 1_000;

/// When something was last said, and how often it has happened since.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// In milliseconds of the monotonic clock.
    said_at: AtomicU64,
    untold: AtomicU64,
}

impl Throttle {
    /// It happens: says it by `say`, with how often it has happened untold, unless
    /// that was said just now.
    pub fn note(&self, say: impl FnOnce(u64)) {
        if self.may_speak() {
            say(self.untold.swap(0, Relaxed));
        } else {
            self.untold.fetch_add(1, Relaxed);
        }
    }

    /// Says what is still untold, if it is time to; called every second or so.
    pub fn catch_up(&self, say: impl FnOnce(u64)) {
        if self.untold.load(Relaxed) > 0 && self.may_speak() {
            say(self.untold.swap(0, Relaxed));
        }
    }

    fn may_speak(&self) -> bool {
        let (now, said_at) = (clock::monotonic_ms(), self.said_at.load(Relaxed));
        let may = said_at == 0 || now.saturating_sub(said_at) >= PAUSE;
        if may {
            self.said_at.store(now, Relaxed);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_others_are_counted() {
        let throttle = Throttle::default();
        let mut said = Vec::new();
        for _ in 0..5 {
            throttle.note(|untold| said.push(untold));
        }
        throttle.catch_up(|untold| said.push(untold));
        assert_eq!(said, [0]);
        // As if a second had passed.
        throttle.said_at.fetch_sub(PAUSE, Relaxed);
        throttle.catch_up(|untold| said.push(untold));
        throttle.said_at.fetch_sub(PAUSE, Relaxed);
        throttle.catch_up(|untold| said.push(untold));
        throttle.note(|untold| said.push(untold));
        assert_eq!(said, [0, 4, 0]);
    }
}
