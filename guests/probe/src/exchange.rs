//! A request and its reply, without the ceremony.

use probe_common::{PIECE, Target};
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

pub struct Request {
    pub raw: IncomingRequest,
    pub target: Target,
}

impl Request {
    pub fn new(raw: IncomingRequest) -> Self {
        let target = Target::new(raw.path_with_query());
        Self { raw, target }
    }

    /// The body, which can be had once.
    pub fn body(&self) -> Body {
        Body::new(self.raw.consume().expect("taken for the first time"))
    }
}

/// The body of a request, or of the response to one of ours.
pub struct Body {
    // A stream is a child of its body and must be dropped first.
    stream: InputStream,
    body: IncomingBody,
}

impl Body {
    pub fn new(body: IncomingBody) -> Self {
        let stream = body.stream().expect("taken for the first time");
        Self { stream, body }
    }

    /// The next piece of at most `most` bytes, `None` at the end.
    pub fn read(&self, most: usize) -> Result<Option<Vec<u8>>, StreamError> {
        match self.stream.blocking_read(most as u64) {
            Ok(piece) => Ok(Some(piece)),
            Err(StreamError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Shows the body to `each`, piece by piece, to its end.
    pub fn for_each(&self, mut each: impl FnMut(&[u8])) -> Result<(), StreamError> {
        while let Some(piece) = self.read(PIECE)? {
            each(&piece);
        }
        Ok(())
    }

    /// What came after the body, which must be at its end.
    pub fn trailers(self) -> Result<Option<Fields>, ErrorCode> {
        let Self { stream, body } = self;
        drop(stream);
        let trailers = IncomingBody::finish(body);
        trailers.subscribe().block();
        let once = trailers.get().expect("it is ready");
        once.expect("taken for the first time")
    }
}

pub struct Reply(ResponseOutparam);

impl Reply {
    pub fn new(out: ResponseOutparam) -> Self {
        Self(out)
    }

    pub fn text(self, status: u16, text: &str) {
        self.whole(status, "text/plain", text.as_bytes());
    }

    pub fn json(self, json: &str) {
        self.whole(200, "application/json", format!("{json}\n").as_bytes());
    }

    pub fn whole(self, status: u16, content_type: &str, bytes: &[u8]) {
        let length = bytes.len().to_string();
        let fields = [("content-type", content_type), ("content-length", length.as_str())];
        self.start(status, &fields).last(bytes);
    }

    /// Sends the head; the body follows by the writer.
    pub fn start(self, status: u16, fields: &[(&str, &str)]) -> Writer {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self.start_with(status, Fields::from_list(&fields).expect("these are allowed"))
    }

    pub fn start_with(self, status: u16, fields: Fields) -> Writer {
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status).expect("the status is checked before");
        let body = response.body().expect("taken for the first time");
        ResponseOutparam::set(self.0, Ok(response));
        let stream = body.write().expect("taken for the first time");
        Writer { stream, body }
    }

    pub fn fail(self, error: ErrorCode) {
        ResponseOutparam::set(self.0, Err(error));
    }
}

/// The body of a reply. Dropped before `finish`, it is cut short.
pub struct Writer {
    // A stream is a child of its body and must be dropped first.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Writer {
    /// Writes as much as the host takes at a time: unlike
    /// `blocking-write-and-flush`, which takes 4096 bytes and no more.
    pub fn write(&self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let room = self.stream.check_write()?;
            if room == 0 {
                self.stream.subscribe().block();
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.stream.write(now)?;
            bytes = later;
        }
        Ok(())
    }

    pub fn flush(&self) -> Result<(), StreamError> {
        self.stream.blocking_flush()
    }

    /// Writes the rest and ends the body. That the client is gone, or has seen
    /// enough, is no concern of ours.
    pub fn last(self, bytes: &[u8]) {
        if self.write(bytes).is_ok() {
            self.finish(None);
        }
    }

    pub fn finish(self, trailers: Option<Fields>) {
        let Self { stream, body } = self;
        drop(stream);
        let _ = OutgoingBody::finish(body, trailers);
    }
}
