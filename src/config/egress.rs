//! Where a guest may send requests.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::addr::IpNet;
use super::special::special_net;

/// A destination that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRule {
    /// Which hosts.
    pub host: HostPattern,
    /// Which port; `None`: any.
    pub port: Option<u16>,
}

/// Hosts a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// This name alone, in lower case.
    Exact(String),
    /// Names below this one, in lower case, and not the name itself.
    Suffix(String),
    /// Addresses of this network.
    Net(IpNet),
}

impl EgressRule {
    /// Whether a request to `host`, a name as its URL has it, is allowed by that name.
    #[must_use]
    pub fn matches_name(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.allows_port(port)
            && match &self.host {
                HostPattern::Any => true,
                HostPattern::Exact(name) => host.eq_ignore_ascii_case(name),
                HostPattern::Suffix(name) => is_below(host, name),
                HostPattern::Net(_) => false,
            }
    }

    /// Whether a connection to `address` is allowed whatever its name. A network that
    /// is more than a special one, such as 0.0.0.0/0, does not mean that one.
    #[must_use]
    pub fn matches_addr(&self, address: IpAddr, port: u16) -> bool {
        self.allows_port(port)
            && match &self.host {
                HostPattern::Any => special_net(address).is_none(),
                HostPattern::Net(net) => {
                    net.contains(address) && special_net(address).is_none_or(|special| special.covers(net))
                }
                HostPattern::Exact(_) | HostPattern::Suffix(_) => false,
            }
    }

    /// Whether a connection to `address` is allowed for a request to `host`: a name
    /// leads to public addresses only, or who owns it could have it lead into the
    /// operator's networks. That of this machine itself leads nowhere else.
    #[must_use]
    pub fn allows(&self, host: &str, address: IpAddr, port: u16) -> bool {
        self.matches_addr(address, port)
            || self.matches_name(host, port)
                && (special_net(address).is_none()
                    || self.host == HostPattern::Exact("localhost".to_owned())
                        && address.to_canonical().is_loopback())
    }

    /// Whether a name this rule does not match may still resolve to an
    /// address that it does.
    #[must_use]
    pub fn may_match_resolved(&self, port: u16) -> bool {
        self.allows_port(port) && matches!(self.host, HostPattern::Any | HostPattern::Net(_))
    }

    fn allows_port(&self, port: u16) -> bool {
        self.port.is_none_or(|allowed| allowed == port)
    }
}

fn is_below(host: &str, name: &str) -> bool {
    let (host, name) = (host.as_bytes(), name.as_bytes());
    let Some(dot) = host.len().checked_sub(name.len() + 1) else { return false };
    dot > 0 && host[dot] == b'.' && host[dot + 1..].eq_ignore_ascii_case(name)
}

impl FromStr for EgressRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "an empty host: write such as api.example.com, *.example.com:443, 10.0.0.0/8 or *".into()
            );
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let host = rest.split('/').next().unwrap_or(rest);
            return Err(format!("{text:?} is a URL: leave out {scheme}:// and any path, and write {host}"));
        }
        // A bare IPv6 address has colons of its own, so it comes first.
        if let Ok(net) = text.parse() {
            return Ok(Self { host: HostPattern::Net(net), port: None });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, port) =
                rest.split_once(']').ok_or_else(|| format!("{text:?} lacks a closing bracket"))?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port_number(text, port)?),
                None if port.is_empty() => None,
                None => return Err(format!("{text:?} has something else than :PORT after the bracket")),
            };
            return Ok(Self { host: HostPattern::Net(inner.parse()?), port });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port_number(text, port)?)),
            None => (text, None),
        };
        Ok(Self { host: pattern(host)?, port })
    }
}

fn port_number(text: &str, port: &str) -> Result<u16, String> {
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let number = port.parse().ok().filter(|number| digits && *number > 0);
    number.ok_or_else(|| format!("{text:?} has a bad port: write a number from 1 to 65535 after the colon"))
}

fn pattern(host: &str) -> Result<HostPattern, String> {
    if host == "*" {
        return Ok(HostPattern::Any);
    }
    // Digits last, or a slash: meant as an address, so it must be one.
    let last = host.rsplit('.').next().unwrap_or(host);
    if host.contains('/') || last.bytes().all(|b| b.is_ascii_digit()) && !last.is_empty() {
        return host.parse().map(HostPattern::Net);
    }
    match host.strip_prefix("*.") {
        Some(name) => domain(host, name).map(HostPattern::Suffix),
        None => domain(host, host).map(HostPattern::Exact),
    }
}

