//! Answers made of the request head alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use probe_common::json;
use wasip3::http::types::{Fields, Method, Scheme};
use wasip3::spawn_local;

use crate::exchange::{Answer, Request, json as answer_json, start, start_with, text};

static COUNT: AtomicU64 = AtomicU64::new(0);
static NOW: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

/// One more request for this instance, until its head is sent.
pub struct UnderWay;

impl UnderWay {
    pub fn new() -> Self {
        COUNT.fetch_add(1, Relaxed);
        PEAK.fetch_max(NOW.fetch_add(1, Relaxed) + 1, Relaxed);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        NOW.fetch_sub(1, Relaxed);
    }
}

pub async fn hello(_: Request) -> Answer {
    text(200, "Hello, world!\n")
}

pub async fn inspect(request: Request) -> Answer {
    let raw = &request.raw;
    answer_json(&format!(
        r#"{{"method":{},"scheme":{},"authority":{},"path_with_query":{},"headers":{}}}"#,
        json::string(&method(raw.get_method())),
        json::optional(raw.get_scheme().map(scheme).as_deref()),
        json::optional(raw.get_authority().as_deref()),
        json::optional(raw.get_path_with_query().as_deref()),
        json::pairs(&raw.get_headers().copy_all()),
    ))
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
pub async fn count(_: Request) -> Answer {
    text(200, &format!("{}\n", COUNT.load(Relaxed)))
}

pub async fn peak(_: Request) -> Answer {
    text(200, &format!("{}\n", PEAK.load(Relaxed)))
}

pub async fn status(request: Request) -> Answer {
    match request.target.number("code") {
        Some(code @ (204 | 304)) => {
            let (response, writer) = start(code, &[]);
            spawn_local(writer.finish(None));
            Ok(response)
        }
        Some(code @ 200..=599) => text(code, &format!("status {code}\n")),
        _ => text(400, "code must be a number from 200 to 599\n"),
    }
}

pub async fn headers(request: Request) -> Answer {
    let n = request.target.number("n").unwrap_or(1);
    let fields = (0..n).map(|i| (format!("x-probe-{i}"), i.to_string().into()));
    with_fields(&fields.collect::<Vec<_>>(), "headers\n")
}

pub async fn header(request: Request) -> Answer {
    let name = request.target.text("name").unwrap_or_default();
    let value = request.target.text("value").unwrap_or_default();
    with_fields(&[(name, value.into())], "header\n")
}

fn with_fields(fields: &[(String, Vec<u8>)], body: &str) -> Answer {
    match Fields::from_list(fields) {
        Ok(fields) => {
            let (response, writer) = start_with(200, fields);
            spawn_local(writer.last(body.into()));
            Ok(response)
        }
        Err(error) => text(500, &format!("{error:?}\n")),
    }
}
