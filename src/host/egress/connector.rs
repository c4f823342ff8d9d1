//! Where a guest's connections may lead.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::destination;
use crate::config::{EgressRule, is_public};

/// Names that are looked up at a time: each takes a thread, of which reading files takes
/// some as well, and may take it for longer than anybody waits.
const LOOKUPS: usize = 32;

/// Opens connections, only to addresses a rule allows.
#[derive(Clone)]
pub(super) struct Connector {
    rules: Arc<[EgressRule]>,
    lookups: Arc<Semaphore>,
}

/// No rule allows any address of this host.
#[derive(Debug)]
pub(super) struct Denied {
    host: String,
    /// One that a rule would allow if it were public.
    special: Option<IpAddr>,
}

impl Denied {
    pub fn new(host: &str, port: u16, address: Option<IpAddr>) -> Self {
        Self { host: format!("{host}:{port}"), special: address.filter(|address| !is_public(*address)) }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.special {
            Some(address) => write!(
                f,
                "{} leads to {address}, which is no public address: only an --allow-outbound that names it, or \
                 its network, allows that",
                self.host
            ),
            None => write!(f, "no --allow-outbound matches {}", self.host),
        }
    }
}

impl StdError for Denied {}

/// The name does not resolve.
#[derive(Debug)]
pub(super) struct NoSuchHost(String);

impl std::fmt::Display for NoSuchHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} does not resolve", self.0)
    }
}

impl StdError for NoSuchHost {}

impl Connector {
    pub fn new(rules: &[EgressRule]) -> Self {
        Self { rules: rules.into(), lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// Whether a request may go out at all: by name, or perhaps by address,
    /// which only resolving can tell.
    pub fn may_reach(&self, host: &str, port: u16) -> bool {
        match host.parse() {
            Ok(address) => self.rules.iter().any(|rule| rule.matches_addr(address, port)),
            Err(_) => {
                self.rules.iter().any(|rule| rule.matches_name(host, port) || rule.may_match_resolved(port))
            }
        }
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        let (host, port) = destination(&uri).ok_or_else(|| io::Error::other("the request names no host"))?;
        let resolved = self.resolve(&host, port).await?;
        // What is connected to is what is checked: a name may lead elsewhere each time.
        let allowed: Vec<SocketAddr> = resolved
            .iter()
            .filter(|address| self.rules.iter().any(|rule| rule.allows(&host, address.ip(), port)))
            .copied()
            .collect();
        if allowed.is_empty() {
            return Err(io::Error::other(Denied::new(&host, port, resolved.first().map(SocketAddr::ip))));
        }
        let stream = TcpStream::connect(&allowed[..]).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let permit = self.lookups.clone().acquire_owned().await.map_err(io::Error::other)?;
        let name = host.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            // Nobody can call it off: it counts until it is over, wanted or not.
            let _permit = permit;
            (name.as_str(), port).to_socket_addrs().map(Vec::from_iter)
        });
        lookup.await?.map_err(|_| io::Error::other(NoSuchHost(host.to_owned())))
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
