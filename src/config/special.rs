//! Addresses that are not public.

use std::net::IpAddr;
use std::sync::LazyLock;

use super::addr::IpNet;

/// Networks that are not the internet, as networks: those of IANA's registries of
/// special-purpose addresses (RFC 6890), all multicast, and the one where Azure's machines
/// find their platform. Some embed an address of IPv4, whose owner decides where they lead.
const SPECIAL: [&str; 32] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Before the next, which has them in it: the narrowest counts.
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "::/8",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The network that makes `address` one that is not public.
pub(super) fn special_net(address: IpAddr) -> Option<&'static IpNet> {
    static NETS: LazyLock<Vec<IpNet>> =
        LazyLock::new(|| SPECIAL.iter().filter_map(|net| net.parse().ok()).collect());
    NETS.iter().find(|net| net.contains(address))
}

/// Whether it is an address of the internet, rather than of this machine, of a private
/// network or of none.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    special_net(address).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_network_is_one() {
        assert!(SPECIAL.iter().all(|net| net.parse::<IpNet>().is_ok()));
    }

    #[test]
    fn metadata_and_machines_nearby_are_not_public() {
        for (address, expected) in [
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("100.100.100.200", false),
            ("fd00:ec2::254", false),
            ("::ffff:127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("172.32.0.1", true),
            ("2606:4700::1111", true),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}
