//! One route for each thing that an application can do to its server, WASI 0.2.
//!
//! `routes.rs` has the table, the modules beside it one function a route, and
//! `exchange.rs` what these are written in. Its twin for WASI 0.3 is `probe-p3`.

mod bodies;
mod exchange;
mod faults;
mod outbound;
mod plain;
mod routes;
mod system;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Probe;

wasip2::http::proxy::export!(Probe);

impl Guest for Probe {
    fn handle(request: IncomingRequest, reply: ResponseOutparam) {
        plain::counted();
        routes::dispatch(exchange::Request::new(request), exchange::Reply::new(reply));
    }
}
