//! The epoch ticker: one thread a worker, asleep while no guest runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

use crate::sys::clock::ThreadClock;

/// The epochs advance when the worker has computed for so long, or, if it goes without
/// a processor at times, a little later.
const TICK: Duration = Duration::from_millis(5);

/// A guest that computes yields to the others of its worker after so many ticks.
/// With one, every guest that happens to run when the clock ticks would.
pub(super) const SLICE: u64 = 2;

/// Ticks without a guest before the thread parks: waking it costs more than a
/// few idle ticks, and under load it should not park between two requests.
const IDLE_TICKS: u32 = 40;

/// Advances the epochs of a worker's engines while guests run.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
}

/// A guest runs as long as this lives.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    /// Starts the thread, which watches the one that calls this; after the last fork,
    /// since threads do not survive one.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let clock = ThreadClock::of_this_thread()?;
        let shared = Arc::new(Shared { running: AtomicUsize::new(0), parked: AtomicBool::new(false) });
        let ticking = shared.clone();
        let handle = thread::Builder::new()
            .name("epoch".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || tick(&ticking, &engines, clock))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Notes that a guest runs.
    pub fn run(&self) -> Running {
        self.shared.running.fetch_add(1, SeqCst);
        // The other half of this handshake is in `tick`: each side writes its
        // own flag before it reads the other's, so one of them sees both.
        if self.shared.parked.load(SeqCst) {
            self.thread.unpark();
        }
        Running(self.shared.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

fn tick(shared: &Shared, engines: &[Engine], clock: ThreadClock) {
    let mut idle = IDLE_TICKS;
    let mut advanced = clock.read();
    loop {
        if idle >= IDLE_TICKS {
            shared.parked.store(true, SeqCst);
            while shared.running.load(SeqCst) == 0 {
                thread::park();
            }
            shared.parked.store(false, SeqCst);
        }
        thread::sleep(TICK);
        let now = clock.read();
        // By its time on the processor: a guest that was only kept waiting for one is
        // not to wait for the others too. A sleep is a little longer than asked for.
        if now.saturating_sub(advanced) >= TICK * 9 / 10 {
            advanced = now;
            for engine in engines {
                engine.increment_epoch();
            }
        }
        idle = if shared.running.load(SeqCst) > 0 { 0 } else { idle + 1 };
    }
}
