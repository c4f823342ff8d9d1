//! Endurance: what clients notice while a server is reloaded, upgraded, scaled and
//! killed, of wasgun and, with `--gunicorn`, of gunicorn beside it.
//!
//!     cargo test --test endurance
//!     cargo test --release --test endurance -- --requests 1000000 --gunicorn

#[path = "../support/mod.rs"]
mod support;

mod args;
mod asking;
mod clients;
mod guard;
mod gunicorn;
mod load;
mod parts;
mod report;
mod selftest;
mod subject;
mod tally;
mod wasgun;
mod wire;

use std::process::ExitCode;

use args::{Args, Asked};

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(args)) => run(&args),
        Ok(Asked::List) => {
            println!("endurance: test");
            ExitCode::SUCCESS
        }
        Ok(Asked::Nothing) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> ExitCode {
    if let Err(error) = selftest::run() {
        eprintln!("the clients do not see what they should: {error}");
        return ExitCode::FAILURE;
    }
    let wasgun = parts::run(&mut wasgun::Wasgun::start(), args);
    let gunicorn = args.gunicorn.then(|| {
        let installed = gunicorn::install()?;
        Ok(parts::run(&mut gunicorn::Gunicorn::start(&installed)?, args))
    });
    guard::dismiss();
    if report::print(&wasgun, gunicorn.as_ref(), args.strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
