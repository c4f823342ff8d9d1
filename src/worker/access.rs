//! What is remembered of a request until its response has gone out: its place
//! on the board, its access line, its failure.

mod line;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use self::line::escape;
use super::Worker;
use super::body::Watch;
use super::connection::Client;
use super::http1::InFlight;
use crate::host::{Failure, ResponseBody, Usage};

/// A request from its head to the end of its response; dropping it ends it.
pub(super) struct Exchange {
    worker: Arc<Worker>,
    /// Tells the guard when the connection is idle again.
    pub framing: InFlight,
    pub id: Arc<str>,
    pub method: Method,
    pub target: String,
    version: Version,
    /// What stands for the version in a request that could not be read.
    spoken: Option<String>,
    started: Instant,
    peer: Option<std::net::IpAddr>,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    status: Option<StatusCode>,
    sent: u64,
    /// Tells how much of its body has come.
    pub received: Option<Watch>,
    /// What the app used for it.
    pub usage: Arc<Usage>,
    complete: bool,
    cut: bool,
}

impl Exchange {
    pub fn begin(worker: Arc<Worker>, client: &Client, request: &http::request::Parts) -> Self {
        let framing = client.framing.begin_request();
        let number = worker.request_began();
        let id = format!("{}-{}-{number}", worker.index, worker.pid).into();
        if request.version == Version::HTTP_10 {
            framing.ends_with_connection();
        }
        let wanted = |name| worker.access.as_ref().and_then(|_| request.headers.get(name)).cloned();
        Self {
            id,
            method: request.method.clone(),
            target: request
                .uri
                .path_and_query()
                .map_or_else(|| request.uri.to_string(), |path| path.as_str().to_owned()),
            version: request.version,
            spoken: None,
            started: Instant::now(),
            peer: client.peer,
            referer: wanted(header::REFERER),
            agent: wanted(header::USER_AGENT),
            status: None,
            sent: 0,
            received: None,
            usage: Arc::default(),
            complete: false,
            cut: false,
            worker,
            framing,
        }
    }

    /// Bytes of its body that have come.
    fn received(&self) -> u64 {
        self.received.as_ref().map_or(0, Watch::received)
    }

    /// Why the app did not get all of its body.
    fn body_problem(&self) -> Option<String> {
        let violation = self.framing.body_violation().map(|violation| violation.reason.to_owned());
        violation.or_else(|| Some(self.received.as_ref()?.problem()?.to_string()))
    }

    /// Notes how long the app took until its answer began.
    pub fn took(&self) {
        self.worker.pace.note(self.started.elapsed());
    }

    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Notes that what came was no request: what stands in for it is not what
    /// the client said.
    pub fn unreadable(&mut self) {
        let mut words = self.framing.refused_line().split(' ');
        let method = words.next().and_then(|word| Method::from_bytes(word.as_bytes()).ok());
        self.method = method.unwrap_or_else(|| Method::from_bytes(b"-").unwrap_or_default());
        self.target = words.next().filter(|word| !word.is_empty()).unwrap_or("-").to_owned();
        self.spoken = Some(words.next().map_or_else(|| "-".to_owned(), escape));
    }

    /// For the log of a request that is refused.
    pub fn refused(&self, status: StatusCode, cause: &str) {
        tracing::info!(
            request = &*self.id,
            client = %self.peer(),
            method = %self.method,
            path = self.target,
            status = status.as_u16(),
            "{cause}"
        );
    }

