//! An app for WASI 0.2, in async Rust on the crate `wstd`.

use wstd::http::body::Body;
use wstd::http::{Error, Request, Response, StatusCode};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/") => text(StatusCode::OK, "Hello from wstd!\n"),
        ("POST", "/echo") => echo(request),
        ("GET", "/headers") => headers(&request),
        ("GET", "/query") => query(&request),
        ("POST", "/json") => json(request).await,
        // The server answers with 500, and logs it.
        ("GET", "/error") => panic!("asked to"),
        _ => text(StatusCode::NOT_FOUND, "Not found\n"),
    }
}

/// Sends the body back as it comes.
fn echo(request: Request<Body>) -> Result<Response<Body>, Error> {
    let (head, body) = request.into_parts();
    let kind =
        head.headers.get("content-type").map_or(&b"application/octet-stream"[..], |kind| kind.as_bytes());
    Ok(Response::builder().header("content-type", kind).body(body)?)
}

fn headers(request: &Request<Body>) -> Result<Response<Body>, Error> {
    let answer = request.headers().get("x-question").map_or(&b""[..], |answer| answer.as_bytes());
    let response = Response::builder().header("x-answer", answer);
    Ok(response.header("set-cookie", "a=1").header("set-cookie", "b=2").body(Body::empty())?)
}

fn query(request: &Request<Body>) -> Result<Response<Body>, Error> {
    let mut pairs = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let name = pairs.find(|(key, _)| key == "name").map_or("world".into(), |(_, value)| value);
    text(StatusCode::OK, format!("Hello, {name}!\n"))
}

async fn json(request: Request<Body>) -> Result<Response<Body>, Error> {
    let mut body = request.into_body();
    match serde_json::from_slice(body.contents().await?).ok().and_then(|value| sum(&value)) {
        Some(sum) => {
            let response = Response::builder().header("content-type", "application/json");
            Ok(response.body(serde_json::json!({ "sum": sum }).to_string().into())?)
        }
        None => text(StatusCode::BAD_REQUEST, "numbers is to be a list of whole numbers\n"),
    }
}

fn sum(value: &serde_json::Value) -> Option<i64> {
    let mut numbers = value["numbers"].as_array()?.iter();
    numbers.try_fold(0_i64, |sum, number| sum.checked_add(number.as_i64()?))
}

fn text(status: StatusCode, text: impl Into<Body>) -> Result<Response<Body>, Error> {
    let response = Response::builder().status(status).header("content-type", "text/plain; charset=utf-8");
    Ok(response.body(text.into())?)
}
