//! The chunked transfer coding (RFC 9112, 7.1), checked as it passes.

use super::syntax::{TOKEN, VALUE};
use super::{Limits, Violation};

/// Bytes of the extensions of one chunk, and of a whole body: nobody uses them
/// but to make a server read for ever without a byte of content.
const CHUNK_EXTENSIONS: usize = 256;
const BODY_EXTENSIONS: usize = 4 * 1024;

/// Bytes of a trailer section; hyper would give up at 16 KiB with no reason told.
const TRAILERS: usize = 16_000;

/// Digits of a chunk size, so that it fits 64 bits.
const SIZE_DIGITS: u8 = 16;

/// Fields that frame, route, modify or authenticate a request, or say how its
/// content is to be read, have no meaning once the content has passed
/// (RFC 9110, 6.5.1); whoever merged them into the head would be fooled.
const FORBIDDEN_TRAILERS: [&[u8]; 33] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
    b"www-authenticate",
];

/// Longer than every name of `FORBIDDEN_TRAILERS`.
const NAME_KEPT: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the size; how many digits so far.
    Size(u8),
    /// In the extensions of a chunk; how many bytes so far.
    Extension(usize),
    /// After the CR of the line of a size.
    SizeLf,
    /// In the data of a chunk, of which so much is missing.
    Data(u64),
    /// After the data of a chunk.
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// After the CR of the last line.
    EndLf,
    End,
}

/// Follows one chunked body through any split of its bytes.
#[derive(Debug)]
pub(super) struct Chunked {
    place: Place,
    /// Size of the chunk whose line is being read.
    size: u64,
    extensions: usize,
    trailers: usize,
    trailer_bytes: usize,
    /// Bytes of the trailer line so far.
    line: usize,
    name: [u8; NAME_KEPT],
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            place: Place::Size(0),
            size: 0,
            extensions: 0,
            trailers: 0,
            trailer_bytes: 0,
            line: 0,
            name: [0; NAME_KEPT],
        }
    }
}

impl Chunked {
    /// Whether the body has ended.
    pub(super) fn ended(&self) -> bool {
        self.place == Place::End
    }

    /// How many of the next `bytes` belong to the body: all, or those up to its end.
    pub(super) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Violation> {
        let mut at = 0;
        while at < bytes.len() && !self.ended() {
            if let Place::Data(missing) = self.place {
                let here = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = missing - here as u64;
                self.place = if left == 0 { Place::DataCr } else { Place::Data(left) };
            } else {
                self.place = self.step(bytes[at], limits)?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// Where `byte`, which is not chunk data, leads.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<Place, Violation> {
        if matches!(
            self.place,
            Place::TrailerStart | Place::TrailerName | Place::TrailerValue | Place::TrailerLf
        ) {
            self.trailer_bytes += 1;
            if self.trailer_bytes > TRAILERS {
                return Err(Violation::new(431, "trailer section too large"));
            }
        }
        Ok(match (self.place, byte) {
            (Place::Size(digits), byte) => return self.size(digits, byte),
            (Place::Extension(_), b'\r') => Place::SizeLf,
            (Place::Extension(so_far), byte) => {
                self.extensions += 1;
                if so_far >= CHUNK_EXTENSIONS || self.extensions > BODY_EXTENSIONS {
                    return Err(Violation::bad("chunk extension too large"));
                }
                if !VALUE.has(byte) {
                    return Err(Violation::bad("invalid byte in a chunk extension"));
                }
                Place::Extension(so_far + 1)
            }
            (Place::SizeLf, b'\n') if self.size == 0 => Place::TrailerStart,
            (Place::SizeLf, b'\n') => Place::Data(self.size),
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => {
                self.size = 0;
                Place::Size(0)
            }
            (Place::DataCr | Place::DataLf, _) => {
                return Err(Violation::bad("chunk data does not end in CRLF"));
            }
            (Place::TrailerStart, b'\r') => Place::EndLf,
            (Place::TrailerStart, byte) => {
                self.trailers += 1;
                if self.trailers > limits.fields {
                    return Err(Violation::new(431, "too many trailer fields"));
                }
                if !TOKEN.has(byte) {
                    return Err(Violation::bad("invalid trailer field"));
                }
                self.line = 0;
                self.name = [0; NAME_KEPT];
                self.in_name(byte, limits)?
            }
            (Place::TrailerName, b':') => {
                let name = &self.name[..self.line.min(NAME_KEPT)];
                if FORBIDDEN_TRAILERS.binary_search(&name).is_ok() {
                    return Err(Violation::bad("field not allowed in a trailer section"));
                }
                self.lengthen(limits)?;
                Place::TrailerValue
            }
            (Place::TrailerName, byte) if TOKEN.has(byte) => self.in_name(byte, limits)?,
            (Place::TrailerValue, b'\r') => Place::TrailerLf,
            (Place::TrailerValue, byte) if VALUE.has(byte) => {
                self.lengthen(limits)?;
                Place::TrailerValue
            }
            (Place::TrailerName | Place::TrailerValue, _) => {
                return Err(Violation::bad("invalid trailer field"));
            }
            (Place::TrailerLf, b'\n') => Place::TrailerStart,
            (Place::EndLf, b'\n') => Place::End,
            (Place::SizeLf | Place::TrailerLf | Place::EndLf, _) => {
                return Err(Violation::bad("bare CR in a chunked body"));
            }
            (place @ (Place::Data(_) | Place::End), _) => place,
        })
    }

    /// Takes `byte` in the line of a size: a digit, or what may follow digits.
    fn size(&mut self, digits: u8, byte: u8) -> Result<Place, Violation> {
        let invalid = Violation::bad("invalid chunk size");
        match (char::from(byte).to_digit(16), byte) {
            (Some(digit), _) if digits < SIZE_DIGITS => {
                self.size = self.size << 4 | u64::from(digit);
                Ok(Place::Size(digits + 1))
            }
            // No blank may come before the semicolon: some parsers end the size
            // there, others skip it.
            (None, b';') if digits > 0 => Ok(Place::Extension(0)),
            (None, b'\r') if digits > 0 => Ok(Place::SizeLf),
            _ => Err(invalid),
        }
    }

    fn in_name(&mut self, byte: u8, limits: &Limits) -> Result<Place, Violation> {
        if let Some(slot) = self.name.get_mut(self.line) {
            *slot = byte.to_ascii_lowercase();
        }
        self.lengthen(limits)?;
        Ok(Place::TrailerName)
    }

    fn lengthen(&mut self, limits: &Limits) -> Result<(), Violation> {
        self.line += 1;
        if self.line > limits.field_size {
            return Err(Violation::new(431, "trailer field too large"));
        }
        Ok(())
    }
}
