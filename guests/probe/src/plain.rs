//! Answers made of the request head alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probe_common::json;
use wasip2::http::types::{Fields, Method, Scheme};

use crate::exchange::{Reply, Request};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// One more request for this instance.
pub fn counted() {
    COUNT.fetch_add(1, Relaxed);
}

/// Whether it is its first.
pub fn is_first() -> bool {
    COUNT.load(Relaxed) == 1
}

pub fn hello(_: Request, reply: Reply) {
    reply.text(200, "Hello, world!\n");
}

pub fn inspect(request: Request, reply: Reply) {
    let raw = &request.raw;
    let json = format!(
        r#"{{"method":{},"scheme":{},"authority":{},"path_with_query":{},"headers":{}}}"#,
        json::string(&method(raw.method())),
        json::optional(raw.scheme().map(scheme).as_deref()),
        json::optional(raw.authority().as_deref()),
        json::optional(raw.path_with_query().as_deref()),
        json::pairs(&raw.headers().entries()),
    );
    reply.json(&json);
}

fn method(method: Method) -> String {
    match method {
        Method::Other(name) => name,
        // The names of the others are theirs in WIT, in upper case.
        known => format!("{known:?}").trim_start_matches("Method::").to_uppercase(),
    }
}

fn scheme(scheme: Scheme) -> String {
    match scheme {
        Scheme::Http => "http".into(),
        Scheme::Https => "https".into(),
        Scheme::Other(name) => name,
    }
}

/// 1 on a fresh instance: the question itself counts.
pub fn count(_: Request, reply: Reply) {
    reply.text(200, &format!("{}\n", COUNT.load(Relaxed)));
}

/// An instance of WASI 0.2 has one request at a time.
pub fn peak(_: Request, reply: Reply) {
    reply.text(200, "1\n");
}

pub fn status(request: Request, reply: Reply) {
    match request.target.number("code") {
        Some(code @ (204 | 304)) => reply.start(code, &[]).finish(None),
        Some(code @ 200..=599) => reply.text(code, &format!("status {code}\n")),
        _ => reply.text(400, "code must be a number from 200 to 599\n"),
    }
}

pub fn headers(request: Request, reply: Reply) {
    let n = request.target.number("n").unwrap_or(1);
    let fields = (0..n).map(|i| (format!("x-probe-{i}"), i.to_string().into()));
    with_fields(&fields.collect::<Vec<_>>(), "headers\n", reply);
}

pub fn header(request: Request, reply: Reply) {
    let name = request.target.text("name").unwrap_or_default();
    let value = request.target.text("value").unwrap_or_default();
    with_fields(&[(name, value.into())], "header\n", reply);
}

fn with_fields(fields: &[(String, Vec<u8>)], body: &str, reply: Reply) {
    match Fields::from_list(fields) {
        Ok(fields) => reply.start_with(200, fields).last(body.as_bytes()),
        Err(error) => reply.text(500, &format!("{error:?}\n")),
    }
}
