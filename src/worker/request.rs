//! A request as hyper read it becomes one as guests know it.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri, header};

use super::forwarded::{self, Origin};
use crate::config::IpNet;

/// The authority of a request that names none, as HTTP/1.0 allows.
const NAMELESS: &str = "localhost";

/// Puts the target into absolute form and the fields in order, and says where
/// the request comes from; `None` if target or host make no URI.
pub(super) fn prepare(parts: &mut Parts, peer: Option<IpAddr>, trusted: &[IpNet]) -> Option<Origin> {
    let origin = forwarded::establish(&mut parts.headers, peer, trusted);
    let scheme = if origin.secure { Scheme::HTTPS } else { Scheme::HTTP };
    let named = match &origin.host {
        Some(host) => host.parse().ok()?,
        None => authority(parts)?,
    };
    let target = std::mem::take(&mut parts.uri).into_parts().path_and_query;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(named);
    uri.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    parts.uri = Uri::from_parts(uri).ok()?;
    Some(origin)
}

/// RFC 9110, 7.2: an absolute target names it, and else `Host` does.
fn authority(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    match parts.headers.get(header::HOST).map(HeaderValue::as_bytes) {
        None | Some(b"") => Some(Authority::from_static(NAMELESS)),
        Some(host) => Authority::try_from(host).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(target: &str, host: Option<&str>) -> Option<String> {
        let mut request = http::Request::builder().uri(target);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        prepare(&mut parts, None, &[]).map(|_| parts.uri.to_string())
    }

    #[test]
    fn targets_become_absolute() {
        for (target, host, wanted) in [
            ("/a?b=c", Some("example.com:81"), "http://example.com:81/a?b=c"),
            ("http://other.example/x", Some("example.com"), "http://other.example/x"),
            ("*", Some("example.com"), "http://example.com*"),
            ("/", None, "http://localhost/"),
            ("/", Some(""), "http://localhost/"),
            ("/", Some("[::1]:8000"), "http://[::1]:8000/"),
        ] {
            assert_eq!(prepared(target, host).as_deref(), Some(wanted));
        }
        assert_eq!(prepared("/", Some("a b")), None);
    }
}
