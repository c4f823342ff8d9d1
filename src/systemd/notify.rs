//! What a service manager is told (`sd_notify(3)`), and how often it wants a sign
//! of life (`sd_watchdog_enabled(3)`).

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::config::number_in_variable as number;

/// Characters of a status line. With four bytes each a datagram stays below the
/// 4096 bytes that systemd reads of one.
const LONGEST_STATUS: usize = 512;

/// Messages kept for a manager that is behind.
const MOST_OWED: usize = 16;

/// Tells the service manager; to nobody, if there is none.
///
/// No method ever waits. When the manager's queue is full, which happens while a
/// machine boots, what changes our state in its eyes is kept and goes out, in
/// order, before the next message: a lost `READY=1` would end in a restart. So a
/// call to [`Notifier::catch_up`] belongs into every tick.
#[derive(Debug)]
pub struct Notifier {
    manager: Option<Manager>,
    watchdog: Option<Duration>,
    owed: VecDeque<String>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// From the values of `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, in
    /// the process `own_pid`; with what is wrong with them, for the log. Without a
    /// usable socket it is off; without a usable time only the watchdog is.
    pub fn new(
        socket: Option<&OsStr>,
        watchdog_usec: Option<&OsStr>,
        watchdog_pid: Option<&OsStr>,
        own_pid: u32,
    ) -> (Self, Vec<String>) {
        let (manager, no_manager) = off_if_wrong(manager(socket));
        let (watchdog, no_watchdog) = off_if_wrong(watchdog(watchdog_usec, watchdog_pid, own_pid));
        let watchdog = watchdog.filter(|_| manager.is_some());
        let wrong = no_manager.into_iter().chain(no_watchdog).collect();
        (Self { manager, watchdog, owed: VecDeque::new() }, wrong)
    }

    /// Whether there is somebody to tell.
    pub fn is_on(&self) -> bool {
        self.manager.is_some()
    }

    /// The start, or a reload, is over: also a reload that failed, since the
    /// manager waits for the end of each that [`Notifier::reloading`] began.
    ///
    /// # Errors
    /// Nobody reads there any more.
    pub fn ready(&mut self, status: &str) -> io::Result<()> {
        self.surely(format!("READY=1\nSTATUS={}", line(status)))
    }

    /// A reload begins (`Type=notify-reload`, `systemd.service(5)`).
    ///
    /// # Errors
    /// Nobody reads there any more.
    pub fn reloading(&mut self) -> io::Result<()> {
        // In microseconds, rounded as little as can be: the manager ignores a reload
        // that began before its SIGHUP was sent, and waits for another one.
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_micros();
        self.surely(format!("RELOADING=1\nMONOTONIC_USEC={now}"))
    }

    /// How things are, on one line.
    ///
    /// # Errors
    /// Nobody reads there any more, or too slowly for a line that the next one
    /// replaces.
    pub fn status(&mut self, text: &str) -> io::Result<()> {
        self.maybe(&format!("STATUS={}", line(text)))
    }

    /// The server stops.
    ///
    /// # Errors
    /// Nobody reads there any more.
    pub fn stopping(&mut self) -> io::Result<()> {
        self.surely("STOPPING=1".to_owned())
    }

    /// `pid` is the main process from now on, and ready. Both in one message: the
    /// manager listens to the main process only (`NotifyAccess=main`), and after
    /// this that is no longer the sender, who could not end a reload any more.
    ///
    /// # Errors
    /// Nobody reads there any more.
    pub fn main_pid(&mut self, pid: u32) -> io::Result<()> {
        self.surely(format!("MAINPID={pid}\nREADY=1"))
    }

    /// A sign of life.
    ///
    /// # Errors
    /// Nobody reads there any more, or too slowly: worth another try before the
    /// next [`Notifier::watchdog_interval`] is over.
    pub fn watchdog(&mut self) -> io::Result<()> {
        self.maybe("WATCHDOG=1")
    }

    /// How often [`Notifier::watchdog`] is to be called: twice in the time after
    /// which the manager takes us for dead. `None`: it does not watch us.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends what the manager had no room for.
    ///
    /// # Errors
    /// Nobody reads there any more; what was kept is given up.
    pub fn catch_up(&mut self) -> io::Result<()> {
        while let Some(message) = self.owed.front() {
            match self.send(message) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.owed.clear();
                    return Err(error);
                }
                Ok(()) => drop(self.owed.pop_front()),
            }
        }
        Ok(())
    }

    fn surely(&mut self, message: String) -> io::Result<()> {
        if self.owed.len() == MOST_OWED {
            // Whole reloads come and go in these; how it is now is what counts.
            self.owed.pop_front();
        }
        self.owed.push_back(message);
        self.catch_up()
    }

    fn maybe(&mut self, message: &str) -> io::Result<()> {
        self.catch_up()?;
        if self.owed.is_empty() { self.send(message) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn send(&self, message: &str) -> io::Result<()> {
        // Not connected: the manager may have bound its socket anew.
        match &self.manager {
            Some(Manager { socket, address }) => socket.send_to_addr(message.as_bytes(), address).map(drop),
            None => Ok(()),
        }
    }
}

fn off_if_wrong<T>(read: Result<Option<T>, String>) -> (Option<T>, Option<String>) {
    match read {
        Ok(value) => (value, None),
        Err(error) => (None, Some(error)),
    }
}

fn manager(asked: Option<&OsStr>) -> Result<Option<Manager>, String> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(None) };
    let wrong = |error: io::Error| format!("NOTIFY_SOCKET={}: {error}", asked.display());
    let address = match asked.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(asked),
        [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
        _ => Err(io::Error::other("neither a path nor @NAME")),
    };
    let address = address.map_err(wrong)?;
    let socket = UnixDatagram::unbound().map_err(wrong)?;
    socket.set_nonblocking(true).map_err(wrong)?;
    Ok(Some(Manager { socket, address }))
}

fn watchdog(usec: Option<&OsStr>, pid: Option<&OsStr>, own_pid: u32) -> Result<Option<Duration>, String> {
    let Some(usec) = usec else { return Ok(None) };
    if let Some(pid) = pid
        && number::<u32>("WATCHDOG_PID", pid)? != own_pid
    {
        return Ok(None);
    }
    match number("WATCHDOG_USEC", usec)? {
        0 | u64::MAX => Err(format!("WATCHDOG_USEC={} is no time", usec.display())),
        usec => Ok(Some(Duration::from_micros(usec) / 2)),
    }
}

/// On one line: a line of its own in a status would be another assignment.
fn line(text: &str) -> String {
    text.trim_end().chars().take(LONGEST_STATUS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
