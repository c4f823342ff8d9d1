//! Addresses: what to listen on, and networks of peers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Longest path that fits a unix socket's address, its final NUL left out.
const LONGEST_SOCKET_PATH: usize = 107;

/// What to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddr {
    /// A TCP address; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
    /// A listening socket this process was started with.
    Fd(i32),
}

impl FromStr for BindAddr {
    type Err = String;

    /// Names of hosts are looked up; of several addresses an IPv4 one wins.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(text, path.strip_prefix("//").unwrap_or(path));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            let digits = number.bytes().all(|b| b.is_ascii_digit());
            let number = number.parse().ok().filter(|_| digits);
            return number.map(Self::Fd).ok_or_else(|| format!("{text:?} is not a descriptor: write fd://3"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(format!(
                "{text:?} is a URL: leave out {scheme}:// and write HOST:PORT, such as {rest}"
            ));
        }
        match text.parse() {
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) => host_and_port(text).map(Self::Tcp),
        }
    }
}

impl fmt::Display for BindAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fd(number) => write!(f, "fd://{number}"),
        }
    }
}

fn unix_path(text: &str, path: &str) -> Result<BindAddr, String> {
    if path.is_empty() || path.contains('\0') {
        return Err(format!("{text:?} names no socket: write unix:PATH"));
    }
    Ok(BindAddr::Unix(PathBuf::from(path)))
}

impl BindAddr {
    /// Whether the kernel chooses the port: another one each time.
    #[must_use]
    pub fn is_any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }

    /// A unix socket's path below `base`, if it is relative.
    ///
    /// # Errors
    /// The path is longer than the kernel takes.
    pub(super) fn below(self, base: &std::path::Path) -> Result<Self, String> {
        let Self::Unix(path) = self else { return Ok(self) };
        let path = base.join(path);
        if path.as_os_str().len() > LONGEST_SOCKET_PATH {
            let path = path.display();
            return Err(format!("{path} is too long for a unix socket: at most {LONGEST_SOCKET_PATH} bytes"));
        }
        Ok(Self::Unix(path))
    }
}

fn host_and_port(text: &str) -> Result<SocketAddr, String> {
    let Some((host, port)) = text.rsplit_once(':') else {
        let guess = if text.parse::<u16>().is_ok() { format!(":{text}") } else { format!("{text}:8000") };
        return Err(match text {
            "" => "an empty address: write HOST:PORT, unix:PATH or fd://N".to_owned(),
            _ => format!("{text:?} lacks a host or a port: write HOST:PORT, such as {guess}"),
        });
    };
    // An unbracketed IPv6 address would lose its last group to the port.
    if text.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("{text:?} is ambiguous: write an IPv6 address in brackets, [ADDRESS]:PORT"));
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let Some(port) = port.parse().ok().filter(|_| digits) else {
        return Err(format!("{text:?} has a bad port: write a number from 0 to 65535 after the colon"));
    };
    // Without a host it is every IPv4 interface, as in Gunicorn.
    if host.is_empty() {
        return Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    }
    let found: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("the host of {text:?} is not found: {error}"))?
        .collect();
    let v4 = found.iter().find(|address| address.is_ipv4());
    v4.or(found.first()).copied().ok_or_else(|| format!("the host of {text:?} has no address"))
}

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpNet {
    addr: IpAddr,
    prefix: u8,
}

impl IpNet {
    /// Every address there is, as two networks.
    pub(super) const EVERYTHING: [Self; 2] = [
        Self { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 },
        Self { addr: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 0 },
    ];

    /// Whether `address` lies in it; an IPv4 address mapped into IPv6 counts
    /// as the IPv4 address it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.addr, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let mask = mask(self.prefix, 32) as u32;
                net.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let mask = mask(self.prefix, 128);
                net.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }

    /// Whether all of `other` lies in it.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.contains(other.addr) && self.prefix <= other.prefix && self.is_ipv6() == other.is_ipv6()
    }

    /// Whether it is a network of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.addr.is_ipv6()
    }

    /// The network with the bits after the prefix cleared.
    fn cleared(self) -> Self {
        let addr = match self.addr {
            IpAddr::V4(addr) => Ipv4Addr::from_bits(addr.to_bits() & mask(self.prefix, 32) as u32).into(),
            IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & mask(self.prefix, 128)).into(),
        };
        Self { addr, ..self }
    }
}

/// The top `prefix` of `width` bits, in the low `width` bits.
fn mask(prefix: u8, width: u8) -> u128 {
    let host_bits = u32::from(width.saturating_sub(prefix));
    u128::MAX.checked_shl(host_bits).unwrap_or(0)
}

