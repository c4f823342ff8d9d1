//! The clients: a thread and a connection each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::asking::{Ask, check};
use crate::tally::{Break, Failure, Tally};
use crate::wire::{Address, Look, Lost, PATIENCE, Wire};

/// Requests that are sent at once by who does not wait for answers.
const BURST: u64 = 8;

/// The longest pause of a client that pauses: longer than what servers usually
/// call idle, and within their keep-alive time.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How soon a client notices that it is to stop.
const NOTICE: Duration = Duration::from_millis(50);

/// How a client uses connections.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// One for each request.
    Fresh,
    /// One for as long as the server keeps it.
    Kept,
    /// The same, with pauses.
    Pausing,
    /// The same as `Kept`, and eight requests at once.
    Pipelined,
}

/// A client of each kind for each address and path. The quick ones aim at `rate`
/// requests a second in all; 0 means as many as they can.
pub fn all(addresses: &[Address], rate: u64, tally: &Arc<Tally>, stop: &Arc<AtomicBool>) -> Vec<Client> {
    use Kind::{Fresh, Kept, Pausing, Pipelined};
    // With their parts of the rate, in percent; who waits for others has none.
    let kinds = [
        (Fresh, Ask::Hello, 20),
        (Kept, Ask::Hello, 30),
        (Pipelined, Ask::Hello, 50),
        (Pausing, Ask::Hello, 0),
        (Fresh, Ask::Sleep, 0),
        (Kept, Ask::Sleep, 0),
        (Pipelined, Ask::Sleep, 0),
    ];
    let each = addresses.iter().flat_map(|address| kinds.map(|kind| (address, kind)));
    let clients = each.zip(1..).map(|((address, (kind, ask, share)), number)| {
        let burst = if kind == Pipelined { BURST } else { 1 };
        let every = match share * rate {
            0 => Duration::ZERO,
            share => Duration::from_secs(100 * burst * addresses.len() as u64).div_f64(share as f64),
        };
        Client {
            address: address.clone(),
            kind,
            ask,
            burst,
            every,
            stop: stop.clone(),
            tally: tally.clone(),
            served: Arc::default(),
            rounds: 0,
            random: number,
            kept: None,
        }
    });
    clients.collect()
}

/// A client.
pub struct Client {
    address: Address,
    kind: Kind,
    ask: Ask,
    burst: u64,
    /// The time from one round to the next; zero means at once.
    every: Duration,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    /// Right answers.
    pub served: Arc<AtomicU64>,
    rounds: u64,
    random: u64,
    kept: Option<Kept>,
}

/// A connection between two rounds.
struct Kept {
    wire: Wire,
    worker: Option<i32>,
    since: Instant,
}

impl Client {
    /// Asks until it is to stop, and then to the end of what it has asked.
    pub fn run(mut self) {
        let mut due = Instant::now();
        while !self.stop.load(SeqCst) {
            self.round();
            let now = Instant::now();
            due = match self.kind {
                Kind::Pausing => now + LONGEST_PAUSE.mul_f64(self.random()),
                // Who is late does not catch up: that would be a burst.
                _ => (due + self.every).max(now),
            };
            self.rest(due);
        }
    }

    /// Waits, and looks after the connection meanwhile.
    fn rest(&mut self, due: Instant) {
        while !self.stop.load(SeqCst) {
            let left = due.saturating_duration_since(Instant::now()).min(NOTICE);
            if left.is_zero() {
                return;
            }
            match self.kept.take() {
                Some(kept) => self.kept = self.examine(kept, left),
                None => std::thread::sleep(left),
            }
        }
    }

    /// Hands a connection back that is still open.
    fn examine(&self, kept: Kept, wait: Duration) -> Option<Kept> {
        match kept.wire.look(wait) {
            Look::Quiet => return Some(kept),
            Look::Closed => self.tally.broke(Break {
                at: Instant::now(),
                worker: kept.worker,
                lost: 0,
                kept: true,
                idle: Some(kept.since.elapsed()),
            }),
            Look::Talkative => self.unasked("bytes that nobody asked for"),
        }
        None
    }

    /// Sends what is to be sent in a round, until all of it has succeeded or failed.
    fn round(&mut self) {
        self.rounds += 1;
        let (mut left, sent) = (self.burst, Instant::now());
        self.tally.issued(left);
        while left > 0 {
            left = self.attempt(left, sent);
        }
    }

