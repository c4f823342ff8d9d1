use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;

use crate::config::ControlAction;

use super::peer::LONGEST_LINE;
use super::{ClientId, ControlServer, Reply};

/// A server in a directory of its own, driven as the master drives it, with a clock
/// that is set by hand.
pub struct Bench {
    pub server: ControlServer,
    pub now: u64,
    pub requests: Vec<(ClientId, ControlAction)>,
    dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = ControlServer::bind(&dir.path().join("c")).unwrap();
        Self { server, now: 5_000, requests: Vec::new(), dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("c")
    }

    pub fn client(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    /// Polls for a moment; hears if there is something, or something is due.
    pub fn turn(&mut self, wait_ms: u8) -> bool {
        let mut watched: Vec<_> =
            self.server.descriptors().map(|(fd, events)| PollFd::new(fd, events)).collect();
        let due = self.server.next_deadline().is_some_and(|due| due <= self.now);
        let timeout = if due { PollTimeout::ZERO } else { PollTimeout::from(wait_ms) };
        let reported = poll(&mut watched, timeout).unwrap() > 0;
        if reported || due {
            let heard = self.server.hear(self.now);
            self.requests.extend(heard);
        }
        reported || due
    }

    /// Goes on until nothing happens any more; fails if that never is.
    pub fn settle(&mut self) {
        assert!((0..2_000).any(|_| !self.turn(0)), "the loop spins");
    }

    pub fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < end, "it never happened");
            self.turn(5);
        }
    }

    pub fn next_request(&mut self) -> (ClientId, ControlAction) {
        self.run_until(|bench| !bench.requests.is_empty());
        self.requests.remove(0)
    }

    pub fn answer(&mut self, message: &str) {
        let (client, _) = self.next_request();
        self.server.reply(client, &Reply::done(message));
        self.settle();
    }
}

pub fn line(stream: &UnixStream) -> Reply {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

pub fn is_closed(mut stream: &UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("{error}"),
    }
}

pub const STATUS: &[u8] = b"{\"command\":\"status\"}\n";

