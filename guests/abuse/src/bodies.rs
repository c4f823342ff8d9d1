//! Bodies that are not what was said, or never end.

use core::arch::wasm32::unreachable;

use crate::exchange::{Reply, Request};

pub fn short(_: Request, reply: Reply) {
    reply.start(200, &[("content-length", "100")]).last(b"0123456789");
}

pub fn long(_: Request, reply: Reply) {
    let writer = reply.start(200, &[("content-length", "10")]);
    writer.last(&[b'x'; 100]);
}

pub fn endless(_: Request, reply: Reply) {
    let writer = reply.start(200, &[]);
    while writer.write(&[b'x'; 16 << 10]).is_ok() {}
}

pub fn none(_: Request, _: Reply) {}

pub fn dropped(_: Request, reply: Reply) {
    let writer = reply.start(200, &[("content-length", "10")]);
    let _ = writer.write(b"01234");
}

pub fn trap_after_head(_: Request, reply: Reply) {
    let writer = reply.start(200, &[("content-length", "10")]);
    let _ = writer.write(b"01234");
    let _ = writer.flush();
    unreachable()
}

pub fn ignore(request: Request, reply: Reply) {
    let body = request.body();
    reply.text(200, "answered\n");
    drop(body);
}
