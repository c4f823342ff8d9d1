//! One clock for every process of the server, and one for each thread.

use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// Milliseconds of `CLOCK_MONOTONIC`: comparable between processes, and
/// standing still while the machine is suspended (`clock_gettime(2)`).
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC always exists on Linux");
    now.tv_sec() as u64 * 1000 + now.tv_nsec() as u64 / 1_000_000
}

/// How long a thread has been running on a processor.
#[derive(Debug, Clone, Copy)]
pub struct ThreadClock(ClockId);

impl ThreadClock {
    /// That of the thread that calls this; others may read it as long as it lives.
    ///
    /// # Errors
    /// The kernel has none.
    pub fn of_this_thread() -> std::io::Result<Self> {
        let mut clock = 0;
        // SAFETY: a thread that runs has a handle, and the result is written to a
        // variable that outlives the call.
        match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } {
            0 => Ok(Self(ClockId::from_raw(clock))),
            code => Err(Errno::from_raw(code).into()),
        }
    }

    /// What it shows; nothing once the thread has ended.
    pub fn read(self) -> Duration {
        clock_gettime(self.0).map_or(Duration::ZERO, Duration::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_uses_no_time() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || {
            sender.send(ThreadClock::of_this_thread().unwrap()).unwrap();
            stopped.recv().unwrap_err();
        });
        let (here, there) = (ThreadClock::of_this_thread().unwrap(), receiver.recv().unwrap());
        let (begin, other) = (here.read(), there.read());
        while here.read() < begin + Duration::from_millis(50) {}
        assert!(there.read() - other < Duration::from_millis(25), "it only waits");
        drop(stop);
        waiting.join().unwrap();
    }
}
