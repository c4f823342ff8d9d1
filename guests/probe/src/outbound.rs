//! A request of our own, by the HTTP client of the host.

use probe_common::{PIECE, split_url};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, OutgoingRequest, RequestOptions, Scheme};

use crate::exchange::{Body, Reply, Request};

pub fn outbound(request: Request, reply: Reply) {
    let url = request.target.text("url").unwrap_or_default();
    let first_byte_ms = request.target.number("first-byte-ms");
    let response = match fetch(&url, first_byte_ms) {
        Ok(response) => response,
        Err(error) => return reply.text(502, &format!("{error:?}\n")),
    };
    let body = Body::new(response.consume().expect("taken for the first time"));
    let writer = reply.start(response.status(), &[]);
    loop {
        match body.read(PIECE) {
            Ok(Some(piece)) if writer.write(&piece).is_ok() => {}
            Ok(None) => return writer.finish(None),
            _ => return,
        }
    }
}

fn fetch(url: &str, first_byte_ms: Option<u64>) -> Result<IncomingResponse, ErrorCode> {
    let request = get(url).ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let options = RequestOptions::new();
    let limit = first_byte_ms.map(|ms| ms * 1_000_000);
    options.set_first_byte_timeout(limit).map_err(|()| ErrorCode::ConfigurationError)?;
    let response = outgoing_handler::handle(request, Some(options))?;
    response.subscribe().block();
    let once = response.get().expect("it is ready");
    once.expect("taken for the first time")
}

fn get(url: &str) -> Option<OutgoingRequest> {
    let (scheme, authority, path) = split_url(url)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(path)).ok()?;
    Some(request)
}
