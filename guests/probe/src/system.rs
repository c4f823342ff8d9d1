//! What the host has besides HTTP: time, memory, environment, files, output.

use std::fs::{self, File};
use std::io::{self, Write};

use probe_common::{grow_and_touch, hex, json};
use wasip2::cli::environment::{get_arguments, get_environment};
use wasip2::clocks::monotonic_clock;
use wasip2::random::random::get_random_bytes;

use crate::exchange::{Reply, Request};

const MS: u64 = 1_000_000;

pub fn wait(ms: u64) {
    monotonic_clock::subscribe_duration(ms.saturating_mul(MS)).block();
}

pub fn sleep(request: Request, reply: Reply) {
    match request.target.number::<u64>("ms") {
        Some(ms) => {
            wait(ms);
            reply.text(200, &format!("slept {ms} ms\n"));
        }
        None => loop {
            wait(1000);
        },
    }
}

pub fn spin(request: Request, reply: Reply) {
    match request.target.number::<u64>("ms") {
        Some(ms) => {
            let end = monotonic_clock::now().saturating_add(ms * MS);
            while monotonic_clock::now() < end {}
            reply.text(200, &format!("spun {ms} ms\n"));
        }
        // Without a call to the host, which might be what stops it.
        None => loop {
            std::hint::spin_loop();
        },
    }
}

pub fn alloc(request: Request, reply: Reply) {
    let mib: u64 = request.target.number("mib").unwrap_or(1);
    grow_and_touch(mib);
    reply.text(200, &format!("took {mib} MiB\n"));
}

pub fn hoard(request: Request, reply: Reply) {
    let found = probe_common::hoard(request.target.number("mib").unwrap_or(1));
    reply.text(200, &format!("{found}\n"));
}

pub fn env(_: Request, reply: Reply) {
    reply.json(&json::pairs(&get_environment()));
}

pub fn args(_: Request, reply: Reply) {
    reply.json(&json::strings(&get_arguments()));
}

pub fn read(request: Request, reply: Reply) {
    match fs::read(request.target.text("path").unwrap_or_default()) {
        Ok(bytes) => reply.whole(200, "application/octet-stream", &bytes),
        Err(error) => reply.text(500, &format!("{error}\n")),
    }
}

pub fn write(request: Request, reply: Reply) {
    match save(&request) {
        Ok(length) => reply.text(200, &format!("wrote {length}\n")),
        Err(error) => reply.text(500, &format!("{error}\n")),
    }
}

fn save(request: &Request) -> io::Result<usize> {
    let mut file = File::create(request.target.text("path").unwrap_or_default())?;
    let (mut length, mut saved) = (0, Ok(()));
    let read = request.body().for_each(|piece| {
        if saved.is_ok() {
            length += piece.len();
            saved = file.write_all(piece);
        }
    });
    read.map_err(io::Error::other)?;
    saved.map(|()| length)
}

pub fn stdout(request: Request, reply: Reply) {
    print(&request, io::stdout(), reply);
}

pub fn stderr(request: Request, reply: Reply) {
    print(&request, io::stderr(), reply);
}

fn print(request: &Request, mut to: impl Write, reply: Reply) {
    let text = request.target.text("text").unwrap_or_default();
    let lines = request.target.number("lines").unwrap_or(1);
    match (0..lines).try_for_each(|_| writeln!(to, "{text}")) {
        Ok(()) => reply.text(200, "printed\n"),
        Err(error) => reply.text(500, &format!("{error}\n")),
    }
}

pub fn clock(_: Request, reply: Reply) {
    reply.text(200, &format!("{}\n", monotonic_clock::now()));
}

pub fn random(_: Request, reply: Reply) {
    reply.text(200, &format!("{}\n", hex(&get_random_bytes(16))));
}
