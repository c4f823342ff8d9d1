//! A worker that is stopped: it is no use, and is replaced.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::load::within;
use crate::report::{Column, millis};
use crate::subject::Subject;
use crate::support::signal;

/// The worker timeout of two seconds, and one more.
const PROMISED: Duration = Duration::from_secs(3);

/// When to give up.
const LIMIT: Duration = Duration::from_secs(60);

/// How often, each time so much later within a second.
const STOPS: u32 = 8;
const STEP: Duration = Duration::from_millis(125);

const WHAT: &str = "stopped worker is replaced";

pub fn run(subject: &mut dyn Subject, args: &Args, column: &mut Column) {
    if let Err(error) = subject.watch_closely().and_then(|()| subject.forgive()) {
        column.remark(format!("before a worker is stopped: {error}"));
    }
    let mut longest = Duration::ZERO;
    for n in 0..if args.strict { STOPS } else { 1 } {
        // A server looks at its workers from time to time, and has just done so.
        std::thread::sleep(STEP * n);
        let before = subject.workers();
        let Some(worker) = before.iter().next().copied() else { break };
        let at = Instant::now();
        signal(worker, "STOP");
        let replaced = within(LIMIT, || {
            let now = subject.workers();
            !now.contains(&worker) && now.difference(&before).next().is_some()
        });
        if !replaced {
            signal(worker, "CONT");
            return column.count(WHAT, "at all", "never", false);
        }
        let took = at.elapsed();
        eprintln!("stopped worker {worker}: replaced after {}", millis(took));
        longest = longest.max(took);
    }
    column.time(WHAT, PROMISED, longest);
}
