//! Requests that guests send: denied unless a rule allows the destination,
//! checked once by name and again by the address connected to; connections are
//! pooled per worker.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
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
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::guest_output::Printer;
use crate::config::EgressRule;

/// How long a connection may take where the guest sets no limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept for the next request.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// What one app may reach, and the connections it has open.
pub(super) struct Egress {
    connector: Connector,
    /// Made at the first request: loading certificates takes milliseconds.
    client: OnceLock<Result<PooledClient, String>>,
}

type PooledClient = Client<HttpsConnector<Connector>, WasiBody>;

/// The hooks of one instance.
pub(super) struct GuestEgress {
    pub egress: Arc<Egress>,
    /// Which knows the request, for the log.
    pub printer: Arc<Printer>,
}

impl Egress {
    pub fn new(rules: &[EgressRule]) -> Self {
        Self { connector: Connector { rules: rules.into() }, client: OnceLock::new() }
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
                .build(connector))
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
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _request_result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let egress = self.egress.clone();
        let cause = self.printer.request();
        Box::new(async move {
            let response = send(&egress, request, options.unwrap_or_default(), &cause).await?;
            Ok((response, Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

async fn send(
    egress: &Egress,
    mut request: http::Request<WasiBody>,
    options: RequestOptions,
    cause: &str,
) -> Result<http::Response<WasiBody>, Error> {
    if request.uri().authority().is_some_and(|authority| authority.as_str().contains('@')) {
        // User information would go out in the Host field.
        return Err(Error::HttpRequestUriInvalid);
    }
    let (host, port) = destination(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
    if !egress.connector.may_reach(&host, port) {
        tracing::info!(
            request = cause,
            "outbound request to {host}:{port} denied: no --allow-outbound matches"
        );
        return Err(Error::HttpRequestDenied);
    }
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
    .map_err(|error| classify(&error, cause))?;
    let quiet = options.between_bytes_timeout;
    Ok(response.map(|body| match quiet {
        Some(quiet) => QuietLimit { body, quiet, sleep: None }.boxed_unsync(),
        None => body.map_err(Error::from).boxed_unsync(),
    }))
}

/// Host (an IPv6 address without its brackets) and port of a request.
fn destination(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let default = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    Some((host.to_ascii_lowercase(), uri.port_u16().unwrap_or(default)))
}

/// What a guest is told of a failed request.
fn classify(error: &hyper_util::client::legacy::Error, request: &str) -> Error {
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.downcast_ref::<Denied>().is_some() {
            return Error::DestinationIpProhibited;
        }
        if let Some(error) = source.downcast_ref::<io::Error>() {
            if let Some(denied) = error.get_ref().and_then(|inner| inner.downcast_ref::<Denied>()) {
                tracing::info!(request, "outbound request denied: {denied}");
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

/// Opens connections, only to addresses a rule allows.
#[derive(Clone)]
pub(super) struct Connector {
    rules: Arc<[EgressRule]>,
}

/// No rule allows any address of this host.
#[derive(Debug)]
struct Denied(String);

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no --allow-outbound matches {} by name or address", self.0)
    }
}

impl StdError for Denied {}

/// The name does not resolve.
#[derive(Debug)]
struct NoSuchHost(String);

impl std::fmt::Display for NoSuchHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} does not resolve", self.0)
    }
}

impl StdError for NoSuchHost {}

impl Connector {
    /// Whether a request may go out at all: by name, or perhaps by address,
    /// which only resolving can tell.
    fn may_reach(&self, host: &str, port: u16) -> bool {
        match host.parse() {
            Ok(address) => self
                .rules
                .iter()
                .any(|rule| rule.matches_addr(address, port) || rule.matches_name(host, port)),
            Err(_) => {
                self.rules.iter().any(|rule| rule.matches_name(host, port) || rule.may_match_resolved(port))
            }
        }
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        let (host, port) = destination(&uri).ok_or_else(|| io::Error::other("the request names no host"))?;
        let by_name = self.rules.iter().any(|rule| rule.matches_name(&host, port));
        let resolved: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), port))
            .await
            .map_err(|_| io::Error::other(NoSuchHost(host.clone())))?
            .filter(|address| by_name || self.rules.iter().any(|rule| rule.matches_addr(address.ip(), port)))
            .collect();
        if resolved.is_empty() {
            return Err(io::Error::other(Denied(format!("{host}:{port}"))));
        }
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&resolved[..]))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A response body that fails when nothing comes for too long.
struct QuietLimit {
    body: hyper::body::Incoming,
    quiet: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl http_body::Body for QuietLimit {
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
        let quiet = self.quiet;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(quiet)));
        sleep.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }
}
