//! The old master's side of an upgrade: it starts the program as it is on disk
//! now, hands its sockets over, and ends once that serves.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::sys::stat::umask;
use nix::unistd::Pid;

use super::heir::{Estate, HeirNews};
use super::supervisor::{Event, Millis};
use super::{ClientId, Master};
use crate::config::{HANDOVER, Invocation};
use crate::control::Reply;
use crate::handoff::{Channel, Received};
use crate::sys::process::Exit;
use crate::sys::{clock, fd, process};

/// How long the new master may take beside compiling.
const PATIENCE: Millis = 180_000;

/// How much longer than its workers a new master may take to end.
const LAST_WORDS: Millis = 2_000;

/// Set by service managers for the very process they start, which the new master
/// is not.
const FOR_ONE_PROCESS: [&str; 2] = ["WATCHDOG_PID", "LISTEN_PID"];

/// A new master on its way, or in this one's place.
pub(super) struct Upgrade {
    pid: i32,
    /// Held until this process ends, which the other notices by that.
    channel: Channel,
    deadline: Millis,
    askers: Vec<ClientId>,
    serves: bool,
}

/// The file that a program was started by: what is there by now is the next version,
/// also where a link leads to another one.
pub(super) fn program(invocation: &Invocation) -> Result<PathBuf> {
    let name = invocation.args.first().map(Path::new);
    let called = name.and_then(|name| match name.components().count() {
        1 => {
            let path = invocation.env.iter().rev().find(|(key, _)| key == "PATH")?;
            let mut dirs = std::env::split_paths(&path.1);
            dirs.find_map(|dir| Some(invocation.cwd.join(dir).join(name)).filter(|file| file.is_file()))
        }
        _ => Some(invocation.cwd.join(name)),
    });
    let running = std::env::current_exe().context("/proc/self/exe")?;
    // Whoever starts a program may give it any name.
    let is_it = |file: &PathBuf| file.canonicalize().is_ok_and(|file| file == running);
    Ok(called.filter(is_it).unwrap_or(running))
}

impl Upgrade {
    /// Why nothing else is begun meanwhile.
    pub fn refusal(&self) -> String {
        format!("an upgrade is under way; to call it off, end the new master, process {}", self.pid)
    }

    /// The way to the new master, while news are expected from it.
    pub fn channel(&self) -> Option<&Channel> {
        (!self.serves).then_some(&self.channel)
    }
}

