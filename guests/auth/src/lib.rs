//! Middleware for WASI 0.2: it lets through who knows the token, and answers the others itself.

wit_bindgen::generate!({
    path: "wit",
    inline: "
        package wasgun:auth;

        world auth {
            import wasi:http/types@0.2.12;
            import wasi:http/incoming-handler@0.2.12;
            export wasi:http/incoming-handler@0.2.12;
        }
    ",
    world: "wasgun:auth/auth",
    generate_all,
});

use std::hint::black_box;

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::incoming_handler;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Auth;

export!(Auth);

impl Guest for Auth {
    fn handle(request: IncomingRequest, reply: ResponseOutparam) {
        let Some(token) = std::env::var("TOKEN").ok().filter(|token| !token.is_empty()) else {
            eprintln!("auth: nobody is let through, since there is no TOKEN: wasgun --env TOKEN=...");
            return refuse(reply, 500, &[]);
        };
        let said = request.headers().get("authorization");
        match said.first().is_some_and(|said| is_same(said, format!("Bearer {token}").as_bytes())) {
            // It answers in our stead: what it sends we do not see.
            true => incoming_handler::handle(request, reply),
            false => refuse(reply, 401, &[("www-authenticate", "Bearer")]),
        }
    }
}

/// Compares all of it, so that the time tells nothing about where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| black_box(all | (a ^ b))) == 0
}

fn refuse(reply: ResponseOutparam, status: u16, fields: &[(&str, &str)]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let response = OutgoingResponse::new(Fields::from_list(&fields).expect("these fields are allowed"));
    response.set_status_code(status).expect("it is a status");
    let body = response.body().expect("it is taken once");
    ResponseOutparam::set(reply, Ok(response));
    let _ = OutgoingBody::finish(body, None);
}