fn domain(text: &str, name: &str) -> Result<String, String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if !name.is_ascii() {
        return Err(format!("{text:?} is not ASCII: write the name as DNS has it (xn--...)"));
    }
    if name.contains('*') {
        return Err(format!("{text:?} has a star in the wrong place: write *, or *.example.com"));
    }
    let valid = |label: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    if name.len() > 253 || !name.split('.').all(valid) {
        return Err(format!("{text:?} is not the name of a host"));
    }
    Ok(name.to_ascii_lowercase())
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (HostPattern::Any, _) => f.write_str("*")?,
            (HostPattern::Exact(name), _) => f.write_str(name)?,
            (HostPattern::Suffix(name), _) => write!(f, "*.{name}")?,
            (HostPattern::Net(net), Some(_)) if net.is_ipv6() => write!(f, "[{net}]")?,
            (HostPattern::Net(net), _) => net.fmt(f)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::special::is_public;
    use super::*;

    fn rule(text: &str) -> EgressRule {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_exact_name_is_that_name_alone() {
        let api = rule("API.example.com.");
        assert_eq!(api.host, HostPattern::Exact("api.example.com".into()));
        assert!(api.matches_name("api.example.com", 443) && api.matches_name("Api.Example.COM.", 80));
        for other in [
            "example.com",
            "x.api.example.com",
            "xapi.example.com",
            "api.example.com.evil",
            "",
            "api.example.com..",
        ] {
            assert!(!api.matches_name(other, 443), "{other}");
        }
        assert!(!api.matches_addr(ip("10.0.0.1"), 443) && !api.may_match_resolved(443));
    }

    #[test]
    fn a_star_stands_for_subdomains_only() {
        let below = rule("*.example.com:443");
        assert!(below.matches_name("a.example.com", 443) && below.matches_name("a.b.EXAMPLE.com.", 443));
        for other in [
            "example.com",
            ".example.com",
            "badexample.com",
            "a.example.com.evil.org",
            "éxample.com",
            "é.com",
        ] {
            assert!(!below.matches_name(other, 443), "{other}");
        }
        assert!(!below.matches_name("a.example.com", 80));
    }

    #[test]
    fn networks_match_addresses_and_address_literals() {
        let net = rule("10.0.0.0/8:5432");
        assert!(net.matches_addr(ip("10.9.8.7"), 5432) && net.matches_addr(ip("::ffff:10.9.8.7"), 5432));
        assert!(!net.matches_addr(ip("10.9.8.7"), 80) && !net.matches_addr(ip("11.0.0.1"), 5432));
        assert!(!net.matches_name("ten.example", 5432));
        assert!(net.may_match_resolved(5432) && !net.may_match_resolved(5433));
        assert!(rule("[fd00::/8]:443").matches_addr(ip("fd00::1"), 443));
        assert!(rule("*").matches_addr(ip("1.2.3.4"), 1) && rule("*:443").matches_name("x", 443));
        assert!(!rule("*:443").matches_name("x", 80));
    }

    #[test]
    fn names_and_wildcards_lead_to_public_addresses_only() {
        let rules = ["*", "*:80", "api.example.com", "*.example.com", "0.0.0.0/0", "::/0"].map(rule);
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip(address)), "{address}");
            let by = rules.iter().find(|rule| rule.allows("api.example.com", ip(address), 80));
            assert!(by.is_none(), "{address} by {}", by.unwrap());
            assert!(
                rule(address.trim_start_matches("::ffff:")).allows("a", ip(address), 80),
                "{address} named"
            );
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(is_public(ip(address)), "{address}");
            assert!(
                rule("*").allows("x", ip(address), 80)
                    && rule("api.example.com").allows("api.example.com", ip(address), 80)
            );
        }
        assert!(
            rule("0.0.0.0/0").allows("x", ip("8.8.8.8"), 1)
                && rule("10.0.0.0/8").allows("x", ip("10.0.0.1"), 1)
        );
        assert!(!rule("10.0.0.0/7").allows("x", ip("10.0.0.1"), 1), "more than the private network");
    }

    #[test]
    fn localhost_names_this_machine_and_nothing_else() {
        let local = rule("localhost:80");
        assert!(local.allows("LOCALHOST.", ip("127.0.0.1"), 80) && local.allows("localhost", ip("::1"), 80));
        assert!(
            !local.allows("localhost", ip("10.0.0.1"), 80) && !local.allows("localhost", ip("127.0.0.1"), 81)
        );
        assert!(!local.allows("local.example.com", ip("127.0.0.1"), 80));
    }

    #[test]
    fn rules_read_back() {
        for text in [
            "*",
            "*:443",
            "example.com",
            "example.com:8080",
            "*.example.com",
            "*.example.com:1",
            "10.0.0.0/8",
            "10.0.0.0/8:80",
            "10.0.0.7:65535",
            "::1",
            "fd00::/8",
            "[::1]:80",
            "[fd00::/8]:443",
            "localhost",
            "a_b.c-d",
        ] {
            assert_eq!(rule(text).to_string(), text);
        }
        assert_eq!(rule("[::1]"), rule("::1"));
    }

    #[test]
    fn nonsense_is_refused_with_a_hint() {
        for (text, hint) in [
            ("", "api.example.com"),
            ("https://api.example.com/v1", "write api.example.com"),
            ("api.example.com:", "bad port"),
            ("api.example.com:0", "bad port"),
            ("api.example.com:65536", "bad port"),
            ("api.example.com:+1", "bad port"),
            ("api.example.com:http", "bad port"),
            ("api.example.com/v1", "not an address or a network"),
            ("10.0.0.256", "not an address"),
            ("1.2.3", "not an address"),
            ("10.1.0.0/8", "write 10.0.0.0/8"),
            ("*example.com", "star"),
            ("a.*.com", "star"),
            ("*.", "not the name"),
            ("*.*", "star"),
            (".example.com", "not the name"),
            ("a..b", "not the name"),
            ("a b", "not the name"),
            ("münchen.de", "xn--"),
            ("[::1", "closing bracket"),
            ("[::1]80", ":PORT"),
            ("[example.com]:80", "not an address"),
            ("user@host", "not the name"),
        ] {
            let message = text.parse::<EgressRule>().expect_err(text);
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
