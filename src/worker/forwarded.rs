//! Who the client is, and how it speaks: what a trusted proxy says of it, or
//! what the connection shows. A guest sees only what is believed.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::IpNet;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a proxy says, and nobody else may.
const SPOKEN_FOR: [HeaderName; 7] = [FOR, PROTO, HOST, PORT, REAL_IP, header::FORWARDED, REQUEST_ID];

/// What is believed of a request's way here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// The client; `None` if the connection has no address and nobody says.
    pub client: Option<IpAddr>,
    /// Whether it speaks https to the first proxy.
    pub secure: bool,
    /// The host it asked for, where a proxy changed `Host`.
    pub host: Option<String>,
    /// The port of the first proxy, where one says it.
    pub port: Option<u16>,
    /// The name a trusted proxy gave the request.
    pub request_id: Option<HeaderValue>,
}

/// Reads the fields that proxies add, and replaces them by what is believed:
/// one `X-Forwarded-For` with the client's address, `X-Forwarded-Proto`, and
/// `X-Forwarded-Host` and `-Port` if a trusted proxy sent them.
pub(super) fn establish(headers: &mut HeaderMap, peer: Option<IpAddr>, trusted: &[IpNet]) -> Origin {
    let origin = if headers.keys().any(speaks_for_others) {
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(address));
        // Whoever reaches a unix socket was let there by the file system.
        let origin = if peer.is_none_or(is_trusted) {
            believe(headers, peer, is_trusted)
        } else {
            Origin { client: peer, ..Origin::default() }
        };
        let spoken: Vec<_> = headers.keys().filter(|name| speaks_for_others(name)).cloned().collect();
        for name in spoken {
            headers.remove(name);
        }
        origin
    } else {
        // As most clients' requests.
        Origin { client: peer, ..Origin::default() }
    };
    if let Some(client) = origin.client.and_then(|client| HeaderValue::try_from(client.to_string()).ok()) {
        headers.insert(FOR, client);
    }
    headers.insert(PROTO, HeaderValue::from_static(if origin.secure { "https" } else { "http" }));
    if let Some(host) = origin.host.as_deref().and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(HOST, host);
    }
    if let Some(port) = origin.port {
        headers.insert(PORT, HeaderValue::from(port));
    }
    origin
}

/// Whether a field is a proxy's to send. `X_Forwarded_For` and the like are too: a
/// guest that speaks CGI (WSGI, Rack) takes `_` and `-` for one.
fn speaks_for_others(name: &HeaderName) -> bool {
    // All of them begin so, which spares most fields the comparison.
    matches!(name.as_str().as_bytes(), [b'x' | b'f', ..])
        && SPOKEN_FOR.iter().any(|spoken| {
            let same = |(one, other): (u8, u8)| one == other || (one, other) == (b'-', b'_');
            let (spoken, name) = (spoken.as_str(), name.as_str());
            spoken.len() == name.len() && spoken.bytes().zip(name.bytes()).all(same)
        })
}

fn believe(headers: &HeaderMap, peer: Option<IpAddr>, is_trusted: impl Fn(IpAddr) -> bool) -> Origin {
    let list = |name: HeaderName| -> Vec<String> {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|item| item.trim().to_owned()).collect()
    };
    let (mut chain, mut protos, mut hosts) = (list(FOR), list(PROTO), list(HOST));
    if chain.is_empty() && protos.is_empty() && hosts.is_empty() {
        (chain, protos, hosts) = rfc7239(headers);
    }
    // From the nearest hop outwards, as long as the one who speaks is trusted.
    let mut client = peer;
    for hop in chain.iter().rev() {
        let Some(address) = address(hop) else { break };
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    Origin {
        client,
        // The last value is the nearest proxy's; the ones before may be forged.
        secure: protos.last().is_some_and(|proto| proto.eq_ignore_ascii_case("https")),
        host: hosts.pop().filter(|host| host.parse::<http::uri::Authority>().is_ok()),
        port: list(PORT).last().and_then(|port| port.parse().ok()),
        request_id: headers.get(REQUEST_ID).filter(|id| id.len() <= 128 && id.to_str().is_ok()).cloned(),
    }
}

/// `Forwarded: for=..;proto=..;host=..` (RFC 7239): the values of each, in order.
fn rfc7239(headers: &HeaderMap) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut chain, mut protos, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    let values = headers.get_all(header::FORWARDED).into_iter().filter_map(|value| value.to_str().ok());
    for pair in values.flat_map(|value| value.split([',', ';'])) {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim().trim_matches('"').to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => chain.push(value),
            "proto" => protos.push(value),
            "host" => hosts.push(value),
            _ => {}
        }
    }
    (chain, protos, hosts)
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => text,
    };
    let parsed: Option<IpAddr> = inner.parse().ok();
    parsed.or_else(|| inner.rsplit_once(':')?.0.parse().ok()).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn trusting(nets: &[&str]) -> Vec<IpNet> {
        nets.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let mut headers = request(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank.example"),
            ("forwarded", "for=10.0.0.2"),
            ("x-real-ip", "10.0.0.3"),
            ("x-request-id", "mine"),
            ("x_forwarded_for", "10.0.0.4"),
            ("x-forwarded_proto", "https"),
        ]);
        let origin = establish(&mut headers, ip("203.0.113.9"), &trusting(&["127.0.0.1"]));
        assert_eq!(origin, Origin { client: ip("203.0.113.9"), ..Origin::default() });
        assert_eq!(headers, request(&[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "http")]));
    }

    #[test]
    fn the_chain_is_believed_up_to_the_first_stranger() {
        let mut headers = request(&[
            ("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.0.0.5"),
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-port", "8443"),
        ]);
        let origin = establish(&mut headers, ip("127.0.0.1"), &trusting(&["127.0.0.1", "10.0.0.0/8"]));
        assert_eq!(origin.client, ip("198.51.100.7"));
        assert!(origin.secure);
        assert_eq!(headers.get("x-forwarded-for").unwrap(), "198.51.100.7");
        assert_eq!(headers.get("x-forwarded-port").unwrap(), "8443");
    }

    #[test]
    fn rfc_7239_is_read_where_the_older_fields_are_absent() {
        let mut headers = request(&[(
            "forwarded",
            "for=\"[2001:db8::1]:4711\";proto=https;host=shop.example, for=10.0.0.5",
        )]);
        let origin = establish(&mut headers, ip("127.0.0.1"), &trusting(&["127.0.0.1", "10.0.0.0/8"]));
        assert_eq!(origin.client, ip("2001:db8::1"));
        assert_eq!(origin.host.as_deref(), Some("shop.example"));
        assert!(origin.secure);
    }

    #[test]
    fn a_unix_socket_is_trusted_and_has_no_address() {
        let mut headers = request(&[("x-forwarded-for", "203.0.113.9:1234")]);
        assert_eq!(establish(&mut headers, None, &[]).client, ip("203.0.113.9"));
        assert_eq!(establish(&mut HeaderMap::new(), None, &[]).client, None);
    }
}
