//! A status as a person reads it.

use super::protocol::{Status, WorkerStatus};

const HEADINGS: [&str; 12] = [
    "SLOT",
    "PID",
    "GEN",
    "STATE",
    "AGE",
    "REQUESTS",
    "IN-FLIGHT",
    "CONNS",
    "RESTARTS",
    "PSS",
    "CPU",
    "BEAT",
];
/// The column of words among those of numbers.
const STATE: usize = 3;
/// Columns of a wide terminal; a broader table is set more tightly.
const WIDTH: usize = 100;

/// Lays `status` out: the server in a few lines, then a line for each worker. ASCII
/// only; anything else is escaped.
pub fn table(status: &Status) -> String {
    let mut lines = summary(status);
    lines.push(String::new());
    lines.extend(rows(&status.workers));
    for worker in &status.workers {
        let end = worker.last_end.as_ref();
        lines.extend(end.map(|end| format!("  worker {} last ended: {}", worker.slot, plain(end))));
    }
    lines.join("\n") + "\n"
}

fn summary(status: &Status) -> Vec<String> {
    let rollback = status.previous.map_or(String::new(), |to| format!(" (rollback to {to} possible)"));
    let scaling = status.scaling.map_or(String::new(), |(min, max)| format!(" ({min}..{max})"));
    let imbalance = status.imbalance.map_or(String::new(), |value| format!(", imbalance {value:.2}"));
    let listeners = status.listeners.iter().map(|listener| plain(listener)).collect::<Vec<_>>().join(", ");
    let mut lines = vec![
        format!(
            "wasgun {}, app {}: {}, generation {}{rollback}",
            plain(&status.version),
            plain(&status.app),
            plain(&status.state),
            status.generation
        ),
        format!(
            "pid {}, up {}, workers {}/{}{scaling}, listening on {}",
            status.pid,
            time(status.uptime_ms),
            status.workers_ready,
            status.workers_wanted,
            if listeners.is_empty() { "nothing" } else { &listeners }
        ),
        format!(
            "{} requests, {} in flight, {} waiting, {} connections, {} restarts{imbalance}",
            count(status.requests),
            count(status.in_flight),
            count(status.waiting),
            count(status.connections),
            count(status.restarts)
        ),
        format!(
            "app: {} on the processor, {} received, {} sent, {} requests of its own",
            time(status.app_cpu_ms),
            bytes(status.received),
            bytes(status.sent),
            count(status.outbound)
        ),
    ];
    lines.extend(status.last_change.as_ref().map(|change| format!("last change: {}", plain(change))));
    lines
}

fn rows(workers: &[WorkerStatus]) -> Vec<String> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(workers.iter().map(cells));
    let widths: Vec<usize> =
        (0..HEADINGS.len()).map(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0)).collect();
    let loose = widths.iter().sum::<usize>() + 2 * (HEADINGS.len() - 1);
    let gap = if loose > WIDTH { " " } else { "  " };
    let line = |row: &[String; HEADINGS.len()]| {
        let padded = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
            if at == STATE { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join(gap)
    };
    rows.iter().map(line).collect()
}

fn cells(worker: &WorkerStatus) -> [String; HEADINGS.len()] {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    [
        worker.slot.to_string(),
        or_dash(worker.pid.map(|pid| pid.to_string())),
        worker.generation.to_string(),
        plain(&worker.state),
        time(worker.age_ms),
        count(worker.requests),
        count(worker.in_flight),
        count(worker.connections),
        worker.restarts.to_string(),
        or_dash(worker.pss.map(bytes)),
        or_dash(worker.cpu_ms.map(time)),
        or_dash(worker.beat_age_ms.map(time)),
    ]
}

/// Only what a terminal shows as it is: a name must not be able to drive it.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            ' '..='~' => shown.push(character),
            _ => shown.extend(character.escape_default()),
        }
    }
    shown
}

fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn bytes(number: u64) -> String {
    let mut unit = ("KiB", 1_u64 << 10);
    for larger in [("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)] {
        if number >= larger.1 {
            unit = larger;
        }
    }
    if number < unit.1 {
        return format!("{number} B");
    }
    // In whole tenths, cut: 1023.99 KiB is not 1024.0.
    let tenths = u128::from(number) * 10 / u128::from(unit.1);
    format!("{}.{} {}", tenths / 10, tenths % 10, unit.0)
}

fn time(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..10_000 => format!("{seconds}.{}s", ms % 1_000 / 100),
        10_000..60_000 => format!("{seconds}s"),
        60_000..3_600_000 => format!("{minutes}m{:02}s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}
