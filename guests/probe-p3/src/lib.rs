//! One route for each thing that an application can do to its server, WASI 0.3.
//!
//! `routes.rs` has the table, the modules beside it one function a route, and
//! `exchange.rs` what these are written in. Its twin for WASI 0.2 is `probe`.

mod bodies;
mod exchange;
mod faults;
mod outbound;
mod plain;
mod routes;
mod system;

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};

struct Probe;

wasip3::http::service::export!(Probe);

impl Guest for Probe {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let _under_way = plain::UnderWay::new();
        routes::dispatch(exchange::Request::new(request)).await
    }
}
