//! The clients themselves, tried on a server that does wrong in known ways and counts
//! how often: what they overlook here they would overlook in the servers under test.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::clients;
use crate::tally::{Failure, Tally, Totals};
use crate::wire::Address;

/// Requests of a trial, and every how many of them something goes wrong.
const REQUESTS: u64 = 300;
const EVERY: u64 = 11;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Status,
    Body,
    /// The end of the connection amid the response.
    Cut,
    /// The same before the first byte.
    Silence,
    /// The end behind a response that does not announce it.
    Unannounced,
    Announced,
    /// A response that nobody asked for.
    Double,
}

/// What the server did.
#[derive(Default)]
struct Deeds {
    requests: AtomicU64,
    faults: AtomicU64,
    right: AtomicU64,
}

/// Tries each kind of client with each fault.
///
/// # Errors
/// What they did not see.
pub fn run() -> Result<(), String> {
    use Fault::{Announced, Body, Cut, Double, Silence, Status, Unannounced};
    for (number, kind) in ["fresh", "kept", "pipelined"].into_iter().enumerate() {
        for fault in [Status, Body, Cut, Silence, Unannounced, Announced, Double] {
            let (deeds, totals) = attempt(number, fault);
            let (faults, right) = (deeds.faults.load(SeqCst), deeds.right.load(SeqCst));
            let failed = |why| totals.notes.failures.get(&why).copied().unwrap_or(0);
            let broken = totals.notes.breaks.len() as u64;
            let lost: u64 = totals.notes.breaks.iter().map(|one| one.lost).sum();
            let ended = failed(Failure::Closed) + failed(Failure::Reset);
            let seen = match fault {
                Status => failed(Failure::Status) == faults && totals.failed() == faults,
                Body => failed(Failure::Body) == faults && totals.failed() == faults,
                Cut | Silence => {
                    broken == faults && ended == lost && lost >= faults && totals.failed() == lost
                }
                // Who leaves after one response does not see that. Of the last one
                // nobody may wait to see the end.
                Unannounced if kind == "fresh" => totals.failed() == 0,
                Unannounced => (faults - 1..=faults).contains(&broken) && totals.failed() == lost,
                Announced => {
                    let of_the_burst = kind != "pipelined" || totals.resent > 0;
                    let noted = kind == "fresh" || totals.announced == faults;
                    totals.failed() == 0 && broken == 0 && noted && of_the_burst
                }
                // In a burst it stands where another's response should.
                Double => totals.failed() > 0,
            };
            // Of a double one the second half may be taken for the next answer.
            let counted = fault == Double || totals.completed == right;
            if faults == 0 || !seen || !counted || !totals.doubts().is_empty() {
                return Err(format!(
                    "a {kind} client met {faults} times {fault:?} and {right} right answers, and counted {} \
                     completed, {} failed, {broken} breaks, {} announced, {} sent again; {:?}",
                    totals.completed,
                    totals.failed_in_words(),
                    totals.announced,
                    totals.resent,
                    totals.doubts(),
                ));
            }
        }
    }
    Ok(())
}

fn attempt(number: usize, fault: Fault) -> (Arc<Deeds>, Totals) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let deeds = Arc::new(Deeds::default());
    let done = deeds.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let deeds = done.clone();
            std::thread::spawn(move || serve(stream, fault, &deeds));
        }
    });
    let (tally, stop) = (Arc::new(Tally::new()), Arc::new(AtomicBool::new(false)));
    let client = clients::all(&[Address::Unix(path)], 0, &tally, &stop).swap_remove(number);
    let client = std::thread::spawn(move || client.run());
    while deeds.requests.load(SeqCst) < REQUESTS {
        std::thread::yield_now();
    }
    stop.store(true, SeqCst);
    client.join().unwrap();
    (deeds, tally.totals())
}

/// Serves a connection.
fn serve(mut stream: UnixStream, fault: Fault, deeds: &Deeds) {
    let (mut buffer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let request = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
            if answer(&mut stream, &request, fault, deeds).is_none() {
                return;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(length) => buffer.extend_from_slice(&piece[..length]),
        }
    }
}

/// Answers a request; `None` if the connection ends with that.
fn answer(stream: &mut UnixStream, request: &str, fault: Fault, deeds: &Deeds) -> Option<()> {
    let number = deeds.requests.fetch_add(1, SeqCst) + 1;
    let fault = number.is_multiple_of(EVERY).then_some(fault);
    deeds.faults.fetch_add(fault.is_some().into(), SeqCst);
    let is_right = !matches!(fault, Some(Fault::Status | Fault::Body | Fault::Cut | Fault::Silence));
    deeds.right.fetch_add(is_right.into(), SeqCst);
    let status = if fault == Some(Fault::Status) { "500 Wrong" } else { "200 OK" };
    let asked_to_close = request.contains("connection: close");
    let close = if asked_to_close || fault == Some(Fault::Announced) { "connection: close\r\n" } else { "" };
    let target = request.split(' ').nth(1)?;
    let body = match target {
        // Another's answer.
        "/hello" if fault == Some(Fault::Body) => "Hello, World!\n".to_owned(),
        "/hello" => "Hello, world!\n".to_owned(),
        _ => {
            let other = if fault == Some(Fault::Body) { "0" } else { "" };
            format!(r#"{{"path_with_query":"{target}{other}","headers":[["x-request-id","0-1-2"]]}}"#)
        }
    };
    let response = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{close}\r\n{body}", body.len());
    let length = match fault {
        Some(Fault::Cut) => response.len() - 3,
        Some(Fault::Silence) => 0,
        _ => response.len(),
    };
    let twice = if fault == Some(Fault::Double) { &*response } else { "" };
    stream.write_all(format!("{}{twice}", &response[..length]).as_bytes()).ok()?;
    let ends = matches!(fault, Some(Fault::Cut | Fault::Silence | Fault::Unannounced | Fault::Announced));
    (!ends && !asked_to_close).then_some(())
}
