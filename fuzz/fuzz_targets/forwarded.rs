//! What proxies say of a client: a stranger is not believed, and saying it again changes
//! nothing.
#![no_main]

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use wasgun_fuzz::config::IpNet;
use wasgun_fuzz::worker::client;

const NAMES: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "x-request-id",
    "x-forwarded_for",
];

fuzz_target!(|data: &[u8]| {
    let mut fields = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        let Ok(name) = HeaderName::from_bytes(NAMES[usize::from(*name) % NAMES.len()].as_bytes()) else {
            continue;
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(name, value);
        }
    }
    let peer: IpAddr = "10.0.0.1".parse().unwrap();
    let (trusted, nobody): (Vec<IpNet>, [IpNet; 0]) = (vec!["10.0.0.0/8".parse().unwrap()], []);

    let mut of_stranger = fields.clone();
    assert_eq!(client(&mut of_stranger, Some(peer), &nobody), Some(peer), "a stranger is who it is");
    let told = of_stranger.get_all("x-forwarded-for").iter().collect::<Vec<_>>();
    assert_eq!(told, ["10.0.0.1"], "and the guest is told so");
    assert!(of_stranger.get("forwarded").is_none() && of_stranger.get("x-real-ip").is_none());

    let mut once = fields;
    let first = client(&mut once, Some(peer), &trusted);
    assert!(once.get_all("x-forwarded-for").iter().count() <= 1);
    let mut twice = once.clone();
    assert_eq!(client(&mut twice, Some(peer), &trusted), first, "{once:?}");
});
