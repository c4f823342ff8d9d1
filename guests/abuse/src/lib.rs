//! One route for each way in which a guest could try to harm its host, or others by way
//! of it. What the host refuses is told in the answer: `refused` behind how far it got.

mod bodies;
#[path = "../../probe/src/exchange.rs"]
#[allow(dead_code, reason = "the probe uses the rest")]
mod exchange;
mod fields;
mod files;
mod floods;
mod network;
mod resources;
mod routes;
mod time;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Abuse;

wasip2::http::proxy::export!(Abuse);

impl Guest for Abuse {
    fn handle(request: IncomingRequest, reply: ResponseOutparam) {
        routes::dispatch(exchange::Request::new(request), exchange::Reply::new(reply));
    }
}
