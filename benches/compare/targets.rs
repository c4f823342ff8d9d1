//! What the project promises to itself, as ratios within one run.

use crate::cases::{ECHO_10M, FLASK, HELLO};
use crate::load::Sample;
use crate::results::{Results, short};

/// A promise and what was measured.
pub struct Target {
    pub what: String,
    pub wanted: String,
    pub measured: String,
    /// Unknown if one of its cases has no result.
    pub is_met: Option<bool>,
}

/// All of them.
pub fn judge(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for (kind, native, serve) in
        [("0.2 fresh", 3.5, 5.0), ("0.2 reused", 1.7, 2.0), ("0.3 fresh", 5.0, 5.0), ("0.3 reused", 2.5, 3.0)]
    {
        let ours = results.sample(HELLO, &format!("wasgun, {kind}"));
        let serves = results.sample(HELLO, &format!("wasmtime serve, {kind}"));
        let natives = results.sample(HELLO, "native hyper");
        targets.push(at_most(format!("hello {kind}: CPU, times native"), cpu_ratio(ours, natives), native));
        let what = format!("hello {kind}: times cheaper than wasmtime serve");
        targets.push(at_least(what, cpu_ratio(serves, ours), serve));
    }
    for kind in ["0.2 fresh", "0.3 fresh"] {
        let ours = results.sample(ECHO_10M, &format!("wasgun, {kind}"));
        let serves = results.sample(ECHO_10M, &format!("wasmtime serve, {kind}"));
        let natives = results.sample(ECHO_10M, "native hyper");
        targets.push(at_most(
            format!("echo of 10 MiB, {kind}: CPU, times native"),
            cpu_ratio(ours, natives),
            2.0,
        ));
        let what = format!("echo of 10 MiB, {kind}: requests/s, times wasmtime serve");
        targets.push(at_least(what, speed_ratio(ours, serves), 1.0));
    }
    let flask = |server: &str| results.sample(FLASK, server);
    targets.push(at_least(
        "Flask fresh: times cheaper than wasmtime serve".into(),
        cpu_ratio(flask("wasmtime serve, fresh"), flask("wasgun, fresh")),
        3.0,
    ));
    let reused = flask("wasgun, reused");
    targets.push(at_least(
        "Flask reused: requests/s, times wasmtime serve".into(),
        speed_ratio(reused, flask("wasmtime serve, reused")),
        1.0,
    ));
    targets.push(at_most(
        "Flask reused: CPU, times gunicorn's sync worker natively".into(),
        cpu_ratio(reused, flask("gunicorn, sync worker, natively")),
        1.0,
    ));
    targets.extend(scaling(results));
    targets.extend(results.figures.iter().map(|figure| {
        let wanted = format!("≤ {} {}", figure.limit, figure.unit);
        let value = figure.measured.as_ref().ok();
        let measured = value.map(|value| format!("{} {}", short(*value), figure.unit));
        Target {
            what: figure.name.clone(),
            wanted: wanted.trim().to_owned(),
            measured: measured.map_or_else(unknown, |text| text.trim().to_owned()),
            is_met: value.map(|value| *value <= figure.limit),
        }
    }));
    targets
}

/// How many times as much two workers do.
///
/// Their load has to run on one of their two cores. For Flask it is next to nothing,
/// and requests a second tell. For hello it takes about as much as a worker: there
/// requests per second of the server's CPU time are compared, side by side on both
/// cores and alone on one. That is what two would do with the load elsewhere, if
/// neither waited for the other; how evenly they are busy is in Flask's figure.
fn scaling(results: &Results) -> [Target; 2] {
    let (one, two) = ("wasgun, 0.2 fresh", "wasgun, 0.2 fresh, 2 workers");
    let hello = cpu_ratio(results.sample(HELLO, one), results.sample(HELLO, two)).map(|ratio| 2.0 * ratio);
    let flask = speed_ratio(
        results.sample(FLASK, "wasgun, fresh, 2 workers"),
        results.sample(FLASK, "wasgun, fresh"),
    );
    [
        at_least("hello 0.2 fresh: two workers, times one (by CPU)".into(), hello, 1.8),
        at_least("Flask fresh: two workers, times one (by requests/s)".into(), flask, 1.8),
    ]
}

fn cpu_ratio(one: Option<&Sample>, other: Option<&Sample>) -> Option<f64> {
    Some(one?.cpu_micros / other?.cpu_micros)
}

fn speed_ratio(one: Option<&Sample>, other: Option<&Sample>) -> Option<f64> {
    Some(one?.requests_per_second / other?.requests_per_second)
}

fn at_most(what: String, ratio: Option<f64>, limit: f64) -> Target {
    target(what, format!("≤ {limit}"), ratio, ratio.map(|ratio| ratio <= limit))
}

fn at_least(what: String, ratio: Option<f64>, limit: f64) -> Target {
    target(what, format!("≥ {limit}"), ratio, ratio.map(|ratio| ratio >= limit))
}

fn target(what: String, wanted: String, ratio: Option<f64>, is_met: Option<bool>) -> Target {
    Target { what, wanted, measured: ratio.map_or_else(unknown, |ratio| format!("{ratio:.2}")), is_met }
}

fn unknown() -> String {
    "not measured".to_owned()
}
