//! Standard output and standard error, written without waiting long for whoever
//! reads them: a stuck log collector, or a terminal that was paused, must stop
//! neither the master nor a worker.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

use crate::sys::clock;

/// How long a line waits for a reader that is behind, in milliseconds.
const PATIENCE: u64 = 100;

/// How much longer than it has waited an outlet waits for nobody after that, so
/// that a reader which is always behind takes a tenth of the time at most.
const REST: u64 = 9;

/// Longest piece that a pipe takes whole or not at all (`PIPE_BUF`, pipe(7)).
const PIECE: usize = 4096;

/// What became of a line.
#[derive(Debug)]
pub(super) enum Written {
    /// It is out, and so were those before it.
    Well,
    /// It is out; so many before it were lost.
    AfterLoss(u64),
    /// It is lost, the first of perhaps many.
    Lost(io::Error),
    /// It is lost as those before it.
    LostToo,
}

/// A stream that lines are written to, or lost.
#[derive(Debug)]
pub(super) struct Outlet {
    way: Way,
    /// Lines that nobody took, since the last one that somebody did.
    lost: AtomicU64,
    /// No line waits before this, in milliseconds of the monotonic clock.
    no_wait_before: AtomicU64,
    /// A line was cut, so the next one begins with its end.
    cut: AtomicBool,
}

/// How a write is kept from waiting.
#[derive(Debug)]
enum Way {
    /// A file opened not to wait. A standard stream that is a pipe or a terminal is
    /// opened once more for that: whether writes wait is a property of the open
    /// file, which the original shares with other programs.
    Own(File),
    /// A socket, which can be told so for each write.
    Socket(RawFd),
    /// A pipe or a terminal of somebody else, who does not let it be opened: a look
    /// at whether there is room comes before each write.
    Polled(RawFd),
    /// Files do not make wait.
    Plain(RawFd),
}

impl Outlet {
    /// For standard output (1) or standard error (2).
    pub fn new(number: RawFd) -> Self {
        let path = format!("/proc/self/fd/{number}");
        let kind = std::fs::metadata(&path).map(|metadata| metadata.file_type());
        let way = match kind {
            Ok(kind) if kind.is_socket() => Way::Socket(number),
            Ok(kind) if kind.is_fifo() || kind.is_char_device() => {
                let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                let opened = OpenOptions::new().write(true).custom_flags(flags.bits()).open(&path);
                opened.map_or(Way::Polled(number), Way::Own)
            }
            _ => Way::Plain(number),
        };
        Self::by(way)
    }

    /// For a file that was opened not to wait.
    pub fn file(file: File) -> Self {
        Self::by(Way::Own(file))
    }

    fn by(way: Way) -> Self {
        let (lost, no_wait_before) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { way, lost, no_wait_before, cut: AtomicBool::new(false) }
    }

    /// A descriptor of its own, if it has one.
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.way {
            Way::Own(file) => Some(file.as_raw_fd()),
            Way::Socket(_) | Way::Polled(_) | Way::Plain(_) => None,
        }
    }

    /// Writes a line, or loses it.
    pub fn write_line(&self, line: &[u8]) -> Written {
        if self.cut.load(Relaxed) && self.write_all(b"\n").is_ok() {
            self.cut.store(false, Relaxed);
        }
        match self.write_all(line) {
            Ok(()) => match self.lost.swap(0, Relaxed) {
                0 => Written::Well,
                lost => Written::AfterLoss(lost),
            },
            Err((written, error)) => {
                self.cut.fetch_or(written > 0, Relaxed);
                match self.lost.fetch_add(1, Relaxed) {
                    0 => Written::Lost(error),
                    _ => Written::LostToo,
                }
            }
        }
    }

    /// How much was written when it had to give up, in case of an error.
    fn write_all(&self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            let piece = &bytes[written..bytes.len().min(written + PIECE)];
            match self.write_some(piece) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.has_room_soon() => {}
                // Closed at the other end, stuck, or a disk that is full.
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.way {
            Way::Own(file) => { file }.write(bytes),
            Way::Socket(number) => Ok(send(*number, bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?),
            Way::Polled(_) if !self.has_room(0) => Err(io::ErrorKind::WouldBlock.into()),
            // Through the library's handle, which owns the number.
            Way::Polled(1) | Way::Plain(1) => {
                io::stdout().write(bytes).and_then(|length| io::stdout().flush().map(|()| length))
            }
            Way::Polled(_) | Way::Plain(_) => io::stderr().write(bytes),
        }
    }

    fn has_room_soon(&self) -> bool {
        let before = clock::monotonic_ms();
        if before < self.no_wait_before.load(Relaxed) {
            return false;
        }
        let has_room = self.has_room(PATIENCE);
        let after = clock::monotonic_ms();
        self.no_wait_before.store(after + (after - before) * REST, Relaxed);
        has_room
    }

    /// Whether a write would not wait, or would not after so many milliseconds.
    fn has_room(&self, patience: u64) -> bool {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let fd: BorrowedFd<'_> = match &self.way {
            Way::Own(file) => file.as_fd(),
            Way::Socket(1) | Way::Polled(1) | Way::Plain(1) => stdout.as_fd(),
            Way::Socket(_) | Way::Polled(_) | Way::Plain(_) => stderr.as_fd(),
        };
        let mut watched = [PollFd::new(fd, PollFlags::POLLOUT)];
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        poll(&mut watched, patience).is_ok_and(|ready| ready > 0)
    }
}

/// Shows what is going on in the last line of a terminal.
pub fn show_progress(text: &str) {
    if io::stderr().is_terminal() {
        super::log::stderr().write_line(format!("\r{text}").as_bytes());
    }
}

/// Takes that away.
pub fn clear_progress() {
    show_progress("\x1b[K");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn outlet(file: File) -> Outlet {
        let outlet = Outlet::new(file.as_raw_fd());
        assert!(matches!(outlet.way, Way::Own(_)), "a pipe can be opened once more");
        outlet
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_not_time() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let (mut reader, outlet) = (File::from(reader), outlet(File::from(writer)));
        let line = [&[b'x'; 999][..], b"\n"].concat();
        // More than any pipe holds; it would take minutes if each one waited.
        for _ in 0..20_000 {
            outlet.write_line(&line);
        }
        let mut taken = vec![0; 2_000_000];
        let length = reader.read(&mut taken).unwrap();
        assert!(length > 0 && length % 1000 == 0, "whole lines: {length}");
        let Written::AfterLoss(lost) = outlet.write_line(b"again\n") else { panic!("some are lost") };
        assert!(lost > 10_000 && lost < 20_000, "{lost} are known to be lost");
        assert!(matches!(outlet.write_line(b"and again\n"), Written::Well));
    }

    #[test]
    fn a_line_that_was_cut_does_not_swallow_the_next() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let (mut reader, outlet) = (File::from(reader), outlet(File::from(writer)));
        assert!(matches!(outlet.write_line(&vec![b'x'; 10_000_000]), Written::Lost(_)));
        let mut taken = vec![0; 10_000_000];
        let length = reader.read(&mut taken).unwrap();
        assert!(length < 10_000_000);
        assert!(matches!(outlet.write_line(b"next\n"), Written::AfterLoss(1)));
        let length = reader.read(&mut taken).unwrap();
        assert_eq!(&taken[..length], b"\nnext\n");
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let outlet = outlet(File::from(writer));
        drop(reader);
        assert!(matches!(outlet.write_line(b"nobody\n"), Written::Lost(_)));
        assert!(matches!(outlet.write_line(b"nobody\n"), Written::LostToo));
    }
}
