//! Heads and trailers that break something.

use wasip2::http::types::Fields;

use crate::exchange::{Reply, Request};

pub fn many(request: Request, reply: Reply) {
    let fields = Fields::new();
    for n in 0..request.target.number::<u32>("n").unwrap_or(1) {
        if let Err(error) = fields.append(&format!("f{n}"), b"v") {
            return reply.text(500, &format!("{n} fields, then refused: {error:?}\n"));
        }
    }
    reply.start_with(200, fields).last(b"sent\n");
}

pub fn huge(request: Request, reply: Reply) {
    let kib: usize = request.target.number("kib").unwrap_or(1);
    let fields = Fields::new();
    match fields.append("huge", &vec![b'v'; kib << 10]) {
        Ok(()) => reply.start_with(200, fields).last(b"sent\n"),
        Err(error) => reply.text(500, &format!("refused: {error:?}\n")),
    }
}

/// What is accepted is sent.
fn send(reply: Reply, wanted: &[(&str, &str)]) {
    let fields = Fields::new();
    let accepted = wanted.iter().filter(|(name, value)| fields.append(name, value.as_bytes()).is_ok());
    let accepted: Vec<_> = accepted.map(|(name, _)| *name).collect();
    let text = format!("accepted: {}\n", accepted.join(" "));
    reply.start_with(200, fields).last(text.as_bytes());
}

pub fn framing(_: Request, reply: Reply) {
    send(
        reply,
        &[
            ("connection", "keep-alive, x"),
            ("keep-alive", "timeout=99"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("host", "evil.test"),
            ("te", "trailers"),
        ],
    );
}

pub fn two_lengths(_: Request, reply: Reply) {
    send(reply, &[("content-length", "3"), ("content-length", "300")]);
}

pub fn split(_: Request, reply: Reply) {
    let value = "a\r\nset-cookie: stolen=1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    send(reply, &[("x-value", value), ("x-na\r\nme", "a"), ("x nul", "a"), ("x-nul", "a\0b"), ("", "a")]);
}

pub fn trailers(_: Request, reply: Reply) {
    let writer = reply.start(200, &[("trailer", "content-length")]);
    let _ = writer.write(b"body");
    let fields = Fields::new();
    for (name, value) in
        [("content-length", "9"), ("transfer-encoding", "chunked"), ("host", "evil.test"), ("x-fine", "yes")]
    {
        let _ = fields.append(name, value.as_bytes());
    }
    writer.finish(Some(fields));
}
