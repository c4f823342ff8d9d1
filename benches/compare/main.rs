//! wasgun beside other servers, on this machine: what a request costs, how long it
//! takes, how much memory that is; and the figures that README.md promises.
//!
//!     cargo bench --bench compare
//!     cargo bench --bench compare -- --rounds 1 --seconds 1 hello
//!
//! The cases have their turns one after the other, round by round, since a shared
//! machine is not quiet; a server runs only during its turn. `cases` lists them,
//! `targets` is what is wanted of them.

mod args;
mod cases;
mod client;
mod equipment;
mod lifecycle;
mod load;
mod machine;
mod plot;
mod proc;
mod report;
mod results;
mod server;
mod targets;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use args::{Args, Instead};
use cases::Case;
use equipment::{Equipment, Found};
use load::{Sample, Wrk};
use proc::Cores;
use results::{Measured, Missing, Results, Row, medians, short};
use server::Launch;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args()) {
        Ok(args) => args,
        Err(Instead::Nothing) => return ExitCode::SUCCESS,
        Err(Instead::Help(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Instead::Mistake(text)) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let cases: Vec<_> = cases::all().into_iter().filter(|case| args.wants(&case.name())).collect();
    if args.list {
        cases.iter().for_each(|case| println!("{}", case.name()));
        return ExitCode::SUCCESS;
    }
    match compare(&args, &cases) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and reports; whether something failed.
fn compare(args: &Args, cases: &[Case]) -> Found<bool> {
    let cores = Cores::find()?;
    let equipment = Equipment::default();
    let wrk = find_wrk();
    println!("preparing");
    let mut trials: Vec<_> = cases.iter().map(|case| Trial::prepare(case, &equipment, &wrk, cores)).collect();
    for round in 1..=args.rounds {
        println!("round {round} of {}", args.rounds);
        trials.iter_mut().for_each(|trial| trial.run(args, &wrk, cores));
    }
    let rows = trials.into_iter().map(Trial::into_row).collect();
    println!("by itself");
    let figures = lifecycle::measure(args, &equipment, &wrk, cores);
    let results = Results { rows, figures };
    let targets = targets::judge(&results);
    println!("\n{}", report::plain(args, &results, &targets));
    if let Some(dir) = &args.out {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let heading = report::Heading {
            machine: machine::machine(),
            versions: machine::versions(&equipment, wrk.as_ref().ok().map(|wrk| wrk.0.as_path())),
            date: machine::today(),
        };
        write(&dir.join("RESULTS.md"), &report::markdown(&heading, args, &results, &targets))?;
        let note = "CPU time of the server a request in µs, user and system; less is better";
        write(&dir.join("results.svg"), &plot::svg("What a request costs", note, &report::panels(&results)))?;
    }
    Ok(results.missing().any(|(_, missing)| matches!(missing, Missing::Failed(_))))
}

/// A case on its way through the rounds.
struct Trial<'a> {
    case: &'a Case,
    launch: Measured<Launch>,
    samples: Vec<Sample>,
}

impl<'a> Trial<'a> {
    /// Has everything there that it takes, sees that it works, and leaves the
    /// caches warm.
    fn prepare(case: &'a Case, equipment: &Equipment, wrk: &Found<Wrk>, cores: Cores) -> Self {
        let check = |launch: Launch| {
            let server = launch.start(&cores.both())?;
            match case.load.body {
                0 => client::answer(&server.address)?,
                length => client::check_echo(&server.address, case.load.path, length)?,
            }
            Ok(launch)
        };
        let available = wrk.as_ref().map_err(Clone::clone).and_then(|_| case.launch(equipment));
        let launch =
            available.map_err(Missing::Absent).and_then(|launch| check(launch).map_err(Missing::Failed));
        if let Err(missing) = &launch {
            println!("  {} {missing}", case.name());
        }
        Self { case, launch, samples: Vec::new() }
    }

    fn run(&mut self, args: &Args, wrk: &Found<Wrk>, cores: Cores) {
        let (Ok(launch), Ok(wrk)) = (&self.launch, wrk) else { return };
        let (servers, loads) = match self.case.on_both_cores {
            true => (cores.both().to_vec(), cores.both().to_vec()),
            false => (vec![cores.server], vec![cores.load]),
        };
        let measure = || {
            let server = launch.start(&servers)?;
            server.settle();
            wrk.measure(&server, self.case.load, args.time, &loads)
        };
        match measure() {
            Ok(sample) => {
                let (cost, rate) = (short(sample.cpu_micros), short(sample.requests_per_second));
                println!("  {:<52} {cost:>8} µs {rate:>8}/s", self.case.name());
                self.samples.push(sample);
            }
            Err(why) => {
                println!("  {} FAILED: {why}", self.case.name());
                self.launch = Err(Missing::Failed(why));
            }
        }
    }

    fn into_row(self) -> Row {
        let measured = self.launch.map(|_| medians(&self.samples));
        Row { group: self.case.group, server: self.case.server, measured }
    }
}

fn find_wrk() -> Found<Wrk> {
    // It says its version and fails.
    match Command::new("wrk").arg("--version").output() {
        Ok(_) => Ok(Wrk(PathBuf::from("wrk"))),
        Err(error) => {
            Err(format!("wrk, which makes the load, cannot be run ({error}); Debian: apt install wrk"))
        }
    }
}

fn write(path: &Path, text: &str) -> Found<()> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}
