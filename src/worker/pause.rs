//! Waits by timers of the kernel: those of the runtime are rounded up to a
//! millisecond, and wake an idle worker more often than they expire.

use std::io;
use std::time::Duration;

use anyhow::Result;
use tokio::io::unix::AsyncFd;

use crate::sys::fd;
use crate::sys::timer::Timer;

/// One timer.
pub(super) struct Pause(AsyncFd<Timer>);

impl Pause {
    /// One that is set by each wait.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> Result<Self> {
        Ok(Self(fd::watch(Timer::new()?)?))
    }

    /// One that expires at once, and then in steps of `period`.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn every(period: Duration) -> Result<Self> {
        let pause = Self::new()?;
        pause.0.get_ref().set_every(period)?;
        Ok(pause)
    }

    /// Waits for `time`.
    pub async fn wait(&self, time: Duration) -> io::Result<()> {
        self.0.get_ref().set(time)?;
        self.expired().await
    }

    /// Waits until it has expired; those times that nobody waited for count as one.
    pub async fn expired(&self) -> io::Result<()> {
        loop {
            let mut expired = self.0.readable().await?;
            match expired.try_io(|timer| timer.get_ref().acknowledge().map_err(io::Error::from)) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }
}