impl Master {
    /// Starts a new master.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn begin_upgrade(&mut self, asker: Option<ClientId>) -> Result<(), String> {
        if self.stopping {
            return Err("the server is stopping".to_owned());
        }
        if let Some(upgrade) = &self.upgrade {
            return Err(upgrade.refusal());
        }
        if self.supervisor.is_reloading() || self.pending.is_some() {
            return Err("a reload is under way; upgrade when it is done".to_owned());
        }
        if Pid::this().as_raw() == 1 {
            return Err(
                "this is process 1, whose end is that of its container: replace the container".to_owned()
            );
        }
        let mut upgrade = self.start_successor().map_err(|error| format!("{error:#}"))?;
        tracing::info!(
            "upgrading: a new master (pid {}) starts from {}",
            upgrade.pid,
            self.program.display()
        );
        upgrade.askers.extend(asker);
        self.upgrade = Some(upgrade);
        Ok(())
    }

    fn start_successor(&self) -> Result<Upgrade> {
        let live = self.generations.first().context("nothing serves yet")?;
        let (ours, theirs) = Channel::pair()?;
        // Closed here when the program has started, which then has its own.
        let mut lent: Vec<OwnedFd> = Vec::new();
        let mut lend = |fd: std::os::fd::BorrowedFd<'_>| {
            let copy = fd::inheritable(fd)?;
            let number = copy.as_raw_fd();
            lent.push(copy);
            Ok::<_, std::io::Error>(number)
        };
        let listeners = live.sockets().all();
        let listeners = listeners.map(|listener| Ok((listener.asked().to_string(), lend(listener.as_fd())?)));
        let listeners = listeners.collect::<Result<_>>()?;
        let pid_file = self.pid_file.as_ref();
        let pid_file =
            pid_file.map(|file| Ok::<_, std::io::Error>((file.path().to_owned(), lend(file.as_fd())?)));
        let scale = self.supervisor.scale();
        let estate = Estate {
            master: std::process::id(),
            listeners,
            board: lend(self.board_fd.as_fd())?,
            requests: self.count_before(),
            pid_file: pid_file.transpose()?,
            workers: scale.workers,
            configured: scale.configured,
            generations: live.number,
        };
        let channel = lend(theirs.as_fd())?;
        ours.send(&estate)?;
        let mut command = Command::new(&self.program);
        let mut args = self.invocation.args.iter();
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        command
            .args(args)
            .env_clear()
            .envs(self.invocation.env.iter().cloned())
            .env(HANDOVER, channel.to_string());
        for name in FOR_ONE_PROCESS {
            command.env_remove(name);
        }
        // The new master has a mask of its own to set, or none.
        let mask = self.umask_before.map(umask);
        let child = command.current_dir(&self.invocation.cwd).spawn();
        mask.map(umask);
        let child = child.with_context(|| format!("cannot start {}", self.program.display()))?;
        let compile = u64::try_from(live.config().compile.timeout.as_millis()).unwrap_or(Millis::MAX / 4);
        Ok(Upgrade {
            pid: child.id() as i32,
            channel: ours,
            deadline: clock::monotonic_ms() + compile + PATIENCE,
            askers: Vec::new(),
            serves: false,
        })
    }

    /// Takes what the new master has to say.
    pub(super) fn hear_successor(&mut self, events: &mut Vec<Event>) {
        let Some(upgrade) = self.upgrade.as_mut().filter(|upgrade| !upgrade.serves) else { return };
        match upgrade.channel.poll() {
            Ok(Received::Message(HeirNews::Ready)) => {
                let (pid, askers) = (upgrade.pid, std::mem::take(&mut upgrade.askers));
                tracing::info!("the new master (pid {pid}) serves; this one finishes what it has");
                // While this one still is who is believed.
                self.tell_manager(|manager| manager.main_pid(pid as u32));
                if let Some(upgrade) = &mut self.upgrade {
                    upgrade.serves = true;
                }
                for client in askers {
                    self.answer(client, &Reply::done(format!("the new master serves: pid {pid}")));
                }
                events.push(Event::HandOver);
            }
            // It ends by itself, once it has finished what it may have begun.
            Ok(Received::Message(HeirNews::Failed(reason))) => self.give_up_upgrade(&reason, false),
            // How it ended is for the reaper to say.
            Ok(Received::Closed | Received::Nothing) => {
                if clock::monotonic_ms() >= upgrade.deadline {
                    self.give_up_upgrade("the new master was not ready in time", true);
                }
            }
            Err(error) => self.give_up_upgrade(&format!("the new master said something odd: {error}"), true),
        }
    }

    /// Takes note that a process ended; whether it was a new master.
    pub(super) fn successor_ended(&mut self, pid: Pid, exit: Exit) -> bool {
        let was_dismissed = self.dismissed.iter().any(|(other, _)| *other == pid.as_raw());
        self.dismissed.retain(|(other, _)| *other != pid.as_raw());
        let Some(upgrade) = self.upgrade.as_ref().filter(|upgrade| upgrade.pid == pid.as_raw()) else {
            return was_dismissed;
        };
        if upgrade.serves {
            tracing::error!("the new master (pid {pid}) has ended with {exit}: nobody serves any more");
            return true;
        }
        // It may have said why.
        self.hear_successor(&mut Vec::new());
        self.give_up_upgrade(&format!("the new master ended with {exit}; the log has its own words"), false);
        self.dismissed.retain(|(other, _)| *other != pid.as_raw());
        true
    }

    /// Goes on as if there had been no upgrade, if there still is one. The new master
    /// may have served somebody already, and has the time to finish that.
    pub(super) fn give_up_upgrade(&mut self, reason: &str, tell: bool) {
        let Some(upgrade) = self.upgrade.take_if(|upgrade| !upgrade.serves) else { return };
        if tell {
            process::send_signal(upgrade.pid, Signal::SIGTERM);
        }
        let graceful = self.generations.first().map(|live| live.config().master.graceful_timeout);
        let graceful = graceful.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(PATIENCE));
        self.dismissed.push((upgrade.pid, clock::monotonic_ms() + graceful.min(PATIENCE) + LAST_WORDS));
        let goes_on = if self.stopping { "" } else { ", this master goes on" };
        tracing::error!("the upgrade is given up{goes_on}: {reason}");
        self.refuse(&upgrade.askers, reason);
        // It may have got as far as that.
        if self.pid_file.as_ref().is_some_and(|file| !file.is_own())
            || self.control.as_ref().is_some_and(|control| !control.is_own())
        {
            self.claim();
        }
        self.changed(format!("an upgrade was given up: {reason}"));
    }

    /// Ends those that were given up and do not end.
    pub(super) fn end_dismissed(&mut self, now: Millis) {
        for (pid, deadline) in &mut self.dismissed {
            if now >= *deadline {
                process::send_signal(*pid, Signal::SIGKILL);
                // Again if it is still there then.
                *deadline = now + LAST_WORDS;
            }
        }
    }

    /// Whether another master serves by now.
    pub(super) fn is_succeeded(&self) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.serves)
    }
}
