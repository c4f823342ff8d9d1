//! How connections spread over workers that have nothing to do.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::asking::{Ask, check};
use crate::report::Column;
use crate::subject::{Subject, WORKERS};
use crate::wire::{Address, PATIENCE, Wire};

const CLIENTS: usize = 64;

/// Promised: the most connections that a worker has, by the mean.
const IMBALANCE: f64 = 1.15;

pub fn run(subject: &mut dyn Subject, column: &mut Column) {
    let addresses = subject.addresses().to_vec();
    for (address, one_by_one, at_once) in [
        (&addresses[0], "64 clients one by one, TCP", "64 clients at once, TCP"),
        (&addresses[1], "64 clients one by one, unix", "64 clients at once, unix"),
    ] {
        // Connected and asked; and all connected before the first asks.
        for (what, before_asking) in [(one_by_one, 1), (at_once, CLIENTS)] {
            if let Err(error) = subject.rest() {
                column.remark(format!("before {what}: {error}"));
            }
            let spread = spread(address, before_asking).map(|(each, wires)| {
                let noted = subject.connections();
                drop(wires);
                judge(what, before_asking == 1, &each, noted, column);
            });
            if let Err(error) = spread {
                column.count(what, "all are answered", &error, false);
            }
        }
    }
}

/// The worker of each connection, and the connections, which are still open.
fn spread(address: &Address, before_asking: usize) -> Result<(BTreeMap<i32, u64>, Vec<Wire>), String> {
    let (mut each, mut wires) = (BTreeMap::new(), Vec::new());
    for _ in 0..CLIENTS / before_asking {
        let from = wires.len();
        for _ in 0..before_asking {
            wires.push(Wire::open(address).map_err(|error| error.to_string())?);
        }
        for wire in &mut wires[from..] {
            wire.send(Ask::Inspect(1).request(false).as_bytes()).map_err(|error| error.to_string())?;
        }
        for wire in &mut wires[from..] {
            let response = wire.response(Instant::now() + PATIENCE).map_err(|lost| lost.to_string())?;
            let worker = check(Ask::Inspect(1), &response).map_err(|(_, what)| what)?;
            *each.entry(worker.ok_or("no worker is named")?).or_default() += 1;
        }
    }
    Ok((each, wires))
}

/// Who is faster when all come at once depends on what else the machine does.
fn judge(
    what: &str,
    is_certain: bool,
    each: &BTreeMap<i32, u64>,
    noted: Option<Vec<u64>>,
    column: &mut Column,
) {
    let most = each.values().max().copied().unwrap_or(0);
    let imbalance = most as f64 * WORKERS as f64 / CLIENTS as f64;
    let mut counts: Vec<_> = each.values().copied().collect();
    counts.sort_unstable();
    let shown = format!("max/mean {imbalance:.2} {counts:?}");
    let judge = if is_certain { Column::count } else { Column::chance };
    judge(column, what, &format!("at most {IMBALANCE}"), &shown, imbalance <= IMBALANCE);
    if let Some(mut noted) = noted {
        noted.sort_unstable();
        noted.retain(|count| *count > 0);
        if noted != counts {
            column.promise(what, "the status counts alike", &format!("{noted:?}"), false);
        }
    }
}
