//! What the host has besides HTTP: time, memory, environment, files, output.
//!
//! Files and output go by the standard library, and so by WASI 0.2.

use std::fs::{self, File};
use std::io::{self, Write};

use probe_common::{grow_and_touch, hex, json};
use wasip3::cli::environment::{get_arguments, get_environment};
use wasip3::clocks::monotonic_clock;
use wasip3::random::random::get_random_bytes;

use crate::exchange::{Answer, Request, json as answer_json, text, whole};

const MS: u64 = 1_000_000;

pub async fn wait(ms: u64) {
    monotonic_clock::wait_for(ms.saturating_mul(MS)).await;
}

pub async fn sleep(request: Request) -> Answer {
    match request.target.number::<u64>("ms") {
        Some(ms) => {
            wait(ms).await;
            text(200, &format!("slept {ms} ms\n"))
        }
        None => loop {
            wait(1000).await;
        },
    }
}

/// For so many milliseconds.
pub fn compute(ms: u64) {
    let end = monotonic_clock::now().saturating_add(ms * MS);
    while monotonic_clock::now() < end {}
}

pub async fn spin(request: Request) -> Answer {
    match request.target.number::<u64>("ms") {
        Some(ms) => {
            compute(ms);
            text(200, &format!("spun {ms} ms\n"))
        }
        // Without a call to the host, which might be what stops it.
        None => loop {
            std::hint::spin_loop();
        },
    }
}

pub async fn alloc(request: Request) -> Answer {
    let mib: u64 = request.target.number("mib").unwrap_or(1);
    grow_and_touch(mib);
    text(200, &format!("took {mib} MiB\n"))
}

pub async fn hoard(request: Request) -> Answer {
    let found = probe_common::hoard(request.target.number("mib").unwrap_or(1));
    text(200, &format!("{found}\n"))
}

pub async fn env(_: Request) -> Answer {
    answer_json(&json::pairs(&get_environment()))
}

pub async fn args(_: Request) -> Answer {
    answer_json(&json::strings(&get_arguments()))
}

pub async fn read(request: Request) -> Answer {
    match fs::read(request.target.text("path").unwrap_or_default()) {
        Ok(bytes) => whole(200, "application/octet-stream", bytes),
        Err(error) => text(500, &format!("{error}\n")),
    }
}

pub async fn write(request: Request) -> Answer {
    match save(request).await {
        Ok(length) => text(200, &format!("wrote {length}\n")),
        Err(error) => text(500, &format!("{error}\n")),
    }
}

async fn save(request: Request) -> io::Result<usize> {
    let mut file = File::create(request.target.text("path").unwrap_or_default())?;
    let (mut length, mut saved) = (0, Ok(()));
    let read = request.into_body().for_each(|piece| {
        if saved.is_ok() {
            length += piece.len();
            saved = file.write_all(piece);
        }
    });
    read.await.map_err(io::Error::other)?;
    saved.map(|()| length)
}

pub async fn stdout(request: Request) -> Answer {
    print(&request, io::stdout())
}

pub async fn stderr(request: Request) -> Answer {
    print(&request, io::stderr())
}

fn print(request: &Request, mut to: impl Write) -> Answer {
    let line = request.target.text("text").unwrap_or_default();
    let lines = request.target.number("lines").unwrap_or(1);
    match (0..lines).try_for_each(|_| writeln!(to, "{line}")) {
        Ok(()) => text(200, "printed\n"),
        Err(error) => text(500, &format!("{error}\n")),
    }
}

pub async fn clock(_: Request) -> Answer {
    text(200, &format!("{}\n", monotonic_clock::now()))
}

pub async fn random(_: Request) -> Answer {
    text(200, &format!("{}\n", hex(&get_random_bytes(16))))
}
