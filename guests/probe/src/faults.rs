//! The ways to fail a server, and one to outstay its welcome.

use core::arch::wasm32::unreachable;

use wasip2::cli::exit::exit as wasi_exit;
use wasip2::http::types::ErrorCode;

use crate::exchange::{Reply, Request};
use crate::plain;
use crate::system::wait;

/// Without a word: a panic would write to stderr first.
pub fn trap(_: Request, _: Reply) {
    unreachable()
}

pub fn panic(_: Request, _: Reply) {
    panic!("asked to")
}

/// `exit-with-code` is unstable and a host need not have it, so that all codes
/// but 0 are the same.
pub fn exit(request: Request, _: Reply) {
    match request.target.number("code") {
        None | Some(0) => wasi_exit(Ok(())),
        Some(_) => wasi_exit(Err(())),
    }
}

pub fn no_response(_: Request, _: Reply) {}

pub fn once(request: Request, reply: Reply) {
    if request.target.says("read") {
        let _ = request.body().for_each(|_| {});
    }
    if plain::is_first() {
        reply.text(200, "answered once\n");
    }
}

pub fn error_code(request: Request, reply: Reply) {
    reply.fail(match request.target.text("code").as_deref() {
        Some("denied") => ErrorCode::HttpRequestDenied,
        Some("body-size") => ErrorCode::HttpRequestBodySize(None),
        Some("timeout") => ErrorCode::HttpResponseTimeout,
        Some("loop") => ErrorCode::LoopDetected,
        _ => ErrorCode::InternalError(Some("asked to".into())),
    });
}

pub fn trap_after_head(request: Request, reply: Reply) {
    let length = request.target.text("length");
    let fields = length.as_deref().map(|length| ("content-length", length));
    let writer = reply.start(200, fields.as_slice());
    let bytes = request.target.number("bytes").unwrap_or(0);
    let _ = writer.write(&vec![b'x'; bytes]);
    let _ = writer.flush();
    if let Some(ms) = request.target.number("ms") {
        wait(ms);
    }
    unreachable()
}

pub fn trap_after_body(request: Request, reply: Reply) {
    const BODY: &str = "complete\n";
    let length = BODY.len().to_string();
    let fields = request.target.says("length").then_some(("content-length", &*length));
    reply.start(200, fields.as_slice()).last(BODY.as_bytes());
    unreachable()
}

pub fn after(request: Request, reply: Reply) {
    let ms = request.target.number("ms").unwrap_or(100);
    reply.text(200, "answered\n");
    wait(ms);
    eprintln!("worked on for {ms} ms");
}
