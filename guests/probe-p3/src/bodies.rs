//! Bodies, both ways: whole, in part, slow, large and with trailers.

use probe_common::{Checksum, PIECE, json, pattern_pieces};
use wasip3::http::types::Fields;
use wasip3::spawn_local;

use crate::exchange::{Answer, Body, Request, Writer, json as answer_json, start, start_with, text};
use crate::system::wait;

/// Byte for byte through the guest, unlike the crate `echo-p3`.
pub async fn echo(request: Request) -> Answer {
    let headers = Fields::new();
    // A server sends trailers only if the head has announced them.
    for name in ["content-type", "trailer"] {
        let values = request.raw.get_headers().get(name);
        if !values.is_empty() {
            headers.set(name, &values).expect("it came as a header, it can go as one");
        }
    }
    let (response, writer) = start_with(200, headers);
    spawn_local(copy(request.into_body(), writer));
    Ok(response)
}

/// All of `body`, and a cut at the end if it had one.
pub async fn copy(mut body: Body, mut writer: Writer) {
    while let Some(piece) = body.read(PIECE).await {
        if writer.write(piece).await.is_err() {
            return;
        }
    }
    if let Ok(trailers) = body.trailers().await {
        writer.finish(trailers).await;
    }
}

pub async fn sink(request: Request) -> Answer {
    let (mut length, mut sum) = (0, Checksum::new());
    let read = request.into_body().for_each(|piece| {
        length += piece.len();
        sum.update(piece);
    });
    match read.await {
        Ok(_) => text(200, &format!("{length} {}\n", sum.hex())),
        Err(error) => text(400, &format!("{error:?}\n")),
    }
}

pub async fn early(_: Request) -> Answer {
    text(200, "early\n")
}

pub async fn half_read(request: Request) -> Answer {
    let wanted = request.target.number("n").unwrap_or(1);
    let mut body = request.into_body();
    let mut length = 0;
    while length < wanted {
        match body.read(PIECE.min(wanted - length)).await {
            Some(piece) => length += piece.len(),
            None => break,
        }
    }
    text(200, &format!("read {length}\n"))
}

pub async fn big(request: Request) -> Answer {
    let mib: u64 = request.target.number("mib").unwrap_or(1);
    let length = (mib * 1024 * 1024).to_string();
    let mut fields = vec![("content-type", "application/octet-stream")];
    if request.target.says("length") {
        fields.push(("content-length", &length));
    }
    let (response, mut writer) = start(200, &fields);
    spawn_local(async move {
        for piece in pattern_pieces(mib) {
            if writer.write(piece).await.is_err() {
                return;
            }
        }
        writer.finish(None).await;
    });
    Ok(response)
}

pub async fn slow(request: Request) -> Answer {
    let chunks = request.target.number("chunks").unwrap_or(3);
    let ms = request.target.number("ms").unwrap_or(100);
    let (response, mut writer) = start(200, &[("content-type", "text/plain")]);
    spawn_local(async move {
        for n in 0..chunks {
            if n > 0 {
                wait(ms).await;
            }
            let chunk = format!("chunk {n}\n");
            if writer.write(chunk.into()).await.is_err() {
                return;
            }
        }
        writer.finish(None).await;
    });
    Ok(response)
}

pub async fn mismatch(request: Request) -> Answer {
    let length = request.target.text("length").unwrap_or_else(|| "10".into());
    let bytes = request.target.number("bytes").unwrap_or(5);
    let (response, writer) = start(200, &[("content-length", &length)]);
    spawn_local(writer.last(vec![b'x'; bytes]));
    Ok(response)
}

pub async fn trailers(_: Request) -> Answer {
    let (response, mut writer) = start(200, &[("content-type", "text/plain"), ("trailer", "x-probe")]);
    spawn_local(async move {
        if writer.write("body\n".into()).await.is_ok() {
            let trailers = Fields::from_list(&[("x-probe".into(), b"trailer".to_vec())]);
            let trailers = trailers.expect("these are allowed");
            writer.finish(Some(trailers)).await;
        }
    });
    Ok(response)
}

pub async fn request_trailers(request: Request) -> Answer {
    match request.into_body().for_each(|_| ()).await {
        Ok(None) => answer_json("[]"),
        Ok(Some(trailers)) => answer_json(&json::pairs(&trailers.copy_all())),
        Err(error) => text(400, &format!("{error:?}\n")),
    }
}