    /// Sends `count` requests; how many of them are to be sent again.
    fn attempt(&mut self, count: u64, sent: Instant) -> u64 {
        let kept = self.kept.take().and_then(|kept| self.examine(kept, Duration::ZERO));
        let was_kept = kept.is_some();
        let (mut wire, mut worker) = match kept {
            Some(kept) => (kept.wire, kept.worker),
            None => match Wire::open(&self.address) {
                Ok(wire) => (wire, None),
                Err(error) => {
                    self.not_connected(&error);
                    return count - 1;
                }
            },
        };
        // Either side may be who closes a connection of one request.
        let asks_to_close = self.kind == Kind::Fresh && self.rounds.is_multiple_of(2);
        let asks: Vec<_> = (0..count).map(|n| self.ask(n, count, was_kept)).collect();
        let bytes: String = asks.iter().map(|ask| ask.request(asks_to_close)).collect();
        if let Err(error) = wire.send(bytes.as_bytes()) {
            self.lost(Lost::Reset(error), count, worker, was_kept);
            return 0;
        }
        let deadline = Instant::now() + PATIENCE;
        for (n, ask) in (0..).zip(asks) {
            let response = match wire.response(deadline) {
                Ok(response) => response,
                Err(lost) => {
                    self.lost(lost, count - n, worker, was_kept || n > 0);
                    return 0;
                }
            };
            match check(ask, &response) {
                Ok(named) => {
                    worker = named.or(worker);
                    // What waited behind slow ones is not quick.
                    self.tally.completed(sent, self.ask == Ask::Hello);
                    self.served.fetch_add(1, SeqCst);
                }
                Err((why, what)) => self.tally.failed(why, 1, format_args!("{what}; {}", self.name())),
            }
            if asks_to_close {
                self.expect_the_end(&wire);
            } else if response.close {
                self.tally.announced();
                self.tally.resent(count - n - 1);
                return count - n - 1;
            }
        }
        if self.kind != Kind::Fresh {
            self.kept = Some(Kept { wire, worker, since: Instant::now() });
        }
        0
    }

    /// The request in place `n` of `count`. The first on a connection asks who is there,
    /// and so does the last of a burst and now and then another, for their answers are
    /// unlike all others: one that is not its own does not go unnoticed.
    fn ask(&self, n: u64, count: u64, was_kept: bool) -> Ask {
        let asks_who = match self.kind {
            Kind::Fresh => self.rounds.is_multiple_of(4),
            Kind::Kept | Kind::Pausing => !was_kept || self.rounds.is_multiple_of(16),
            Kind::Pipelined => (n == 0 && !was_kept) || n + 1 == count,
        };
        if asks_who { Ask::Inspect(self.rounds * BURST + n) } else { self.ask }
    }

    fn not_connected(&self, error: &std::io::Error) {
        use nix::libc::{EAGAIN, ECONNABORTED, ECONNREFUSED, ECONNRESET, EINPROGRESS, ENOENT, ETIMEDOUT};
        let why = match error.raw_os_error() {
            Some(EAGAIN | EINPROGRESS | ETIMEDOUT) => Failure::Timeout,
            Some(ECONNRESET | ECONNABORTED) => Failure::Reset,
            Some(ECONNREFUSED | ENOENT) => Failure::Refused,
            _ => {
                self.tally.trouble(format_args!("a client cannot connect: {error}"));
                Failure::Refused
            }
        };
        self.tally.failed(why, 1, format_args!("{error}; {}", self.name()));
        // A server that is gone would be asked without end.
        std::thread::sleep(Duration::from_millis(10));
    }

    /// The connection has ended with requests outstanding.
    fn lost(&self, lost: Lost, count: u64, worker: Option<i32>, kept: bool) {
        let why = match &lost {
            Lost::Closed(_) => Failure::Closed,
            Lost::Reset(_) => Failure::Reset,
            Lost::Timeout => Failure::Timeout,
            Lost::Garbage(_) => Failure::Body,
        };
        if matches!(why, Failure::Closed | Failure::Reset) {
            self.tally.broke(Break { at: Instant::now(), worker, lost: count, kept, idle: None });
        }
        self.tally.failed(
            why,
            count,
            format_args!("{lost}, kept: {kept}, worker {worker:?}; {}", self.name()),
        );
    }

    /// The server was asked to close; bytes behind the response belong to nobody.
    fn expect_the_end(&self, wire: &Wire) {
        match wire.look(PATIENCE) {
            Look::Closed => {}
            Look::Quiet => self.unasked("asked to close, it did not"),
            Look::Talkative => self.unasked("bytes behind the last response"),
        }
    }

    /// A fault of the server's beside all requests, which counts as one that failed.
    fn unasked(&self, what: &str) {
        self.tally.issued(1);
        self.tally.failed(Failure::Body, 1, format_args!("{what}; {}", self.name()));
    }

    fn name(&self) -> String {
        format!("{:?} {:?} at {:?}", self.kind, self.ask, self.address)
    }

    /// From 0 to 1, in an order that is the same in every run.
    fn random(&mut self) -> f64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}
