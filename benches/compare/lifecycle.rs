//! Figures that are no matter of requests: memory and wake-ups of idle workers,
//! how soon a killed worker is replaced, how soon a start answers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::args::Args;
use crate::cases::{Instance, wasgun};
use crate::client;
use crate::equipment::{Equipment, Found, Guest};
use crate::load::{Load, Wrk};
use crate::proc::{self, Cores};
use crate::results::{Figure, Measured, Missing, median};
use crate::server::{Launch, Server};

const IDLE: Duration = Duration::from_secs(10);

/// Measures the figures that `args` asks for.
pub fn measure(args: &Args, equipment: &Equipment, wrk: &Found<Wrk>, cores: Cores) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut figure = |name: &str, unit, limit, measure: &dyn Fn() -> Measured<f64>| {
        if args.wants(name) {
            let figure = Figure { name: name.to_owned(), unit, limit, measured: measure() };
            println!("  {figure}");
            figures.push(figure);
        }
    };
    let launch =
        |guest, instance, workers| wasgun(equipment, guest, instance, workers).map_err(Missing::Absent);
    let start = |launch: &Launch| launch.start(&cores.both()).map_err(Missing::Failed);
    let median_of = |measure: &dyn Fn() -> Found<f64>| {
        let values: Found<Vec<_>> = (0..args.rounds).map(|_| measure()).collect();
        values.map(median).map_err(Missing::Failed)
    };
    for (guest, name, soon) in [(Guest::Hello, "hello", 30.0), (Guest::Flask, "Flask", 120.0)] {
        let four = || launch(guest, Instance::Fresh, 4);
        figure(&format!("an idle worker of {name}: private dirty memory"), "MB", 0.5, &|| {
            private_dirty(&start(&four()?)?).map_err(Missing::Failed)
        });
        figure(&format!("an idle worker of {name}: wake-ups a second"), "", 2.0, &|| {
            wake_ups(&start(&four()?)?).map_err(Missing::Failed)
        });
        figure(&format!("start of {name}, warm cache: first answer after"), "ms", soon, &|| {
            let launch = four()?;
            drop(start(&launch)?);
            median_of(&|| launch.time_to_first_answer(&cores.both()))
        });
    }
    figure("a killed worker: next answer after", "ms", 20.0, &|| {
        let launch = launch(Guest::Hello, Instance::Fresh, 1)?;
        median_of(&|| time_to_replace(&launch.start(&cores.both())?))
    });
    for (instance, how) in [(Instance::Fresh, "fresh"), (Instance::Reused, "reused")] {
        figure(&format!("four Flask workers under load, {how}: memory in all"), "MB", 60.0, &|| {
            let wrk = wrk.as_ref().map_err(|why| Missing::Absent(why.clone()))?;
            let server = start(&launch(Guest::Flask, instance, 4)?)?;
            server.settle();
            let load = Load { path: "/", body: 0, connections: 32 };
            let sample = wrk.measure(&server, load, args.time, &cores.both()).map_err(Missing::Failed)?;
            // As the limit is told: in millions of bytes.
            Ok(sample.pss_mib * 1.048_576)
        });
    }
    figures
}

fn private_dirty(server: &Server) -> Found<f64> {
    server.settle();
    let dirty: Found<Vec<_>> = server.workers().into_iter().map(proc::private_dirty_kib).collect();
    Ok(median(dirty?.into_iter().map(|kib| kib as f64 * 1024.0 / 1e6).collect()))
}

fn wake_ups(server: &Server) -> Found<f64> {
    server.settle();
    let workers = server.workers();
    let count = || workers.iter().map(|pid| proc::wake_ups(*pid)).collect::<Found<Vec<_>>>();
    let before = count()?;
    sleep(IDLE);
    let woken = count()?.into_iter().zip(before).map(|(after, before)| after.saturating_sub(before));
    Ok(median(woken.map(|times| times as f64 / IDLE.as_secs_f64()).collect()))
}

/// Milliseconds from the kill of the only worker to an answer of the next.
fn time_to_replace(server: &Server) -> Found<f64> {
    server.settle();
    let [worker] = server.workers()[..] else { return Err("it has not one worker".to_owned()) };
    let started = Instant::now();
    kill(Pid::from_raw(worker), Signal::SIGKILL).map_err(|error| error.to_string())?;
    client::answer(&server.address)?;
    let time = started.elapsed();
    if server.workers().contains(&worker) {
        return Err("the killed worker answered".to_owned());
    }
    Ok(time.as_secs_f64() * 1000.0)
}