#[test]
fn every_command_has_its_form() {
    let forms = [
        (r#"{"command":"status"}"#, ControlAction::Status),
        (r#"{"command":"scale","workers":4}"#, ControlAction::Scale { workers: 4 }),
        (r#"{"command":"reload"}"#, ControlAction::Reload { wait: false }),
        (r#"{"wait":true,"command":"rollback"}"#, ControlAction::Rollback { wait: true }),
        (r#"{"command":"upgrade","wait":false}"#, ControlAction::Upgrade { wait: false }),
        (r#"{"command":"recycle","pid":7}"#, ControlAction::Recycle { pid: 7 }),
        (r#"{"command":"log-level","level":"debug"}"#, ControlAction::LogLevel { level: "debug".to_owned() }),
        (r#"{"command":"stop"}"#, ControlAction::Stop { now: false }),
    ];
    for (text, action) in &forms {
        assert_eq!(&serde_json::from_str::<ControlAction>(text).unwrap(), action);
        let again = serde_json::to_string(action).unwrap();
        assert_eq!(&serde_json::from_str::<ControlAction>(&again).unwrap(), action);
    }
    // The names that the parser knows are those that people are told.
    let known = serde_json::from_str::<ControlAction>(r#"{"command":""}"#).unwrap_err().to_string();
    let known: Vec<_> = known.split('`').skip(3).step_by(2).collect();
    let told: Vec<_> =
        ControlAction::COMMANDS.split(", ").map(|told| told.split(' ').next().unwrap()).collect();
    assert_eq!(known, told);
}

#[test]
fn a_request_in_pieces_is_answered_once_it_is_whole() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    for byte in &STATUS[..STATUS.len() - 1] {
        client.write_all(&[*byte]).unwrap();
        bench.settle();
        assert!(bench.requests.is_empty());
    }
    client.write_all(b"\n").unwrap();
    bench.answer("well");
    assert_eq!(line(&client), Reply::done("well"));
    bench.settle();
    assert_eq!(bench.server.clients(), 1);
}

#[test]
fn requests_sent_at_once_are_answered_in_turn() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    client.write_all(b"\n {\"command\":\"stop\"}\r\n\n{\"command\":\"reload\"}\nnonsense\n").unwrap();
    client.write_all(STATUS).unwrap();
    bench.settle();
    assert_eq!(bench.requests.len(), 1, "one at a time");
    assert_eq!(bench.requests[0].1, ControlAction::Stop { now: false });
    bench.answer("one");
    assert_eq!(bench.requests[0].1, ControlAction::Reload { wait: false });
    bench.answer("two");
    assert_eq!(bench.requests[0].1, ControlAction::Status);
    bench.answer("four");
    let replies: Vec<_> = (BufReader::new(&client).lines().take(4)).map(Result::unwrap).collect();
    assert!(replies[0].contains("one") && replies[1].contains("two"), "{replies:?}");
    assert!(replies[2].contains("not a request") && replies[3].contains("four"), "{replies:?}");
}

#[test]
fn a_malformed_request_is_answered_with_what_was_wrong() {
    let mut bench = Bench::new();
    for (request, said) in [
        ("{}", "command"),
        ("[]", "not a request"),
        ("GET / HTTP/1.1", "expected value"),
        ("{\"command\":\"dance\"}", "dance"),
        ("{\"command\":\"scale\"}", "missing field `workers`"),
        ("{\"command\":\"scale\",\"workers\":-1}", "-1"),
        ("{\"command\":\"reload\",\"weight\":true}", "weight"),
        ("{\"command\":\"stop\"} {\"command\":\"stop\"}", "trailing"),
        ("\u{0}\u{7f}", "expected value"),
    ] {
        let mut client = bench.client();
        client.write_all(format!("{request}\n").as_bytes()).unwrap();
        bench.settle();
        assert!(bench.requests.is_empty(), "{request}");
        let reply = line(&client);
        let error = reply.error.unwrap();
        assert!(!reply.ok && error.contains(said), "{request}: {error}");
        assert!(error.contains("log-level (level)"), "the commands are listed: {error}");
        // It may try again.
        client.write_all(STATUS).unwrap();
        bench.answer("well");
        assert_eq!(line(&client), Reply::done("well"));
    }
    let mut client = bench.client();
    client.write_all(format!("{}{}\n", "[".repeat(8_000), "]".repeat(8_000)).as_bytes()).unwrap();
    bench.settle();
    assert!(line(&client).error.is_some_and(|error| error.len() < 1_000));
}

#[test]
fn a_line_has_a_longest_length() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    let mut longest = r#"{"command":"status"}"#.to_owned();
    longest.extend(std::iter::repeat_n(' ', LONGEST_LINE - longest.len()));
    client.write_all(format!("{longest}\n").as_bytes()).unwrap();
    bench.answer("well");
    assert_eq!(line(&client), Reply::done("well"));

    client.write_all(format!("{longest} \n").as_bytes()).unwrap();
    bench.settle();
    assert!(line(&client).error.unwrap().contains("16384"));
    assert!(is_closed(&client));
    assert_eq!(bench.server.clients(), 0);

    // Without end, too, and also if it ends without a newline.
    for ends in [false, true] {
        let mut client = bench.client();
        client.write_all(&[b'x'; 100_000]).unwrap();
        if ends {
            client.shutdown(Shutdown::Write).unwrap();
        }
        bench.settle();
        assert!(line(&client).error.unwrap().contains("16384"));
        assert!(is_closed(&client));
    }
}

#[test]
fn a_client_may_close_its_sending_half() {
    let mut bench = Bench::new();
    for request in
        ["{\"command\":\"status\"}", "{\"command\":\"status\"}\n", "\n{\"command\":\"status\"}\n\n "]
    {
        let mut client = bench.client();
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        bench.settle();
        assert_eq!(bench.server.clients(), 1, "it waits for its answer");
        bench.answer("well");
        assert_eq!(line(&client), Reply::done("well"));
        assert!(is_closed(&client));
        assert_eq!(bench.server.clients(), 0);
    }
}

#[test]
fn what_is_polled_is_close_on_exec_and_readable() {
    let bench = Bench::new();
    let (fd, events) = bench.server.descriptors().next().unwrap();
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_ne!(flags & nix::fcntl::FdFlag::FD_CLOEXEC.bits(), 0);
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    assert_ne!(flags & nix::fcntl::OFlag::O_NONBLOCK.bits(), 0);
    assert_eq!(events, PollFlags::POLLIN);
}
