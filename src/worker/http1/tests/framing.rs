//! The corpus, whole and in every split.

use super::super::head::{Framing, check};
use super::corpus::{BAD_BODIES, BAD_HEADS, GOOD_BODIES, GOOD_HEADS};
use super::{CANARY, LIMITS, Seen, read};

const FIRST: &[u8] = b"GET /first HTTP/1.1\r\nhost: a\r\n\r\n";
const SYNTHETIC: &[u8] = b"GET / HTTP/1.1\r\nhost: rejected\r\nconnection: close\r\n\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

/// Reads `stream` whole, and asserts that no split changes what is seen.
fn read_in_every_way(stream: &[u8]) -> Seen {
    let whole = read(vec![stream], 8192);
    let same = |packets: Vec<&[u8]>, room: usize| {
        let mut seen = read(packets, room);
        if whole.body.is_some() {
            // How much of a bad body passes before the error depends on the packets.
            assert!(seen.bytes.starts_with(&whole.bytes) || whole.bytes.starts_with(&seen.bytes));
            seen.bytes.clone_from(&whole.bytes);
        }
        assert_eq!(seen, whole, "{}", stream.escape_ascii());
    };
    same(vec![stream], 1);
    same(vec![stream], 7);
    same(stream.chunks(1).collect(), 8192);
    same(stream.chunks(1).collect(), 1);
    for at in 0..stream.len() {
        let (one, two) = stream.split_at(at);
        same(vec![one, two], 8192);
    }
    whole
}

#[test]
fn bad_heads_are_refused_and_nothing_after_them_is_served() {
    assert!(BAD_HEADS.len() >= 60);
    for (status, bad) in BAD_HEADS {
        let seen = read_in_every_way(&[FIRST, bad, CANARY].concat());
        let (index, violation) = seen.head.unwrap_or_else(|| panic!("{}", bad.escape_ascii()));
        assert_eq!((index, violation.status), (1, *status), "{}", bad.escape_ascii());
        assert_eq!(seen.bytes, [FIRST, SYNTHETIC].concat());
        assert_eq!(seen.body, None);
    }
}

#[test]
fn bad_bodies_end_in_an_error() {
    for (status, bad) in BAD_BODIES {
        let seen = read_in_every_way(&[CHUNKED, bad, CANARY].concat());
        let violation = seen.body.unwrap_or_else(|| panic!("{}", bad.escape_ascii()));
        assert_eq!(violation.status, *status, "{}", bad.escape_ascii());
        assert_eq!(seen.head, None);
        assert!(!seen.bytes.ends_with(CANARY));
    }
}

#[test]
fn good_requests_pass_untouched() {
    assert!(GOOD_HEADS.len() >= 40);
    for good in GOOD_HEADS.iter().chain(GOOD_BODIES) {
        let stream = [good, CANARY].concat();
        let seen = read_in_every_way(&stream);
        assert_eq!((seen.head, seen.body), (None, None), "{}", good.escape_ascii());
        assert_eq!(seen.bytes, stream);
    }
}

#[test]
fn one_head_is_told_from_more_and_less() {
    for good in GOOD_HEADS {
        let head = check(good, &LIMITS).expect("a good head");
        assert_eq!((head.len, head.framing), (good.len(), Framing::None));
        assert!(check(&good[..good.len() - 1], &LIMITS).is_err());
        assert!(check(&[good, CANARY].concat(), &LIMITS).is_err());
    }
    let head = check(CHUNKED, &LIMITS).expect("a good head");
    assert_eq!((head.framing, head.version), (Framing::Chunked, http::Version::HTTP_11));
    let length = b"POST / HTTP/1.0\r\ncontent-length: 18446744073709551613\r\n\r\n";
    let head = check(length, &LIMITS).expect("a good head");
    assert_eq!(head.framing, Framing::Length(u64::MAX - 2));
    assert_eq!(head.version, http::Version::HTTP_10);
}

#[test]
fn a_head_is_refused_before_it_is_complete() {
    for (sent, status) in [(&b"\x16\x03"[..], 400), (b"GET / HTTP/1.1\n", 400), (b"PRI * HTTP/2.0\r\n", 505)]
    {
        assert_eq!(read(vec![sent], 8192).head.map(|(_, v)| v.status), Some(status));
    }
}

#[test]
fn chunk_extensions_and_trailers_are_bounded_in_all() {
    let short = format!("1;{}\r\na\r\n", "e".repeat(255));
    let long = format!("1;{}\r\na\r\n", "e".repeat(257));
    let good = [CHUNKED, short.repeat(16).as_bytes(), b"0\r\n\r\n"].concat();
    assert_eq!(read(vec![&good], 8192).body, None);
    for bad in [short.repeat(17), long] {
        let bad = [CHUNKED, bad.as_bytes(), b"0\r\n\r\n"].concat();
        assert_eq!(read(vec![&bad], 8192).body.map(|v| v.status), Some(400));
    }
}
