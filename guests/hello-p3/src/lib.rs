//! The smallest application: `Hello, world!` for every request, WASI 0.3.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

const HELLO: &[u8] = b"Hello, world!\n";

struct Hello;

wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::from_list(&[
            ("content-type".into(), b"text/plain".to_vec()),
            ("content-length".into(), HELLO.len().to_string().into()),
        ])
        .expect("these headers are allowed");
        let (mut stream, body) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(body), trailers);

        // The body is written once the head is on its way. A client may hang
        // up at any time: what then stays unwritten is nobody's loss.
        spawn_local(async move {
            stream.write_all(HELLO.to_vec()).await;
        });
        Ok(response)
    }
}
