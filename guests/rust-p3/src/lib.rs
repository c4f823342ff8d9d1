//! An app for WASI 0.3, with the types of the crate `http`.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use wasip3::http::types::{self, ErrorCode};
use wasip3::http_compat::{IncomingRequestBody, http_from_wasi_request, http_into_wasi_response};

struct App;

wasip3::http::service::export!(App);

impl wasip3::exports::http::handler::Guest for App {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let response = handle(http_from_wasi_request(request)?).await;
        http_into_wasi_response(response.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?)
    }
}

type Body = UnsyncBoxBody<Bytes, ErrorCode>;
type Outcome = Result<Response<Body>, http::Error>;

async fn handle(request: Request<IncomingRequestBody>) -> Outcome {
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/") => text(StatusCode::OK, "Hello from Rust 0.3!\n"),
        ("POST", "/echo") => echo(request),
        ("GET", "/headers") => headers(&request),
        ("GET", "/query") => query(&request),
        ("POST", "/json") => json(request).await,
        ("GET", "/error") => panic!("asked to"),
        _ => text(StatusCode::NOT_FOUND, "Not found\n"),
    }
}

/// Sends the body back as it comes.
fn echo(request: Request<IncomingRequestBody>) -> Outcome {
    let (head, body) = request.into_parts();
    let kind = head
        .headers
        .get(header::CONTENT_TYPE)
        .map_or(&b"application/octet-stream"[..], |kind| kind.as_bytes());
    Response::builder().header(header::CONTENT_TYPE, kind).body(body.boxed_unsync())
}

fn headers(request: &Request<IncomingRequestBody>) -> Outcome {
    let answer = request.headers().get("x-question").map_or(&b""[..], |answer| answer.as_bytes());
    Response::builder()
        .header("x-answer", answer)
        .header(header::SET_COOKIE, "a=1")
        .header(header::SET_COOKIE, "b=2")
        .body(full(""))
}

fn query(request: &Request<IncomingRequestBody>) -> Outcome {
    let mut pairs = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let name = pairs.find(|(key, _)| key == "name").map_or("world".into(), |(_, value)| value);
    text(StatusCode::OK, format!("Hello, {name}!\n"))
}

async fn json(request: Request<IncomingRequestBody>) -> Outcome {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    match serde_json::from_slice(&body).ok().and_then(|value| sum(&value)) {
        Some(sum) => Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(full(serde_json::json!({ "sum": sum }).to_string())),
        None => text(StatusCode::BAD_REQUEST, "numbers is to be a list of whole numbers\n"),
    }
}

fn sum(value: &serde_json::Value) -> Option<i64> {
    let mut numbers = value["numbers"].as_array()?.iter();
    numbers.try_fold(0_i64, |sum, number| sum.checked_add(number.as_i64()?))
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Outcome {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(full(text))
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}
