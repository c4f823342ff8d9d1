//! A mold: loads a generation's apps once, serves nothing, and forks workers
//! that share what it loaded. One thread, no runtime, no compiler.

use anyhow::{Result, bail};
use nix::unistd::Pid;

use crate::handoff::{self, Channel, MoldNews, MoldSeed, Order, Received, WorkerSeed};
use crate::host::LoadedApp;
use crate::sys::process::{self, Exit, Forked};
use crate::telemetry;

/// A worker's life, in the process that the mold forks for it; the exit code.
pub type WorkerMain = fn(WorkerSeed<Vec<LoadedApp>>) -> i32;

/// Lives until the master closes the channel; then, or on failure, returns the
/// exit code.
pub fn run(mut seed: MoldSeed, worker: WorkerMain) -> i32 {
    // The signals of the master stay blocked: they are none of its business.
    if process::die_with(seed.inheritance.master, None).is_err() {
        return handoff::EXIT_FAILED;
    }
    if let Err(error) = seed.settle() {
        return tell(&seed.orders, &MoldNews::Failed(error.to_string()), handoff::EXIT_FAILED);
    }
    // As the generation's configuration has it, not the one before it.
    telemetry::init_log(&seed.inheritance.config.log);
    let apps = match load(&seed) {
        Ok(Some(apps)) => apps,
        Ok(None) => return tell(&seed.orders, &MoldNews::NotCompiled, 0),
        Err(error) => {
            return tell(&seed.orders, &MoldNews::Failed(handoff::reason(&error)), handoff::EXIT_FAILED);
        }
    };
    if tell(&seed.orders, &MoldNews::Ready(apps.iter().map(LoadedApp::fingerprint).collect()), 0) != 0 {
        return handoff::EXIT_FAILED;
    }
    loop {
        match seed.orders.wait() {
            Ok(Received::Message(Order::Fork { index, is_canary })) => match fork_worker(&seed.orders, index)
            {
                Ok(Side::Mold) => {}
                Ok(Side::Worker { between }) => {
                    // The only copy of the channel must be the mold's, or its
                    // death would go unnoticed.
                    drop(seed.orders);
                    let slot = seed.inheritance.board.slot(index);
                    let inheritance = seed.inheritance;
                    return worker(WorkerSeed { inheritance, between, index, is_canary, slot, apps });
                }
                Err(error) => {
                    let reason = handoff::reason(&error);
                    tell(&seed.orders, &MoldNews::ForkFailed { index, reason }, 0);
                }
            },
            Ok(Received::Nothing) => {}
            Ok(Received::Closed) | Err(_) => return 0,
        }
    }
}

fn tell(master: &Channel, news: &MoldNews, code: i32) -> i32 {
    if master.send(news).is_ok() { code } else { handoff::EXIT_FAILED }
}

/// All apps, or `None` if one of them has to be compiled first.
fn load(seed: &MoldSeed) -> Result<Option<Vec<LoadedApp>>> {
    let config = &seed.inheritance.config;
    let pinned = |index: usize| seed.pinned.as_ref().and_then(|pinned| pinned.get(index)).map(String::as_str);
    let apps = config.pool.apps.iter().enumerate();
    apps.map(|(index, app)| LoadedApp::load(app, config, pinned(index))).collect()
}

enum Side {
    Mold,
    Worker { between: Pid },
}

/// Forks twice: the process in between ends at once, so that the worker is
/// adopted, and reaped, by the master.
fn fork_worker(master: &Channel, index: usize) -> Result<Side> {
    match process::fork_single_threaded()? {
        Forked::Parent(between) => match process::wait(between)? {
            Exit::Code(_) => Ok(Side::Mold),
            // Without a word of its own, most likely.
            killed @ Exit::Signal(_) => bail!("the process on the way to it ended with {killed}"),
        },
        Forked::Child => match (Pid::this(), process::fork_single_threaded()) {
            (between, Ok(Forked::Child)) => Ok(Side::Worker { between }),
            (_, Ok(Forked::Parent(worker))) => {
                // Before this process ends: the master hears of the worker
                // before it can see it die.
                tell(master, &MoldNews::Forked { index, pid: Pid::as_raw(worker) }, 0);
                process::exit_now(0)
            }
            (_, Err(error)) => {
                tell(master, &MoldNews::ForkFailed { index, reason: error.to_string() }, 0);
                process::exit_now(handoff::EXIT_FAILED)
            }
        },
    }
}
