//! Reloads, upgrades, recycling and scaling under load: nobody notices.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::counters::Counters;
use crate::args::Args;
use crate::load::Load;
use crate::report::{Column, millis};
use crate::subject::{Change, Subject};
use crate::tally::Totals;

/// How often [`ROUND`] is gone through.
const ROUNDS: usize = 5;

const ROUND: [Change; 14] = [
    Change::ReloadBySignal,
    Change::ReloadByCommand,
    Change::Recycle,
    Change::OneMore,
    Change::Recycle,
    Change::OneLess,
    Change::Upgrade,
    Change::Recycle,
    Change::ReloadBySignal,
    Change::Scale(6),
    Change::Scale(2),
    Change::Recycle,
    Change::Scale(4),
    Change::ReloadByCommand,
];

/// The longest time without a completed request: as much as a person may notice.
const GAP: Duration = Duration::from_millis(250);

/// The longest time a request of the quick kind may take.
const SLOWEST: Duration = Duration::from_millis(1000);

/// How long requests may take to be answered before the load counts as stuck.
const STUCK: Duration = Duration::from_secs(120);

pub fn run(subject: &mut dyn Subject, args: &Args, column: &mut Column) {
    let mut counters = Counters::new(subject);
    let load = Load::start(subject.addresses(), args.rate);
    let mut done: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let total = (ROUNDS * ROUND.len()) as u64;
    for (n, change) in (0..ROUNDS).flat_map(|_| ROUND).enumerate() {
        // Spread over all of the load.
        if !load.reaches(args.requests * n as u64 / total, STUCK) {
            load.tally.trouble(format_args!("nobody is answered before change {n}, {change:?}"));
            break;
        }
        let mut sample = |when: &str| {
            let completed = load.tally.count();
            counters.iter_mut().for_each(|counters| counters.sample(when, subject, completed));
        };
        sample(&format!("before {change:?}"));
        let began = Instant::now();
        let changed = subject.change(change);
        let failed = load.tally.failures();
        eprintln!("change {n} of {total}, {change:?}: {}, {failed} failed so far", millis(began.elapsed()));
        let (tried, succeeded) = done.entry(name(change)).or_default();
        *tried += 1;
        match changed {
            Ok(()) => *succeeded += 1,
            Err(error) => column.remark(format!("change {n}, {change:?}: {error}")),
        }
        let completed = load.tally.count();
        counters
            .iter_mut()
            .for_each(|counters| counters.sample(&format!("after {change:?}"), subject, completed));
    }
    let went_on = load.reaches(args.requests, STUCK) && load.all_go_on();
    if !went_on {
        load.tally.trouble("after the changes not every client was answered again");
    }
    let totals = load.stop();
    counters.iter_mut().for_each(|counters| counters.sample("at the end", subject, totals.completed));
    for (name, (tried, succeeded)) in &done {
        column.count(name, &format!("all {tried}"), &format!("{succeeded} of {tried}"), succeeded == tried);
    }
    report(&totals, counters.as_ref(), args, column);
}

fn report(totals: &Totals, counters: Option<&Counters>, args: &Args, column: &mut Column) {
    column.say("requests completed during changes", totals.completed.to_string());
    let enough = totals.completed >= args.requests;
    column.promise(
        "load",
        &format!("at least {} requests", args.requests),
        &totals.completed.to_string(),
        enough,
    );
    column.count("requests failed during changes", "0", &totals.failed_in_words(), totals.failed() == 0);
    let unannounced = totals.unannounced();
    column.count("unannounced closes", "0", &closes(&unannounced), unannounced.is_empty());
    column.say("announced closes", totals.announced.to_string());
    column.say("pipelined requests sent again", totals.resent.to_string());
    column.time("longest time without an answer", GAP, totals.gap);
    column.time("slowest quick request", SLOWEST, totals.slowest);
    if let Some(counters) = counters {
        let (held, seen) = counters.verdict();
        column.count(
            "requests by the server's count",
            "never less than before, nor than answered",
            &seen,
            held,
        );
    }
    column.examples("during changes", totals);
    column.doubts("during changes", totals);
}

/// How many, how idle, and what was lost.
pub(super) fn closes(breaks: &[&crate::tally::Break]) -> String {
    if breaks.is_empty() {
        return "0".to_owned();
    }
    let lost = breaks.iter().map(|broken| broken.lost).sum::<u64>();
    let mut idle: Vec<_> = breaks.iter().filter_map(|broken| broken.idle).collect();
    idle.sort_unstable();
    let idle = match (idle.first(), idle.last()) {
        (Some(least), Some(most)) => {
            format!("{} of them idle for {} to {}", idle.len(), millis(*least), millis(*most))
        }
        _ => "none of them idle".to_owned(),
    };
    format!("{}, {idle}, {lost} requests lost", breaks.len())
}

fn name(change: Change) -> &'static str {
    match change {
        Change::ReloadBySignal | Change::ReloadByCommand => "reloads",
        Change::Upgrade => "upgrades",
        Change::Recycle => "recyclings",
        Change::OneMore | Change::OneLess | Change::Scale(_) => "scalings",
    }
}
