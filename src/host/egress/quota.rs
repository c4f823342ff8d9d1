//! How much an app sends.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::OutboundLimits;

/// What is left of it.
pub(super) struct Quota {
    on_their_way: Arc<Semaphore>,
    rate: Option<Mutex<Rate>>,
}

/// Requests in the second that began then.
struct Rate {
    most: u32,
    sent: u32,
    since: Instant,
}

/// Nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    Requests,
    Rate,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "--outbound-requests are on their way already",
            Self::Rate => "--outbound-rate were sent in this second already",
        })
    }
}

impl Quota {
    pub fn new(limits: OutboundLimits) -> Self {
        let rate = limits.rate.map(|most| Mutex::new(Rate { most, sent: 0, since: Instant::now() }));
        Self { on_their_way: Arc::new(Semaphore::new(limits.requests)), rate }
    }

    /// For one request, until the permit is dropped.
    ///
    /// # Errors
    /// There is nothing left.
    pub fn take(&self) -> Result<OwnedSemaphorePermit, Exhausted> {
        let permit = self.on_their_way.clone().try_acquire_owned().map_err(|_| Exhausted::Requests)?;
        match &self.rate {
            Some(rate) if !rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) => {
                Err(Exhausted::Rate)
            }
            _ => Ok(permit),
        }
    }
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.sent) = (now, 0);
        }
        let may = self.sent < self.most;
        self.sent += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_on_their_way_than_may_be() {
        let quota = Quota::new(OutboundLimits { connections: 1, requests: 2, rate: None });
        let (first, _second) = (quota.take().unwrap(), quota.take().unwrap());
        assert_eq!(quota.take().unwrap_err(), Exhausted::Requests);
        drop(first);
        assert!(quota.take().is_ok());
    }

    #[test]
    fn no_more_are_sent_in_a_second_than_may_be() {
        let start = Instant::now();
        let mut rate = Rate { most: 3, sent: 0, since: start };
        let sent =
            |rate: &mut Rate, ms| (0..5).filter(|_| rate.take(start + Duration::from_millis(ms))).count();
        assert_eq!([0, 999, 1_000, 1_500, 9_000].map(|ms| sent(&mut rate, ms)), [3, 0, 3, 0, 3]);
    }
}
