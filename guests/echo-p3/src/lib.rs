//! Sends back what it is sent, WASI 0.3: body, content type and trailers.
//!
//! The body of the request is a stream and its trailers are a future, and both
//! become those of the response as they are. The bytes never enter the guest,
//! and how fast they flow is between the two ends of the connection.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_future;

struct Echo;

wasip3::http::service::export!(Echo);

impl Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        // A server sends trailers only if the head has announced them.
        for name in ["content-type", "trailer"] {
            let values = request.get_headers().get(name);
            if !values.is_empty() {
                headers.set(name, &values).expect("it came as a header, it can go as one");
            }
        }
        let (_, no_complaint) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, no_complaint);
        let (response, _sent) = Response::new(headers, Some(body), trailers);
        Ok(response)
    }
}
