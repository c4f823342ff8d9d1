//! A timer finer than the runtime's millisecond.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A `timerfd_create(2)` timer: readable when it has expired.
#[derive(Debug)]
pub struct Timer(TimerFd);

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> nix::Result<Self> {
        TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC).map(Self)
    }

    /// Has it expire once, after `time`.
    ///
    /// # Errors
    /// `timerfd_settime(2)` fails.
    pub fn set(&self, time: Duration) -> nix::Result<()> {
        self.0.set(Expiration::OneShot(TimeSpec::from_duration(time)), TimerSetTimeFlags::empty())
    }

    /// Has it expire at once, and then in steps of `period`.
    ///
    /// # Errors
    /// `timerfd_settime(2)` fails.
    pub fn set_every(&self, period: Duration) -> nix::Result<()> {
        let at_once = TimeSpec::from_duration(Duration::from_nanos(1));
        let steps = Expiration::IntervalDelayed(at_once, TimeSpec::from_duration(period));
        self.0.set(steps, TimerSetTimeFlags::empty())
    }

    /// Takes note that it has expired.
    ///
    /// # Errors
    /// `EAGAIN`: it has not.
    pub fn acknowledge(&self) -> nix::Result<()> {
        nix::unistd::read(&self.0, &mut [0; 8]).map(drop)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl super::fd::Owner for Timer {}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
