//! Sends back what it is sent, WASI 0.2: body, content type and trailers.
//!
//! It reads a piece only when the one before it is written, so that a client
//! which reads slowly is also read from slowly, and no body is ever held whole.

use std::io::Write;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

const PIECE: u64 = 64 * 1024;

struct Echo;

wasip2::http::proxy::export!(Echo);

impl Guest for Echo {
    fn handle(request: IncomingRequest, reply: ResponseOutparam) {
        let headers = Fields::new();
        // A server sends trailers only if the head has announced them.
        for name in ["content-type", "trailer"] {
            let values = request.headers().get(name);
            if !values.is_empty() {
                headers.set(name, &values).expect("it came as a header, it can go as one");
            }
        }
        let response = OutgoingResponse::new(headers);
        let outgoing = response.body().expect("taken for the first time");
        ResponseOutparam::set(reply, Ok(response));

        let incoming = request.consume().expect("taken for the first time");
        if copy(&incoming, &outgoing) {
            let trailers = trailers(incoming);
            let _ = OutgoingBody::finish(outgoing, trailers);
        }
    }
}

/// Whether all of `incoming` is now in `outgoing`. If not, one of the two
/// sides is gone, and an unfinished body tells the other.
fn copy(incoming: &IncomingBody, outgoing: &OutgoingBody) -> bool {
    let source = incoming.stream().expect("taken for the first time");
    let mut sink = outgoing.write().expect("taken for the first time");
    loop {
        match source.blocking_read(PIECE) {
            Ok(piece) => {
                if sink.write_all(&piece).is_err() {
                    return false;
                }
            }
            Err(StreamError::Closed) => return true,
            Err(StreamError::LastOperationFailed(_)) => return false,
        }
    }
}

fn trailers(body: IncomingBody) -> Option<Fields> {
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    trailers.get()?.ok()?.ok()?
}
