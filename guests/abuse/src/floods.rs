//! More of something than anybody needs. The host may end the guest instead of refusing.

use core::arch::wasm32::unreachable;

use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::types::{Fields, Method, OutgoingRequest};
use wasip2::io::poll::poll;

use crate::exchange::{Reply, Request};

fn wanted(request: &Request) -> usize {
    request.target.number("n").unwrap_or(1)
}

pub fn fields(request: Request, reply: Reply) {
    let kept: Vec<_> = (0..wanted(&request)).map(|_| Fields::new()).collect();
    reply.text(200, &format!("kept {}\n", kept.len()));
}

/// What it keeps, its body among it, must not look ended when that turns out too much.
pub fn fields_amid_body(request: Request, reply: Reply) {
    let writer = reply.start(200, &[]);
    let _ = writer.write(b"not all");
    let _ = writer.flush();
    let _kept: Vec<_> = (0..wanted(&request)).map(|_| Fields::new()).collect();
    unreachable()
}

/// Nothing in it is amiss but that an instance that is reused has more with each request;
/// and to look at a clock is to be told nothing.
pub fn fields_for_ever(request: Request, reply: Reply) {
    let wanted = wanted(&request);
    drop(request);
    reply.text(200, "kept\n");
    (0..wanted).for_each(|_| std::mem::forget(Fields::new()));
    (0..300).for_each(|_| drop(monotonic_clock::now()));
}

pub fn requests(request: Request, reply: Reply) {
    let new = |_| {
        let request = OutgoingRequest::new(Fields::new());
        let body = request.body();
        (body, request)
    };
    let kept: Vec<_> = (0..wanted(&request)).map(new).collect();
    reply.text(200, &format!("kept {}\n", kept.len()));
}

pub fn pollables(request: Request, reply: Reply) {
    let clocks: Vec<_> =
        (0..wanted(&request)).map(|n| monotonic_clock::subscribe_duration(1_000_000 + n as u64)).collect();
    let all: Vec<_> = clocks.iter().collect();
    reply.text(200, &format!("kept {}, {} were ready\n", all.len(), poll(&all).len()));
}

/// The cheapest of all resources, which engines that collect late keep one of for each
/// piece of a body.
pub fn readiness(request: Request, reply: Reply) {
    let stream = get_stdout();
    let kept: Vec<_> = (0..wanted(&request)).map(|_| stream.subscribe()).collect();
    reply.text(200, &format!("kept {}\n", kept.len()));
}

/// Twice as many of the cheap ones, which make room for the others.
pub fn swapped(request: Request, reply: Reply) {
    let stream = get_stdout();
    drop((0..2 * wanted(&request)).map(|_| stream.subscribe()).collect::<Vec<_>>());
    fields(request, reply);
}

pub fn files(request: Request, reply: Reply) {
    let path = request.target.text("path").unwrap_or_default();
    let Some((dir, _)) = get_directories().into_iter().next() else {
        return reply.text(200, "no directory\n");
    };
    let mut kept = Vec::new();
    for _ in 0..wanted(&request) {
        match dir.open_at(PathFlags::empty(), &path, OpenFlags::empty(), DescriptorFlags::READ) {
            Ok(file) => kept.push(file),
            Err(error) => {
                return reply.text(200, &format!("opened {}, then refused: {error:?}\n", kept.len()));
            }
        }
    }
    reply.text(200, &format!("opened {}\n", kept.len()));
}

/// Methods as long as they may be: the host keeps each with its request.
pub fn methods(request: Request, reply: Reply) {
    let long = "A".repeat(request.target.number("kib").unwrap_or(1) << 10);
    let mut kept = Vec::new();
    for _ in 0..wanted(&request) {
        let new = OutgoingRequest::new(Fields::new());
        let taken =
            new.set_method(&Method::Other(long.clone())).is_ok() || new.set_authority(Some(&long)).is_ok();
        if !taken {
            return reply.text(200, &format!("kept {}, then refused\n", kept.len()));
        }
        kept.push(new);
    }
    reply.text(200, &format!("kept {}\n", kept.len()));
}
