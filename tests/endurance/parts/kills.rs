//! `kill -9` of workers: what is lost, and how soon another is ready.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::changes::closes;
use crate::args::Args;
use crate::load::Load;
use crate::report::{Column, millis};
use crate::subject::{Losses, Subject, WORKERS};
use crate::tally::{Break, Totals};

/// Answers between two kills: each is to hit a load that flows.
const BETWEEN: u64 = 200;

/// Later than this after a kill, a broken connection has another reason.
const AFTERMATH: Duration = Duration::from_secs(2);

/// How long a replacement may take before the part is given up.
const LIMIT: Duration = Duration::from_secs(60);

/// Promised without load, for the 99th percentile.
const READY: Duration = Duration::from_millis(20);

/// A worker that was killed.
struct Kill {
    worker: i32,
    at: Instant,
    /// Until a worker was ready that had not been there before.
    replaced: Option<Duration>,
    losses: Option<Losses>,
}

pub fn run(subject: &mut dyn Subject, args: &Args, column: &mut Column) {
    // Each slot once in a round, for a first death is made good without a wait.
    let rounds = if args.strict { 25 } else { 5 };
    let load = Load::start(subject.addresses(), args.rate);
    let kills = kill_rounds(subject, rounds, column, || {
        let _ = load.reaches(load.tally.count() + BETWEEN, LIMIT);
    });
    let totals = load.stop();
    account(&kills, &totals, column);
    percentiles("kill to ready under load", None, &kills, column);
    let kills = kill_rounds(subject, rounds, column, || {});
    percentiles("kill to ready without load", Some(READY), &kills, column);
}

fn kill_rounds(
    subject: &mut dyn Subject,
    rounds: usize,
    column: &mut Column,
    before: impl Fn(),
) -> Vec<Kill> {
    let mut kills = Vec::new();
    for _ in 0..rounds {
        if let Err(error) = subject.forgive() {
            column.remark(format!("between kills: {error}"));
        }
        for worker in subject.workers().into_iter().take(WORKERS) {
            before();
            let mut killed = kill_one(subject, worker);
            killed.losses = subject.losses(worker);
            kills.push(killed);
        }
    }
    kills
}

fn kill_one(subject: &dyn Subject, worker: i32) -> Kill {
    let before = subject.workers();
    let at = Instant::now();
    kill(Pid::from_raw(worker), Signal::SIGKILL).ok();
    let mut killed = Kill { worker, at, replaced: None, losses: None };
    while killed.replaced.is_none() && at.elapsed() < LIMIT {
        let now = subject.workers();
        if now.difference(&before).next().is_some() && !now.contains(&worker) {
            killed.replaced = Some(at.elapsed());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    killed
}

/// Which kill a broken connection belongs to: that of its worker, or if that was not
/// known yet the last one before.
fn cause(kills: &[Kill], broken: &Break) -> Option<usize> {
    match broken.worker {
        Some(worker) => kills.iter().position(|kill| kill.worker == worker && kill.at <= broken.at),
        None => {
            let last = kills.iter().rposition(|kill| kill.at <= broken.at)?;
            (broken.at - kills[last].at < AFTERMATH).then_some(last)
        }
    }
}

fn account(kills: &[Kill], totals: &Totals, column: &mut Column) {
    let breaks = &totals.notes.breaks;
    let mut broken = vec![0; kills.len()];
    let mut stray = Vec::new();
    for one in breaks {
        match cause(kills, one) {
            Some(index) => broken[index] += 1,
            None => stray.push(one),
        }
    }
    let lost = |breaks: &mut dyn Iterator<Item = &Break>| breaks.map(|one| one.lost).sum::<u64>();
    let lost_elsewhere = lost(&mut stray.iter().copied());
    let lost = lost(&mut breaks.iter()) - lost_elsewhere;
    let with_them = breaks.len() - stray.len();
    column.count("workers killed under load", "all are replaced", &kills.len().to_string(), {
        kills.iter().all(|kill| kill.replaced.is_some())
    });
    column.say("requests completed meanwhile", totals.completed.to_string());
    // A worker answers one after the other: only the first can be in flight, and those
    // behind it are written, and read or not.
    let first = breaks.iter().filter(|one| one.lost > 0 && cause(kills, one).is_some()).count();
    column.say("requests lost with them", format!("{lost}, {first} of them first on a connection"));
    column.say("connections broken with them", with_them.to_string());
    let elsewhere = totals.failed_otherwise() + lost_elsewhere;
    let shown = if elsewhere == 0 { "0".to_owned() } else { totals.failed_in_words() };
    column.count("requests failed at other workers", "0", &shown, elsewhere == 0);
    column.count("connections broken at other workers", "0", &closes(&stray), stray.is_empty());
    if let Some(logged) = kills.iter().map(|kill| kill.losses).collect::<Option<Vec<_>>>() {
        let requests = logged.iter().map(|losses| losses.requests).sum::<u64>();
        let connections = logged.iter().map(|losses| losses.connections).sum::<u64>();
        // A worker has one thread, which a kill may hit between an answer and its
        // note of that, or between a connection and its note of that: once each.
        let slack = kills.len() as u64;
        column.count(
            "in flight by the server's log",
            &format!("no more than lost ({lost})"),
            &requests.to_string(),
            requests <= lost + slack,
        );
        let mut over = 0;
        for ((kill, broken), logged) in kills.iter().zip(&broken).zip(&logged) {
            let Losses { requests, connections } = logged;
            if broken > connections {
                let seen = format!(
                    "{broken} connections broke, and {connections} with {requests} requests are logged"
                );
                column.remark(format!("at the death of worker {}: {seen}", kill.worker));
            }
            over += u64::from(*broken > connections + 1);
        }
        let promised = format!("no fewer than broken ({}), each time", breaks.len() - stray.len());
        column.count(
            "connections by the server's log",
            &promised,
            &format!("{connections}, {over} times fewer"),
            over == 0,
        );
    }
    for one in stray {
        let Break { worker, lost, kept, .. } = one;
        column.remark(format!("broken elsewhere: worker {worker:?}, {lost} lost, kept: {kept}"));
    }
    if elsewhere > 0 {
        column.examples("with kills, which lose some", totals);
    }
    column.doubts("with kills", totals);
}

fn percentiles(what: &'static str, promised: Option<Duration>, kills: &[Kill], column: &mut Column) {
    let mut times: Vec<_> = kills.iter().filter_map(|kill| kill.replaced).collect();
    times.sort_unstable();
    let at = |part: f64| times.get(((times.len() as f64 * part).ceil() as usize).saturating_sub(1)).copied();
    let (Some(half), Some(most)) = (at(0.5), at(0.99)) else { return column.say(what, "never".to_owned()) };
    let shown = format!("p50 {}, p99 {}, {} kills", millis(half), millis(most), times.len());
    match promised {
        Some(promised) => {
            let held = most <= promised && times.len() == kills.len();
            column.chance(what, &format!("p99 at most {}", millis(promised)), &shown, held);
        }
        None => column.say(what, shown),
    }
}
