//! The ways to fail a server, and one to outstay its welcome.

use core::arch::wasm32::unreachable;

use wasip3::cli::exit::exit as wasi_exit;
use wasip3::http::types::ErrorCode;
use wasip3::spawn_local;

use crate::exchange::{Answer, Request, start, text};
use crate::system::{compute, wait};

/// Without a word: a panic would write to stderr first.
pub async fn trap(_: Request) -> Answer {
    unreachable()
}

pub async fn panic(_: Request) -> Answer {
    panic!("asked to")
}

/// `exit-with-code` is unstable and a host need not have it, so that all codes
/// but 0 are the same.
pub async fn exit(request: Request) -> Answer {
    match request.target.number("code") {
        None | Some(0) => wasi_exit(Ok(())),
        Some(_) => wasi_exit(Err(())),
    }
    unreachable()
}

/// WASI 0.3 has no way to return without one: this is the nearest thing.
pub async fn no_response(_: Request) -> Answer {
    Err(ErrorCode::InternalError(None))
}

pub async fn error_code(request: Request) -> Answer {
    Err(match request.target.text("code").as_deref() {
        Some("denied") => ErrorCode::HttpRequestDenied,
        Some("body-size") => ErrorCode::HttpRequestBodySize(None),
        Some("timeout") => ErrorCode::HttpResponseTimeout,
        Some("loop") => ErrorCode::LoopDetected,
        _ => ErrorCode::InternalError(Some("asked to".into())),
    })
}

pub async fn trap_after_head(request: Request) -> Answer {
    let length = request.target.text("length");
    let fields = length.as_deref().map(|length| ("content-length", length));
    let (response, mut writer) = start(200, fields.as_slice());
    let bytes = request.target.number("bytes").unwrap_or(0);
    let ms = request.target.number("ms");
    spawn_local(async move {
        let _ = writer.write(vec![b'x'; bytes]).await;
        if let Some(ms) = ms {
            wait(ms).await;
        }
        unreachable()
    });
    Ok(response)
}

pub async fn trap_after_body(request: Request) -> Answer {
    const BODY: &str = "complete\n";
    let length = BODY.len().to_string();
    let fields = request.target.says("length").then_some(("content-length", &*length));
    let (response, writer) = start(200, fields.as_slice());
    spawn_local(async move {
        writer.last(BODY.into()).await;
        unreachable()
    });
    Ok(response)
}

pub async fn after(request: Request) -> Answer {
    let ms = request.target.number("ms").unwrap_or(100);
    let busy = request.target.says("busy");
    spawn_local(async move {
        while busy {
            compute(2);
            wait(1).await;
        }
        wait(ms).await;
        eprintln!("worked on for {ms} ms");
    });
    text(200, "answered\n")
}