    fn peer(&self) -> String {
        self.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string())
    }

    /// Notes who the client is behind its proxies.
    pub fn came_from(&mut self, client: Option<std::net::IpAddr>) {
        self.peer = client;
    }

    /// Notes the status that goes out.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        // Their bodies are never asked for.
        self.complete = self.method == Method::HEAD || matches!(status.as_u16(), 204 | 304);
    }

    /// Logs a failure; the wasm backtrace only for who asks for it.
    pub fn failed(&self, status: Option<StatusCode>, cause: &str, failure: Option<&Failure>) {
        let millis = self.started.elapsed().as_millis() as u64;
        tracing::error!(
            request = &*self.id,
            app = self.worker.apps[0].config().name,
            method = %self.method,
            path = self.target,
            status = status.map_or(0, |status| status.as_u16()),
            ms = millis,
            "{cause}"
        );
        if tracing::enabled!(tracing::Level::DEBUG)
            && let Some(details) = failure.and_then(Failure::details)
        {
            tracing::debug!(request = &*self.id, "{details}");
        }
    }

    /// Logs that there was no place for it; for others before it too, of which
    /// nothing was said, since there can be thousands in a second.
    pub fn turned_away(&self, status: StatusCode, cause: &str, untold: u64) {
        tracing::warn!(
            request = &*self.id,
            app = self.worker.apps[0].config().name,
            method = %self.method,
            path = self.target,
            status = status.as_u16(),
            untold,
            "{cause}"
        );
    }

    /// Logs that the worker ends before the request does.
    fn abandon(&self, why: &str) {
        if self.worker.cuts.count() {
            tracing::warn!(
                request = &*self.id,
                app = self.worker.apps[0].config().name,
                method = %self.method,
                path = self.target,
                ms = self.started.elapsed().as_millis() as u64,
                "{why}"
            );
        }
    }

    /// Logs that the response ends early, once, and has the client see that too.
    fn cut(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.cut, true) {
            let cut = format!("the response was cut after {} bytes", self.sent);
            match self.body_problem().filter(|_| failure.may_follow_a_broken_body()) {
                Some(problem) => self.refused(self.status.unwrap_or_default(), &format!("{cut}: {problem}")),
                None => self.failed(self.status, &format!("{cut}: {failure}"), Some(failure)),
            }
        }
        if self.version == Version::HTTP_10 {
            self.framing.cut();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.worker.slot.request_ended();
        self.worker.slot.transferred(self.received(), self.sent);
        self.worker.connections.stir();
        if let Some(why) = self.worker.cuts.why()
            && !self.complete
            && !self.cut
        {
            self.abandon(why);
        }
        if let Some(access) = &self.worker.access {
            access.write(&self.line());
        }
    }
}

/// A response body that takes its exchange along.
pub(super) struct Outgoing {
    body: Content,
    /// None for what is no request of the app's.
    exchange: Option<Exchange>,
}

enum Content {
    Guest(ResponseBody),
    Text(Full<Bytes>),
    /// With what tells the guard when the connection is idle again.
    Probe(Full<Bytes>, #[expect(dead_code, reason = "dropped with it")] InFlight),
}

impl Outgoing {
    pub fn guest(body: ResponseBody, mut exchange: Exchange) -> Self {
        exchange.complete |= body.is_end_stream();
        Self { body: Content::Guest(body), exchange: Some(exchange) }
    }

    pub fn text(body: Full<Bytes>, exchange: Exchange) -> Self {
        Self { body: Content::Text(body), exchange: Some(exchange) }
    }

    pub fn probe(body: Full<Bytes>, framing: InFlight) -> Self {
        Self { body: Content::Probe(body, framing), exchange: None }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let polled = match &mut this.body {
            Content::Guest(body) => Pin::new(body).poll_frame(cx),
            Content::Text(body) | Content::Probe(body, _) => {
                Pin::new(body).poll_frame(cx).map_err(|never| match never {})
            }
        };
        let Some(exchange) = &mut this.exchange else { return polled };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                exchange.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
                exchange.complete |= this.body.is_end_stream();
            }
            Poll::Ready(Some(Err(failure))) => exchange.cut(failure),
            Poll::Ready(None) => exchange.complete = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Content::Guest(body) => body.size_hint(),
            Content::Text(body) | Content::Probe(body, _) => body.size_hint(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // The client went away, or took nothing, before it could be told. A guest
        // whose client goes away amid its own body often stops too, and may.
        if let Content::Guest(body) = &self.body
            && let Some(exchange) = &mut self.exchange
            && !exchange.complete
            && let Some(failure) = body.failure()
            && !matches!(failure, Failure::Incomplete)
        {
            exchange.cut(&failure);
        }
    }
}

impl Content {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Guest(body) => body.is_end_stream(),
            Self::Text(body) | Self::Probe(body, _) => body.is_end_stream(),
        }
    }
}
