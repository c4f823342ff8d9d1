//! Bodies, both ways: whole, in part, slow, large and with trailers.

use probe_common::{Checksum, PIECE, json, pattern_pieces};
use wasip2::http::types::Fields;
use wasip2::io::streams::StreamError;

use crate::exchange::{Body, Reply, Request, Writer};
use crate::system::wait;

pub fn echo(request: Request, reply: Reply) {
    let headers = Fields::new();
    // A server sends trailers only if the head has announced them.
    for name in ["content-type", "trailer"] {
        let values = request.raw.headers().get(name);
        if !values.is_empty() {
            headers.set(name, &values).expect("it came as a header, it can go as one");
        }
    }
    let body = request.body();
    let writer = reply.start_with(200, headers);
    if copy(&body, &writer).is_ok()
        && let Ok(trailers) = body.trailers()
    {
        writer.finish(trailers);
    }
}

fn copy(body: &Body, writer: &Writer) -> Result<(), StreamError> {
    while let Some(piece) = body.read(PIECE)? {
        writer.write(&piece)?;
    }
    Ok(())
}

pub fn sink(request: Request, reply: Reply) {
    let (mut length, mut sum) = (0, Checksum::new());
    let read = request.body().for_each(|piece| {
        length += piece.len();
        sum.update(piece);
    });
    match read {
        Ok(()) => reply.text(200, &format!("{length} {}\n", sum.hex())),
        Err(error) => reply.text(400, &format!("{error}\n")),
    }
}

pub fn early(_: Request, reply: Reply) {
    reply.text(200, "early\n");
}

pub fn half_read(request: Request, reply: Reply) {
    let wanted = request.target.number("n").unwrap_or(1);
    let body = request.body();
    let mut length = 0;
    while length < wanted {
        match body.read(PIECE.min(wanted - length)) {
            Ok(Some(piece)) => length += piece.len(),
            Ok(None) => break,
            Err(error) => return reply.text(400, &format!("{error}\n")),
        }
    }
    reply.text(200, &format!("read {length}\n"));
}

pub fn big(request: Request, reply: Reply) {
    let mib: u64 = request.target.number("mib").unwrap_or(1);
    let length = (mib * 1024 * 1024).to_string();
    let mut fields = vec![("content-type", "application/octet-stream")];
    if request.target.says("length") {
        fields.push(("content-length", &length));
    }
    let writer = reply.start(200, &fields);
    for piece in pattern_pieces(mib) {
        if writer.write(&piece).is_err() {
            return;
        }
    }
    writer.finish(None);
}

pub fn slow(request: Request, reply: Reply) {
    let chunks = request.target.number("chunks").unwrap_or(3);
    let ms = request.target.number("ms").unwrap_or(100);
    let writer = reply.start(200, &[("content-type", "text/plain")]);
    for n in 0..chunks {
        if n > 0 {
            wait(ms);
        }
        let chunk = format!("chunk {n}\n");
        if writer.write(chunk.as_bytes()).is_err() || writer.flush().is_err() {
            return;
        }
    }
    writer.finish(None);
}

pub fn mismatch(request: Request, reply: Reply) {
    let length = request.target.text("length").unwrap_or_else(|| "10".into());
    let bytes = request.target.number("bytes").unwrap_or(5);
    let writer = reply.start(200, &[("content-length", &length)]);
    writer.last(&vec![b'x'; bytes]);
}

pub fn trailers(_: Request, reply: Reply) {
    let writer = reply.start(200, &[("content-type", "text/plain"), ("trailer", "x-probe")]);
    if writer.write(b"body\n").is_ok() {
        let trailers = Fields::from_list(&[("x-probe".into(), b"trailer".to_vec())]);
        writer.finish(Some(trailers.expect("these are allowed")));
    }
}

pub fn request_trailers(request: Request, reply: Reply) {
    let body = request.body();
    if let Err(error) = body.for_each(|_| ()) {
        return reply.text(400, &format!("{error}\n"));
    }
    match body.trailers() {
        Ok(None) => reply.json("[]"),
        Ok(Some(trailers)) => reply.json(&json::pairs(&trailers.entries())),
        Err(error) => reply.text(400, &format!("{error}\n")),
    }
}
