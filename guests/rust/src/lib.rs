//! An app for WASI 0.2, on nothing but its bindings.

mod exchange;

use exchange::{Reply, Request};

exchange::serve!(handle);

fn handle(request: Request, reply: Reply) {
    match (request.method(), request.path()) {
        ("GET", "/") => reply.text(200, "Hello from Rust!\n"),
        ("POST", "/echo") => echo(request, reply),
        ("GET", "/headers") => headers(&request, reply),
        ("GET", "/query") => query(&request, reply),
        ("POST", "/json") => json(request, reply),
        ("GET", "/error") => panic!("asked to"),
        _ => reply.text(404, "Not found\n"),
    }
}

/// Sends the body back as it comes.
fn echo(request: Request, reply: Reply) {
    let kind = request.field("content-type").unwrap_or(b"application/octet-stream".into());
    let mut writer = reply.begin(200, &[("content-type", &kind)]);
    if std::io::copy(&mut request.into_body(), &mut writer).is_ok() {
        writer.finish();
    }
}

fn headers(request: &Request, reply: Reply) {
    let answer = request.field("x-question").unwrap_or_default();
    reply.begin(200, &[("x-answer", &answer), ("set-cookie", b"a=1"), ("set-cookie", b"b=2")]).finish();
}

fn query(request: &Request, reply: Reply) {
    let mut pairs = form_urlencoded::parse(request.query().as_bytes());
    let name = pairs.find(|(key, _)| key == "name").map_or("world".into(), |(_, value)| value);
    reply.text(200, &format!("Hello, {name}!\n"));
}

fn json(request: Request, reply: Reply) {
    // It is read byte by byte.
    let body = std::io::BufReader::new(request.into_body());
    match serde_json::from_reader(body).ok().and_then(|value| sum(&value)) {
        Some(sum) => reply.json(&serde_json::json!({ "sum": sum })),
        None => reply.text(400, "numbers is to be a list of whole numbers\n"),
    }
}

fn sum(value: &serde_json::Value) -> Option<i64> {
    let mut numbers = value["numbers"].as_array()?.iter();
    numbers.try_fold(0_i64, |sum, number| sum.checked_add(number.as_i64()?))
}
