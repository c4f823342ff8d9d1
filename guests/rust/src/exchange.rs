//! Requests and replies in place of the bindings' resources.

use std::io::{self, Read, Write};

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream};

/// Makes `handle` what the server calls.
macro_rules! serve {
    ($handle:path) => {
        struct App;

        impl wasip2::exports::http::incoming_handler::Guest for App {
            fn handle(
                request: wasip2::http::types::IncomingRequest,
                outparam: wasip2::http::types::ResponseOutparam,
            ) {
                $handle($crate::exchange::Request::new(request), $crate::exchange::Reply::new(outparam));
            }
        }

        wasip2::http::proxy::export!(App);
    };
}
pub(crate) use serve;

pub struct Request {
    raw: IncomingRequest,
    method: String,
    target: String,
}

impl Request {
    pub fn new(raw: IncomingRequest) -> Self {
        let method = match raw.method() {
            Method::Other(name) => name,
            // The names of the others are theirs in upper case.
            known => format!("{known:?}").trim_start_matches("Method::").to_uppercase(),
        };
        Self { method, target: raw.path_with_query().unwrap_or_default(), raw }
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first field of that name, which need not be text.
    pub fn field(&self, name: &str) -> Option<Vec<u8>> {
        self.raw.headers().get(name).into_iter().next()
    }

    pub fn into_body(self) -> Body {
        let body = self.raw.consume().expect("it is taken once");
        let stream = body.stream().expect("it is taken once");
        Body { stream, _body: body, _request: self.raw }
    }
}

/// A body that is read as it comes.
pub struct Body {
    // In the order in which they have to go.
    stream: InputStream,
    _body: IncomingBody,
    _request: IncomingRequest,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut self.stream, buffer)
    }
}

pub struct Reply(ResponseOutparam);

impl Reply {
    pub fn new(outparam: ResponseOutparam) -> Self {
        Self(outparam)
    }

    pub fn text(self, status: u16, text: &str) {
        self.whole(status, "text/plain; charset=utf-8", text);
    }

    pub fn json(self, value: &serde_json::Value) {
        self.whole(200, "application/json", &value.to_string());
    }

    fn whole(self, status: u16, kind: &str, body: &str) {
        let length = body.len().to_string();
        let fields = [("content-type", kind.as_bytes()), ("content-length", length.as_bytes())];
        let mut writer = self.begin(status, &fields);
        if writer.write_all(body.as_bytes()).is_ok() {
            writer.finish();
        }
    }

    /// Sends the head; a body follows.
    pub fn begin(self, status: u16, fields: &[(&str, &[u8])]) -> Writer {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let response = OutgoingResponse::new(Fields::from_list(&fields).expect("these fields are allowed"));
        response.set_status_code(status).expect("it is a status");
        let body = response.body().expect("it is taken once");
        ResponseOutparam::set(self.0, Ok(response));
        let stream = body.write().expect("it is taken once");
        Writer { stream, body }
    }
}

/// A body on its way to the client. One that is not finished is cut.
pub struct Writer {
    // In the order in which they have to go.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Writer {
    pub fn finish(self) {
        drop(self.stream);
        // It fails when the client went away, which is no matter of ours.
        let _ = OutgoingBody::finish(self.body, None);
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut self.stream, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(&mut self.stream)
    }
}
