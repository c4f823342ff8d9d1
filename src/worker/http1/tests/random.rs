//! Mutated requests: nothing panics, no split matters, no canary is served.

use super::super::framer::Framer;
use super::corpus::{BAD_BODIES, BAD_HEADS, GOOD_BODIES, GOOD_HEADS};
use super::{CANARY, LIMITS, read};

const ROUNDS: usize = 20_000;

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn mutate(&mut self, stream: &mut Vec<u8>) {
        const TELLING: &[u8] = b"\r\n\t :;,0123456789abcdefxX\x00\x0b\x7f\xff";
        let at = self.below(stream.len());
        match self.below(6) {
            0 => stream[at] = *self.pick(TELLING),
            1 => stream.insert(at, *self.pick(TELLING)),
            2 => drop(stream.remove(at)),
            3 => stream[at] ^= 1 << self.below(8),
            4 => {
                let end = at + self.below(stream.len() - at);
                let part = stream[at..end].to_vec();
                let to = self.below(stream.len());
                stream.splice(to..to, part);
            }
            _ => {
                let other = self.pick(GOOD_BODIES);
                let end = self.below(other.len());
                stream.splice(at..at, other[..end].iter().copied());
            }
        }
    }
}

/// The heads in bytes that passed.
fn heads(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut framer = Framer::new(LIMITS);
    let mut heads = Vec::new();
    while !bytes.is_empty() {
        let in_head = framer.in_head();
        let passed = framer.admit(bytes).expect("what passed once passes again");
        if in_head {
            heads.push(&bytes[..passed]);
        }
        if passed == 0 {
            break;
        }
        bytes = &bytes[passed..];
    }
    heads
}

#[test]
fn chance_finds_no_way_in() {
    let mut random = Random(0x5eed_0001_cafe_f00d);
    let chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut seeds: Vec<Vec<u8>> = BAD_HEADS.iter().map(|(_, head)| head.to_vec()).collect();
    seeds.extend(BAD_BODIES.iter().map(|(_, body)| [&chunked[..], body].concat()));
    seeds.extend(GOOD_HEADS.iter().chain(GOOD_BODIES).map(|good| good.to_vec()));

    let mut refused = 0;
    for round in 0..ROUNDS {
        let mut stream = random.pick(&seeds).clone();
        for _ in 0..random.below(4) {
            if !stream.is_empty() {
                random.mutate(&mut stream);
            }
        }
        stream.extend_from_slice(CANARY);

        let whole = read(vec![&stream], 8192);
        let mut packets = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let size = 1 + random.below(if round % 2 == 0 { 4 } else { rest.len() });
            let (packet, later) = rest.split_at(size.min(rest.len()));
            packets.push(packet);
            rest = later;
        }
        let split = read(packets, 1 + random.below(100));
        let shown = stream.escape_ascii();
        assert_eq!((split.head, split.body), (whole.head, whole.body), "{shown}");
        assert!(whole.head.is_none() || whole.body.is_none());
        if whole.body.is_none() {
            assert_eq!(split.bytes, whole.bytes, "{shown}");
        }
        if whole.head.is_some() || whole.body.is_some() {
            refused += 1;
            let served = heads(&split.bytes);
            assert!(!served.iter().any(|head| head.starts_with(b"GET /canary")), "{shown}");
        }
    }
    assert!(refused > ROUNDS / 4 && refused < ROUNDS, "{refused} of {ROUNDS} refused");
}
