//! Requests that guests send: denied unless a rule allows the destination,
//! checked once by name and again by the address connected to; connections are
//! pooled per worker. Redirects are the guest's to follow, with another request.

mod connector;
mod counted;
mod quota;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::Scheme;
use http_body_util::BodyExt;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use self::connector::{Connector, Denied, NoSuchHost};
use self::counted::{CountedConnector, TooMany};
use self::quota::Quota;
use super::guest_output::Printer;
use super::usage::{Totals, Usage};
use crate::config::AppConfig;

/// How long a connection may take at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept for the next request: less than the five seconds after
/// which common servers close it, and than somebody waits for another connection to end.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Bytes of a body that a guest may write before the one who reads it takes some: there may be
/// three times as many, for each body that it has begun.
const BODY_CHUNK: usize = 128 * 1024;

/// How many refusals of one request the log tells: what a guest does must not fill it.
const REFUSALS: u32 = 10;

/// What one app may reach, and the connections it has open.
pub(super) struct Egress {
    connector: Connector,
    connections: usize,
    quota: Quota,
    totals: Arc<Totals>,
    /// Made at the first request: loading certificates takes milliseconds.
    client: OnceLock<Result<PooledClient, String>>,
}

type PooledClient = Client<CountedConnector<HttpsConnector<Connector>>, WasiBody>;

/// The hooks of one instance.
pub(super) struct GuestEgress {
    pub egress: Arc<Egress>,
    /// Which knows the request, for the log.
    pub printer: Arc<Printer>,
    /// The request's account.
    pub usage: Arc<Usage>,
}

/// The request that a guest works on when it sends one.
struct Served {
    request: Arc<str>,
    usage: Arc<Usage>,
}

impl Served {
    /// Logs what came of a request of the guest's, for as often as that is news.
    fn log(&self, outcome: fmt::Arguments) {
        let request = &*self.request;
        match self.usage.is_refused() {
            ..REFUSALS => tracing::info!(request, "outbound request {outcome}"),
            REFUSALS => tracing::info!(
                request,
                "outbound request {outcome}; further ones of this request are not logged"
            ),
            _ => {}
        }
    }
}

impl Egress {
    pub fn new(app: &AppConfig, totals: Arc<Totals>) -> Self {
        Self {
            connector: Connector::new(&app.allow_outbound),
            connections: app.outbound.connections,
            quota: Quota::new(app.outbound),
            totals,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&PooledClient, Error> {
        let made = self.client.get_or_init(|| {
            let tls = rustls_config().map_err(|error| format!("no TLS: {error}"))?;
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .wrap_connector(self.connector.clone());
            Ok(Client::builder(TokioExecutor::new())
                .pool_idle_timeout(POOL_IDLE)
                .pool_timer(hyper_util::rt::TokioTimer::new())
                .build(CountedConnector::new(connector, self.connections, CONNECT_TIMEOUT)))
        });
        made.as_ref().map_err(|error| Error::InternalError(Some(error.clone())))
    }
}

fn rustls_config() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_webpki_roots()
        .with_no_client_auth())
}

type SendResult =
    Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for GuestEgress {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _request_result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let egress = self.egress.clone();
        let served = Served { request: self.printer.request(), usage: self.usage.clone() };
        self.usage.sends();
        self.egress.totals.sends();
        Box::new(async move {
            let response = send(&egress, request, options.unwrap_or_default(), &served).await?;
            Ok((response, Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

async fn send(
    egress: &Egress,
    mut request: http::Request<WasiBody>,
    options: RequestOptions,
    served: &Served,
) -> Result<http::Response<WasiBody>, Error> {
    if request.uri().authority().is_some_and(|authority| authority.as_str().contains('@')) {
        // User information would go out in the Host field.
        return Err(Error::HttpRequestUriInvalid);
    }
    if request.method() == http::Method::CONNECT {
        // A tunnel would lead on to where nobody checks.
        return Err(Error::HttpRequestMethodInvalid);
    }
    let (host, port) = destination(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
    if !egress.connector.may_reach(&host, port) {
        let denied = Denied::new(&host, port, host.parse::<IpAddr>().ok());
        served.log(format_args!("denied: {denied}"));
        return Err(Error::HttpRequestDenied);
    }
    let permit = egress.quota.take().map_err(|exhausted| {
        served.log(format_args!("to {host}:{port} refused: {exhausted}"));
        Error::ConnectionLimitReached
    })?;
    *request.version_mut() = http::Version::HTTP_11;
    let sending = egress.client()?.request(request);
    // Both phases are one wait here, since a pooled connection has no first.
    let patience = options
        .first_byte_timeout
        .map(|first_byte| first_byte.saturating_add(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT)));
    let response = match patience {
        Some(patience) => {
            tokio::time::timeout(patience, sending).await.map_err(|_| Error::HttpResponseTimeout)?
        }
        None => sending.await,
    }
    .map_err(|error| classify(&error, served))?;
    let quiet = options.between_bytes_timeout;
    Ok(response.map(|body| Received { body, quiet, sleep: None, _permit: permit }.boxed_unsync()))
}

/// Host (an IPv6 address without its brackets) and port of a request.
fn destination(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let default = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    Some((host.to_ascii_lowercase(), uri.port_u16().unwrap_or(default)))
}

/// Libraries wrap errors of this kind into others, which do not count them as a source.
fn innermost(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        error = inner;
    }
    error
}

/// What a guest is told of a failed request.
fn classify(error: &hyper_util::client::legacy::Error, served: &Served) -> Error {
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.downcast_ref::<Denied>().is_some() {
            return Error::DestinationIpProhibited;
        }
        if source.is::<TooMany>() {
            return Error::ConnectionLimitReached;
        }
        if let Some(error) = source.downcast_ref::<io::Error>().map(innermost) {
            if let Some(denied) = error.get_ref().and_then(|inner| inner.downcast_ref::<Denied>()) {
                served.log(format_args!("denied: {denied}"));
                return Error::DestinationIpProhibited;
            }
            if error.get_ref().is_some_and(|inner| inner.is::<NoSuchHost>()) {
                return Error::DnsError { rcode: Some(error.to_string()), info_code: None };
            }
            if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                return Error::TlsProtocolError;
            }
            match error.kind() {
                io::ErrorKind::ConnectionRefused => return Error::ConnectionRefused,
                io::ErrorKind::TimedOut => return Error::ConnectionTimeout,
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                    return Error::ConnectionTerminated;
                }
                _ => {}
            }
        }
        cause = source.source();
    }
    if error.is_connect() { Error::DestinationUnavailable } else { Error::HttpProtocolError }
}

/// The body of a response, which fails when nothing comes for too long. Its request
/// is on its way until the last of it has come.
struct Received {
    body: hyper::body::Incoming,
    quiet: Option<Duration>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.sleep = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let Some(quiet) = self.quiet else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(quiet)));
        sleep.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }
}
