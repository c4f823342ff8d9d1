//! Running clients, and waiting for what they reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clients;
use crate::tally::{Tally, Totals};
use crate::wire::{Address, PATIENCE};

/// Running clients.
pub struct Load {
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    clients: Vec<(Arc<AtomicU64>, JoinHandle<()>)>,
}

impl Load {
    /// Starts all clients. The quick ones aim at `rate` requests a second in all; 0
    /// means as many as they can.
    pub fn start(addresses: &[Address], rate: u64) -> Self {
        let tally = Arc::new(Tally::new());
        let stop = Arc::new(AtomicBool::new(false));
        let clients = clients::all(addresses, rate, &tally, &stop).into_iter().map(|client| {
            let served = client.served.clone();
            (served, std::thread::spawn(move || client.run()))
        });
        let clients = clients.collect();
        Self { tally, stop, clients }
    }

    /// Waits until so many requests were answered in all, or until `limit`.
    #[must_use]
    pub fn reaches(&self, count: u64, limit: Duration) -> bool {
        within(limit, || self.tally.count() >= count)
    }

    /// Waits until every client has been answered once more.
    #[must_use]
    pub fn all_go_on(&self) -> bool {
        let served = || self.clients.iter().map(|(served, _)| served.load(SeqCst));
        let before: Vec<_> = served().collect();
        within(2 * PATIENCE, || served().zip(&before).all(|(now, before)| now > *before))
    }

    /// Ends the clients, each behind the answers that it waits for.
    pub fn stop(mut self) -> Totals {
        // Before the quick ones end, and only the slow ones are left.
        let gap = self.tally.totals().gap;
        self.end();
        Totals { gap, ..self.tally.totals() }
    }

    fn end(&mut self) {
        self.stop.store(true, SeqCst);
        for (_, client) in self.clients.drain(..) {
            if client.join().is_err() {
                self.tally.trouble("a client has panicked");
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits up to `limit` for `condition`, and says whether it held.
#[must_use]
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
