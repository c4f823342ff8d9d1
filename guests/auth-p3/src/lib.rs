//! Middleware for WASI 0.3: it lets through who knows the token, and answers the others itself.
//! Unlike that for 0.2 it sees what the app answers, and may change it.

wit_bindgen::generate!({
    path: "wit",
    inline: "
        package wasgun:auth;

        world auth {
            import wasi:http/types@0.3.0;
            import wasi:http/handler@0.3.0;
            export wasi:http/handler@0.3.0;
        }
    ",
    world: "wasgun:auth/auth",
    generate_all,
});

use std::hint::black_box;

use exports::wasi::http::handler::Guest;
use wasi::http::handler;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Auth;

export!(Auth);

impl Guest for Auth {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let Some(token) = std::env::var("TOKEN").ok().filter(|token| !token.is_empty()) else {
            eprintln!("auth: nobody is let through, since there is no TOKEN: wasgun --env TOKEN=...");
            return Ok(refuse(500, &[]));
        };
        let said = request.get_headers().get("authorization");
        match said.first().is_some_and(|said| is_same(said, format!("Bearer {token}").as_bytes())) {
            true => Ok(mark(handler::handle(request).await?)),
            false => Ok(refuse(401, &[("www-authenticate", "Bearer")])),
        }
    }
}

/// Compares all of it, so that the time tells nothing about where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| black_box(all | (a ^ b))) == 0
}

/// The same response, with a field more. Its body passes by.
fn mark(response: Response) -> Response {
    let status = response.get_status_code();
    let fields = response.get_headers().clone();
    let _ = fields.append("x-checked-by", b"auth");
    let (_, handled) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, handled);
    let (marked, _sent) = Response::new(fields, Some(body), trailers);
    marked.set_status_code(status).expect("it was one");
    marked
}

fn refuse(status: u16, fields: &[(&str, &str)]) -> Response {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let fields = Fields::from_list(&fields).expect("these fields are allowed");
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(fields, None, trailers);
    response.set_status_code(status).expect("it is a status");
    response
}
