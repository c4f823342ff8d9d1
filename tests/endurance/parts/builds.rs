//! A reload with an app that does not work: it is refused, and nobody notices.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::load::{Load, within};
use crate::report::{Column, millis};
use crate::subject::{Build, Subject};

/// Requests behind the refusal, each answered or failed.
const AFTERWARDS: u64 = 1_000;

const LIMIT: Duration = Duration::from_secs(60);

pub fn run(subject: &mut dyn Subject, args: &Args, column: &mut Column) {
    for (build, refusal, failed) in [
        (Build::Garbage, "reload with garbage", "requests failed by that reload"),
        (Build::Spinning, "reload with an app that never starts", "requests failed by that one"),
    ] {
        let load = Load::start(subject.addresses(), args.rate);
        let some = |more: u64| {
            let before = load.tally.count() + load.tally.failures();
            within(LIMIT, || load.tally.count() + load.tally.failures() >= before + more)
        };
        let _ = some(AFTERWARDS);
        let began = Instant::now();
        let refused = subject.spoil(build);
        let took = millis(began.elapsed());
        let went_on = some(AFTERWARDS);
        let totals = load.stop();
        let (held, shown) = match refused {
            Ok(reason) => (true, format!("after {took}: {reason}")),
            Err(what) => (false, format!("after {took}: {what}")),
        };
        column.count(refusal, "refused with a reason", &shown, held);
        let shown = format!("{}; {} completed", totals.failed_in_words(), totals.completed);
        column.count(failed, "0", &shown, totals.failed() == 0 && went_on);
        column.examples(refusal, &totals);
        column.doubts(refusal, &totals);
        if let Err(error) = subject.mend() {
            column.count("reload with the right app again", "it serves", &error, false);
        }
    }
}
