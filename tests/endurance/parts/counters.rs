//! The server's own count of requests beside that of its clients.

use crate::subject::Subject;

/// Looks at the count again and again.
pub struct Counters {
    first: u64,
    last: u64,
    samples: u64,
    wrong: Vec<String>,
}

impl Counters {
    /// While nobody asks anything; `None` if the server does not count.
    pub fn new(subject: &dyn Subject) -> Option<Self> {
        let first = subject.requests()?;
        Some(Self { first, last: first, samples: 0, wrong: Vec::new() })
    }

    /// Compares; `completed` must have been read before.
    pub fn sample(&mut self, when: &str, subject: &dyn Subject, completed: u64) {
        let Some(now) = subject.requests() else { return };
        self.samples += 1;
        if now < self.last {
            self.wrong.push(format!("{when}: {now} after {}", self.last));
        }
        if now < self.first + completed {
            self.wrong.push(format!(
                "{when}: {} of {completed} that were answered",
                now.saturating_sub(self.first)
            ));
        }
        self.last = now;
    }

    /// Whether all was well, and what was seen.
    pub fn verdict(&self) -> (bool, String) {
        let seen = format!("{} counted, in {} samples", self.last - self.first.min(self.last), self.samples);
        match self.wrong.first() {
            None => (true, seen),
            Some(first) => (false, format!("{seen}, {} wrong, first {first}", self.wrong.len())),
        }
    }
}
