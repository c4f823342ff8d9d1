#[path = "../../../src/worker/forwarded.rs"]
mod forwarded;
#[path = "../../../src/worker/http1/mod.rs"]
pub mod http1;

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::IpNet;

/// The client that is believed.
pub fn client(fields: &mut HeaderMap, peer: Option<IpAddr>, trusted: &[IpNet]) -> Option<IpAddr> {
    forwarded::establish(fields, peer, trusted).client
}
