//! The epoch ticker: one thread a worker, asleep while no guest runs.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::sys::clock::ThreadClock;

/// The epochs advance by one for so much time that the worker has computed.
const UNIT: Duration = Duration::from_micros(250);

/// The ticker looks so often; more often would cost more than it gains, unless a
/// guest computes for long.
const TICK: u64 = 8;

/// A guest that computes yields to the others of its worker after so many units, or
/// one tick more: most are done by then, and lose nothing.
pub(super) const SLICE: u64 = 2 * TICK;

/// From then on it is one that computes for long, and yields after so many: the
/// others of its worker wait no longer than that for their turn.
const LATER_SLICE: u64 = 1;

/// Ticks without a guest before the thread parks: waking it costs more than a
/// few idle ticks, and under load it should not park between two requests.
const IDLE_TICKS: u32 = 40;

/// A turn shorter than this is taken to be all on the processor: asking the kernel
/// costs a good part of a small request.
const SHORT: Duration = Duration::from_millis(1);

/// Advances the epochs of a worker's engines while guests run, and tells how long they do.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    clock: ThreadClock,
    thread: Thread,
}

struct Shared {
    running: AtomicUsize,
    /// Guests that have computed for long.
    hogs: AtomicUsize,
    /// For the one of them that goes on next.
    next: Semaphore,
    parked: AtomicBool,
    /// What the clock of the worker's thread showed last, in nanoseconds.
    reading: AtomicU64,
}

/// A guest computes for long as long as this lives.
pub(super) struct Hog(Arc<Shared>);

/// The begin of a turn of a guest.
pub(super) struct Turn {
    began: Instant,
    reading: u64,
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
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            hogs: AtomicUsize::new(0),
            next: Semaphore::new(1),
            parked: AtomicBool::new(false),
            reading: AtomicU64::new(0),
        });
        let ticking = shared.clone();
        let handle = thread::Builder::new()
            .name("epoch".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || tick(&ticking, &engines, clock))?;
        Ok(Self { shared, clock, thread: handle.thread().clone() })
    }

    /// What becomes of a guest whose slice is over, and that is a hog from then on: it
    /// waits for its turn, and goes on for the units that are told.
    ///
    /// It yields by way of the runtime, which looks at sockets and timers before it goes
    /// on; the engine's own way to yield would have it do so every 61 times. And one hog
    /// goes on each time, so that the others wait for one slice, however many hogs there are.
    pub fn slices(&self) -> impl Fn(&mut Option<Hog>) -> (u64, BoxFuture<'static, ()>) + Send + Sync + use<> {
        let shared = self.shared.clone();
        move |hog| {
            hog.get_or_insert_with(|| {
                shared.hogs.fetch_add(1, SeqCst);
                Hog(shared.clone())
            });
            let shared = shared.clone();
            let turn = Box::pin(async move {
                // Nobody closes it.
                let _next = shared.next.acquire().await;
                tokio::task::yield_now().await;
            });
            (LATER_SLICE, turn)
        }
    }

    /// Whether there is one that computes for long.
    pub fn has_hogs(&self) -> bool {
        self.shared.hogs.load(Relaxed) > 0
    }

    /// Notes that a guest, or the host for it, begins to use the worker's thread.
    pub fn turn(&self) -> Turn {
        Turn { began: Instant::now(), reading: self.shared.reading.load(Relaxed) }
    }

    /// The time on the processor since then. By the clock of the thread only if it was
    /// long, and then at most what passed since that was last read.
    pub fn spent(&self, turn: Turn) -> Duration {
        let passed = turn.began.elapsed();
        if passed < SHORT {
            return passed;
        }
        let now = self.clock.read();
        self.shared.reading.store(now.as_nanos() as u64, Relaxed);
        passed.min(now.saturating_sub(Duration::from_nanos(turn.reading)))
    }

    /// Notes that a guest runs.
    pub fn run(&self) -> Running {
        self.shared.running.fetch_add(1, SeqCst);
        // The other half of this handshake is in `tick`: each side writes its
        // own flag before it reads the other's, so one of them sees both.
        if self.shared.parked.load(SeqCst) {
            self.shared.reading.store(self.clock.read().as_nanos() as u64, Relaxed);
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

impl Drop for Hog {
    fn drop(&mut self) {
        self.0.hogs.fetch_sub(1, SeqCst);
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
        let units = if shared.hogs.load(SeqCst) > 0 { 1 } else { TICK as u32 };
        thread::sleep(UNIT * units);
        let now = clock.read();
        shared.reading.store(now.as_nanos() as u64, Relaxed);
        // By its time on the processor: a guest that was only kept waiting for one is
        // not to wait for the others too. A sleep is a little longer than asked for.
        if now.saturating_sub(advanced) >= UNIT * units * 9 / 10 {
            advanced = now;
            for engine in engines {
                (0..units).for_each(|_| engine.increment_epoch());
            }
        }
        idle = if shared.running.load(SeqCst) > 0 { 0 } else { idle + 1 };
    }
}