impl FromStr for IpNet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mistake = || {
            format!(
                "{text:?} is not an address or a network: write such as 10.0.0.7, 10.0.0.0/8, ::1, fd00::/8"
            )
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().map_err(|_| mistake())?;
        let width: u8 = if given.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= width).ok_or_else(mistake)?
            }
            Some(_) => return Err(mistake()),
        };
        let net = match given.to_canonical() {
            // A mapped network is an IPv4 network, 96 bits further in.
            addr @ IpAddr::V4(_) if given.is_ipv6() && prefix >= 96 => Self { addr, prefix: prefix - 96 },
            _ => Self { addr: given, prefix },
        };
        // 10.1.2.3/8 is a slip more often than it is meant.
        match net.cleared() {
            cleared if cleared == net => Ok(net),
            cleared => Err(format!("{text:?} has bits after its prefix: write {cleared}")),
        }
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = if self.addr.is_ipv4() { 32 } else { 128 };
        match self.prefix {
            prefix if prefix == width => self.addr.fmt(f),
            prefix => write!(f, "{}/{prefix}", self.addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn addresses_to_listen_on() {
        for (text, shown) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("[::1]:80", "[::1]:80"),
            (":8000", "0.0.0.0:8000"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
            ("unix:app.sock", "unix:app.sock"),
            ("fd://3", "fd://3"),
        ] {
            let parsed: BindAddr = text.parse().expect(text);
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(shown.parse(), Ok(parsed));
        }
    }

    #[test]
    fn bad_addresses_say_what_to_write() {
        for (text, hint) in [
            ("", "HOST:PORT"),
            ("8000", "such as :8000"),
            ("localhost", "such as localhost:8000"),
            ("127.0.0.1:", "bad port"),
            ("127.0.0.1:65536", "bad port"),
            ("127.0.0.1:+80", "bad port"),
            ("127.0.0.1:-1", "bad port"),
            ("::1:8000", "in brackets"),
            ("::1", "in brackets"),
            ("http://127.0.0.1:80", "such as 127.0.0.1:80"),
            ("unix:", "unix:PATH"),
            ("unix://", "unix:PATH"),
            ("fd://", "fd://3"),
            ("fd://-1", "fd://3"),
            ("fd://+3", "fd://3"),
            ("fd://99999999999", "fd://3"),
        ] {
            let message = text.parse::<BindAddr>().expect_err(text);
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn a_socket_path_has_a_longest_length() {
        let named = |length: usize| BindAddr::Unix("a".repeat(length).into());
        assert_eq!(
            named(105).below(Path::new("/x")),
            Err(format!("/x/{} is too long for a unix socket: at most 107 bytes", "a".repeat(105)))
        );
        assert!(named(104).below(Path::new("/x")).is_ok());
    }

    #[test]
    fn networks_contain_their_addresses() {
        let within = |net: &str, ip: &str| net.parse::<IpNet>().expect(net).contains(ip.parse().expect(ip));
        assert!(within("10.0.0.0/8", "10.255.1.2"));
        assert!(!within("10.0.0.0/8", "11.0.0.0"));
        assert!(within("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(within("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!within("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert!(within("::ffff:0.0.0.0/96", "11.1.2.3") && !within("::ffff:0.0.0.0/96", "::1"));
        assert!(within("0.0.0.0/0", "255.255.255.255"));
        assert!(!within("0.0.0.0/0", "::1"));
        assert!(within("::/0", "ffff::"));
        assert!(within("127.0.0.1", "127.0.0.1") && !within("127.0.0.1", "127.0.0.2"));
        assert!(within("192.168.1.128/25", "192.168.1.200") && !within("192.168.1.128/25", "192.168.1.127"));
        assert!(within("fd00::/8", "fdff::1") && !within("fd00::/8", "fe00::1"));
        assert!(within("2001:db8::/33", "2001:db8:7fff::") && !within("2001:db8::/33", "2001:db8:8000::"));
    }

    #[test]
    fn networks_are_strict_and_read_back() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "::1", "fd00::/8", "10.0.0.7", "0.0.0.0/1"] {
            assert_eq!(text.parse::<IpNet>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "x",
            "10.0.0.0/8/8",
            "*",
            "10.0.0.0/256",
            " 10.0.0.1",
            "10.0.0.1:80",
        ] {
            assert!(text.parse::<IpNet>().is_err(), "{text}");
        }
        assert!("10.1.2.3/8".parse::<IpNet>().unwrap_err().contains("write 10.0.0.0/8"));
    }
}
