//! A client that asks once and looks at the answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any server here takes for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gets `/` on a connection of its own.
pub fn answer(address: &str) -> Result<(), String> {
    exchange(address, "GET", "/", &[]).map(drop)
}

/// Posts `length` bytes and sees whether they come back.
pub fn check_echo(address: &str, path: &str, length: usize) -> Result<(), String> {
    // Of a period that is no divisor of any buffer's size.
    let sent: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
    let got = exchange(address, "POST", path, &sent)?;
    if got == sent { Ok(()) } else { Err(format!("{} bytes sent, {} other ones echoed", length, got.len())) }
}

/// The body of the answer, which has to be a 200.
fn exchange(address: &str, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let answer = talk(address, method, path, body).map_err(|error| format!("{method} {path}: {error}"))?;
    let end =
        answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or("it closed without an answer")?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("{method} {path}: {head}"));
    }
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return Ok(body.to_vec());
    }
    unchunk(body).ok_or_else(|| "the chunks of the answer make no sense".to_owned())
}

/// All that the server says until it closes.
fn talk(address: &str, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    std::thread::scope(|scope| {
        // An echo is read while it is sent, or both sides would wait for each other.
        let sender =
            scope.spawn(|| (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(body)));
        let mut answer = Vec::new();
        (&stream).read_to_end(&mut answer)?;
        sender.join().expect("it does not panic")?;
        Ok(answer)
    })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk.get(..length)?);
        rest = chunk.get(length + 2..)?;
    }
}
