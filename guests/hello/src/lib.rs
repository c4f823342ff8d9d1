//! The smallest application: `Hello, world!` for every request, WASI 0.2.

use std::io::Write;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

const HELLO: &[u8] = b"Hello, world!\n";

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(_request: IncomingRequest, reply: ResponseOutparam) {
        let headers = Fields::from_list(&[
            ("content-type".into(), b"text/plain".to_vec()),
            ("content-length".into(), HELLO.len().to_string().into()),
        ])
        .expect("these headers are allowed");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("taken for the first time");
        ResponseOutparam::set(reply, Ok(response));

        // A client may hang up at any time: that is no reason to trap.
        let mut stream = body.write().expect("taken for the first time");
        if stream.write_all(HELLO).is_ok() {
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
