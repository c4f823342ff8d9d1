//! A request of our own, by the HTTP client of the host.

use probe_common::split_url;
use wasip3::http::client;
use wasip3::http::types::{
    ErrorCode, Fields, Method, Request as RawRequest, RequestOptions, Response, Scheme,
};
use wasip3::{spawn_local, wit_future};

use crate::bodies::copy;
use crate::exchange::{Answer, Body, Request, start, text};

pub async fn outbound(request: Request) -> Answer {
    let url = request.target.text("url").unwrap_or_default();
    let first_byte_ms = request.target.number("first-byte-ms");
    let method_kib = request.target.number("method-kib");
    let theirs = match fetch(&url, first_byte_ms, method_kib).await {
        Ok(response) => response,
        Err(error) => return text(502, &format!("{error:?}\n")),
    };
    let (response, writer) = start(theirs.get_status_code(), &[]);
    let (_, no_complaint) = wit_future::new(|| Ok(()));
    let body = Body::new(Response::consume_body(theirs, no_complaint));
    spawn_local(copy(body, writer));
    Ok(response)
}

async fn fetch(
    url: &str,
    first_byte_ms: Option<u64>,
    method_kib: Option<usize>,
) -> Result<Response, ErrorCode> {
    let options = RequestOptions::new();
    options
        .set_first_byte_timeout(first_byte_ms.map(|ms| ms * 1_000_000))
        .map_err(|_| ErrorCode::ConfigurationError)?;
    let request = get(url, options).ok_or(ErrorCode::HttpRequestUriInvalid)?;
    if let Some(kib) = method_kib {
        // Either would do to have the host keep that much.
        let long = "A".repeat(kib << 10);
        request
            .set_method(&Method::Other(long.clone()))
            .or_else(|()| request.set_authority(Some(&long)))
            .map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    }
    client::send(request).await
}

fn get(url: &str, options: RequestOptions) -> Option<RawRequest> {
    let (scheme, authority, path) = split_url(url)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = RawRequest::new(Fields::new(), None, no_trailers, Some(options));
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(path)).ok()?;
    Some(request)
}
