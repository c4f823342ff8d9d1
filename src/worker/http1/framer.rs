//! Where in the stream of requests a connection is.

use super::chunked::Chunked;
use super::head::{Framing, HeadScan};
use super::{Limits, Violation};

#[derive(Debug)]
enum Place {
    /// In a head, or before one.
    Head(HeadScan),
    /// In a body of which so many bytes are missing.
    Length(u64),
    Chunked(Chunked),
}

/// Splits the bytes of a connection into requests; does no I/O.
#[derive(Debug)]
pub(super) struct Framer {
    limits: Limits,
    place: Place,
}

impl Framer {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, place: Place::Head(HeadScan::default()) }
    }

    /// Whether the next byte belongs to a head.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.place, Place::Head(_))
    }

    /// How many of `bytes` may pass: a whole head, or what there is of a body.
    ///
    /// Zero: a head is not complete. The same bytes and more are then expected
    /// in the next call; otherwise those after the ones that passed.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let passed = match &mut self.place {
            Place::Head(scan) => {
                let Some(head) = scan.scan(bytes, &self.limits)? else {
                    return Ok(0);
                };
                self.place = match head.framing {
                    Framing::None => Place::Head(HeadScan::default()),
                    Framing::Length(length) => Place::Length(length),
                    Framing::Chunked => Place::Chunked(Chunked::default()),
                };
                return Ok(head.len);
            }
            Place::Length(missing) => {
                let here = usize::try_from(*missing).unwrap_or(usize::MAX).min(bytes.len());
                *missing -= here as u64;
                if *missing > 0 {
                    return Ok(here);
                }
                here
            }
            Place::Chunked(chunked) => {
                let here = chunked.scan(bytes, &self.limits)?;
                if !chunked.ended() {
                    return Ok(here);
                }
                here
            }
        };
        self.place = Place::Head(HeadScan::default());
        Ok(passed)
    }
}
