//! Memory, stacks, output.

use core::arch::wasm32::{memory_grow, unreachable};
use std::hint::black_box;

use wasip2::cli::{stderr, stdout};
use wasip2::io::streams::OutputStream;
use wasip2::random::random::get_random_bytes;

use crate::exchange::{Reply, Request};

const PAGE: usize = 64 * 1024;
const HOST_PAGE: usize = 4096;

pub fn recursion(_: Request, _: Reply) {
    #[expect(unconditional_recursion, reason = "that is what is tried")]
    fn deeper(depth: u64) -> u64 {
        black_box(deeper(black_box(depth + 1)) + 1)
    }
    deeper(0);
}

/// Takes all it gets, and has each page written to; how many MiB that were.
fn take_all() -> usize {
    let mut pages = 0;
    loop {
        let before = memory_grow(0, 16);
        if before == usize::MAX {
            return pages * PAGE >> 20;
        }
        for at in (before * PAGE..(before + 16) * PAGE).step_by(HOST_PAGE) {
            unsafe { std::ptr::write_volatile(at as *mut u8, 1) };
        }
        pages += 16;
    }
}

pub fn grow(_: Request, reply: Reply) {
    reply.text(200, &format!("took {} MiB, then refused\n", take_all()));
}

pub fn grow_and_trap(_: Request, _: Reply) {
    black_box(take_all());
    unreachable()
}

pub fn print(request: Request, reply: Reply) {
    let mib: usize = request.target.number("mib").unwrap_or(1);
    let to_stderr = request.target.text("to").as_deref() == Some("stderr");
    let stream = if to_stderr { stderr::get_stderr() } else { stdout::get_stdout() };
    let piece = [b'x'; 4096];
    for _ in 0..mib << 8 {
        if stream.blocking_write_and_flush(&piece).is_err() {
            return reply.text(500, "refused\n");
        }
    }
    reply.text(200, "printed\n");
}

pub fn print_lines(request: Request, reply: Reply) {
    let stream: OutputStream = stdout::get_stdout();
    for _ in 0..request.target.number("n").unwrap_or(1) {
        if stream.blocking_write_and_flush(b"a line\n").is_err() {
            return reply.text(500, "refused\n");
        }
    }
    reply.text(200, "printed\n");
}

pub fn random(request: Request, reply: Reply) {
    let mib: u64 = request.target.number("mib").unwrap_or(1);
    let bytes = get_random_bytes(mib << 20);
    reply.text(200, &format!("got {} bytes\n", bytes.len()));
}

pub fn trap(_: Request, _: Reply) {
    unreachable()
}
