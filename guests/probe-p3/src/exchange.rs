//! A request and its answer, without the ceremony.

use probe_common::{PIECE, Target};
use wasip3::http::types::{ErrorCode, Fields, Request as RawRequest, Response};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

pub type Answer = Result<Response, ErrorCode>;

type Trailers = Result<Option<Fields>, ErrorCode>;

pub struct Request {
    pub raw: RawRequest,
    pub target: Target,
}

impl Request {
    pub fn new(raw: RawRequest) -> Self {
        let target = Target::new(raw.get_path_with_query());
        Self { raw, target }
    }

    pub fn into_body(self) -> Body {
        let (_, no_complaint) = wit_future::new(|| Ok(()));
        Body::new(RawRequest::consume_body(self.raw, no_complaint))
    }
}

/// The body of a request, or of the response to one of ours.
pub struct Body {
    stream: StreamReader<u8>,
    trailers: FutureReader<Trailers>,
}

impl Body {
    pub fn new((stream, trailers): (StreamReader<u8>, FutureReader<Trailers>)) -> Self {
        Self { stream, trailers }
    }

    /// The next piece of at most `most` bytes, `None` at the end, be it the
    /// true one or not: that is told by `trailers`.
    pub async fn read(&mut self, most: usize) -> Option<Vec<u8>> {
        let (result, piece) = self.stream.read(Vec::with_capacity(most)).await;
        match result {
            StreamResult::Dropped if piece.is_empty() => None,
            _ => Some(piece),
        }
    }

    /// Shows the body to `each`, piece by piece, to its end.
    pub async fn for_each(mut self, mut each: impl FnMut(&[u8])) -> Trailers {
        while let Some(piece) = self.read(PIECE).await {
            each(&piece);
        }
        self.trailers().await
    }

    /// What came after the body, which must be at its end.
    pub async fn trailers(self) -> Trailers {
        drop(self.stream);
        self.trailers.await
    }
}

pub fn text(status: u16, text: &str) -> Answer {
    whole(status, "text/plain", text.into())
}

pub fn json(json: &str) -> Answer {
    whole(200, "application/json", format!("{json}\n").into())
}

pub fn whole(status: u16, content_type: &str, bytes: Vec<u8>) -> Answer {
    let length = bytes.len().to_string();
    let fields = [("content-type", content_type), ("content-length", length.as_str())];
    let (response, writer) = start(status, &fields);
    spawn_local(writer.last(bytes));
    Ok(response)
}

/// A head, and the writer by which a spawned task sends the body after it.
pub fn start(status: u16, fields: &[(&str, &str)]) -> (Response, Writer) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    start_with(status, Fields::from_list(&fields).expect("these are allowed"))
}

pub fn start_with(status: u16, fields: Fields) -> (Response, Writer) {
    let (stream, body) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Err(ErrorCode::InternalError(Some("body cut short".into()))));
    let (response, _sent) = Response::new(fields, Some(body), trailers);
    response.set_status_code(status).expect("the status is checked before");
    (response, Writer { stream, end })
}

/// The other side is gone.
pub struct Gone;

/// The body of an answer. Dropped before `finish`, it is cut short.
pub struct Writer {
    stream: StreamWriter<u8>,
    end: FutureWriter<Trailers>,
}

impl Writer {
    /// Done when the host has taken all of it: there is nothing to flush.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Gone> {
        let left = self.stream.write_all(bytes).await;
        if left.is_empty() { Ok(()) } else { Err(Gone) }
    }

    /// Writes the rest and ends the body. That the client is gone, or has seen
    /// enough, is no concern of ours.
    pub async fn last(mut self, bytes: Vec<u8>) {
        if self.write(bytes).await.is_ok() {
            self.finish(None).await;
        }
    }

    pub async fn finish(self, trailers: Option<Fields>) {
        drop(self.stream);
        let _ = self.end.write(Ok(trailers)).await;
    }
}
