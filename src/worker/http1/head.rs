//! One request head: the request line, the fields, and what they say about the body.

use std::ops::Range;

use super::syntax::{TARGET, TOKEN, VALUE, VISIBLE, decimal, is_authority, trim};
use super::{Limits, MAX_HEAD, Violation};

/// hyper keeps the two largest lengths for itself.
const MAX_LENGTH: u64 = u64::MAX - 2;

/// How the end of a request body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`, at least 1.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What a checked head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head, its empty line included.
    pub(super) len: usize,
    /// HTTP/1.0 or HTTP/1.1.
    pub(super) version: http::Version,
    /// What follows the head.
    pub(super) framing: Framing,
}

/// Checks one complete head; a connection's are checked as they arrive.
///
/// # Errors
/// It breaks a rule, or does not end at the end of `head`.
#[cfg(test)]
pub(super) fn check(head: &[u8], limits: &Limits) -> Result<Head, Violation> {
    match HeadScan::default().scan(head, limits)? {
        Some(found) if found.len == head.len() => Ok(found),
        Some(_) => Err(Violation::bad("bytes after the head")),
        None => Err(Violation::bad("incomplete head")),
    }
}

/// A check that can stop in any line and go on when more bytes are there.
///
/// Every rule is decided at the first byte that can break it, so that the
/// verdict does not depend on how the bytes were split into packets.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Where the first line begins that is not checked yet.
    next: usize,
    /// Fields seen; `None` until the request line is complete.
    fields: Option<usize>,
    http11: bool,
    /// Of an absolute-form target.
    authority: Option<Range<usize>>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
}

impl HeadScan {
    /// Goes on with `bytes`, which begin where the head begins; `None`: more are needed.
    pub(super) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Violation> {
        if self.fields.is_none() {
            let Some(()) = self.request_line(bytes, limits)? else {
                return Ok(None);
            };
        }
        loop {
            if self.next > MAX_HEAD {
                return Err(Violation::new(431, "request head too large"));
            }
            match &bytes[self.next..] {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => return self.finish(bytes).map(Some),
                [b'\r', ..] => return Err(Violation::bad("bare CR in the head")),
                [b' ' | b'\t', ..] => return Err(Violation::bad("folded field line")),
                line => {
                    let Some(len) = self.field(line, limits)? else {
                        return Ok(None);
                    };
                    self.note(bytes, len)?;
                }
            }
        }
    }

    fn request_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<()>, Violation> {
        // RFC 9112, 2.2: clients used to send a CRLF after a body; one is forgiven.
        let start = match bytes {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => return Err(Violation::bad("bare CR or LF before a request")),
            _ => 0,
        };
        let line = &bytes[start..];
        let shown = &line[..line.len().min(limits.request_line)];
        let over = Violation::new(414, "request line too long");
        // Where a part stopped at the end of what may be looked at.
        let cut = if line.len() > shown.len() { Err(over) } else { Ok(None) };

        let method = TOKEN.span(shown);
        match shown.get(method) {
            None => return cut,
            Some(b' ') if method > 0 => {}
            Some(_) => return Err(Violation::bad("invalid method")),
        }
        let target = method + 1;
        let target_end = target + TARGET.span(&shown[target..]);
        match shown.get(target_end) {
            None => return cut,
            Some(b' ') if target_end > target => {}
            Some(_) => return Err(Violation::bad("invalid request target")),
        }
        let version = target_end + 1;
        let end = version + VISIBLE.span(&shown[version..]);
        let Some(len) = line_end(line, end, limits.request_line, over)? else {
            return Ok(None);
        };

        self.http11 = match &line[version..end] {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Violation::new(505, "HTTP version not supported"));
            }
            _ => return Err(Violation::bad("invalid HTTP version")),
        };
        self.target(&line[..method], &line[target..target_end], start + target)?;
        self.fields = Some(0);
        self.next = start + len;
        Ok(Some(()))
    }

    /// Checks the form of the target, which begins at `at` of the head.
    fn target(&mut self, method: &[u8], target: &[u8], at: usize) -> Result<(), Violation> {
        if method == b"CONNECT" {
            return Err(Violation::new(501, "CONNECT is not supported"));
        }
        match target {
            [b'/', ..] => return Ok(()),
            b"*" if method == b"OPTIONS" => return Ok(()),
            _ => {}
        }
        let scheme = [&b"http://"[..], b"https://"]
            .into_iter()
            .find(|s| target.len() > s.len() && target[..s.len()].eq_ignore_ascii_case(s));
        let Some(scheme) = scheme else {
            return Err(Violation::bad("invalid request target"));
        };
        let rest = &target[scheme.len()..];
        let len = rest.iter().position(|b| b"/?".contains(b)).unwrap_or(rest.len());
        if !is_authority(&rest[..len]) {
            return Err(Violation::bad("invalid authority in the request target"));
        }
        let begin = at + scheme.len();
        self.authority = Some(begin..begin + len);
        Ok(())
    }

    /// Checks one field line and counts it; returns its bytes with CRLF.
    fn field(&mut self, line: &[u8], limits: &Limits) -> Result<Option<usize>, Violation> {
        if self.fields >= Some(limits.fields) {
            return Err(Violation::new(431, "too many fields"));
        }
        let shown = &line[..line.len().min(limits.field_size)];
        let over = Violation::new(431, "field too large");
        let name = TOKEN.span(shown);
        match shown.get(name) {
            None if line.len() > shown.len() => return Err(over),
            None => return Ok(None),
            Some(b':') if name > 0 => {}
            Some(b' ' | b'\t') => return Err(Violation::bad("space before the colon of a field")),
            Some(_) => return Err(Violation::bad("invalid field name")),
        }
        let end = name + 1 + VALUE.span(&shown[name + 1..]);
        let len = line_end(line, end, limits.field_size, over)?;
        if len.is_some() {
            self.fields = self.fields.map(|n| n + 1);
        }
        Ok(len)
    }

    /// Notes what the field line of `len` bytes at `next` says about the message, and passes it.
    fn note(&mut self, bytes: &[u8], len: usize) -> Result<(), Violation> {
        let start = self.next;
        self.next += len;
        let line = &bytes[start..start + len - 2];
        // The colon tells by its place whether it can be one of the three; most fields end here.
        let named = |name: &[u8]| {
            line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
        };
        if named(b"host") {
            let value = trim(&line[5..]);
            if self.host.is_some() {
                return Err(Violation::bad("several Host fields"));
            }
            if !value.is_empty() && !is_authority(value) {
                return Err(Violation::bad("invalid Host"));
            }
            let blanks = line[5..].iter().take_while(|b| b" \t".contains(b)).count();
            let begin = start + 5 + blanks;
            self.host = Some(begin..begin + value.len());
        } else if named(b"content-length") {
            if self.length.is_some() {
                return Err(Violation::bad("several Content-Length fields"));
            }
            self.length = decimal(trim(&line[15..])).filter(|&length| length <= MAX_LENGTH);
            if self.length.is_none() {
                return Err(Violation::bad("invalid Content-Length"));
            }
        } else if named(b"transfer-encoding") {
            if !self.http11 {
                return Err(Violation::bad("Transfer-Encoding in HTTP/1.0"));
            }
            if self.chunked || !trim(&line[18..]).eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::bad("Transfer-Encoding is not just chunked"));
            }
            self.chunked = true;
        } else {
            return Ok(());
        }
        if self.chunked && self.length.is_some() {
            return Err(Violation::bad("both Transfer-Encoding and Content-Length"));
        }
        Ok(())
    }

    /// The empty line is reached.
    fn finish(&self, bytes: &[u8]) -> Result<Head, Violation> {
        if self.http11 && self.host.is_none() {
            return Err(Violation::bad("no Host field"));
        }
        if let (Some(authority), Some(host)) = (&self.authority, &self.host)
            && !bytes[authority.clone()].eq_ignore_ascii_case(&bytes[host.clone()])
        {
            return Err(Violation::bad("Host differs from the request target"));
        }
        let framing = match self.length {
            _ if self.chunked => Framing::Chunked,
            None | Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
        };
        let version = if self.http11 { http::Version::HTTP_11 } else { http::Version::HTTP_10 };
        Ok(Head { len: self.next + 2, version, framing })
    }
}

/// The length of a line with its CRLF, whose content stops at `end`; `None`: more is needed.
fn line_end(line: &[u8], end: usize, limit: usize, over: Violation) -> Result<Option<usize>, Violation> {
    match &line[end..] {
        [b'\r', b'\n', ..] => Ok(Some(end + 2)),
        [] | [b'\r'] => Ok(None),
        [b'\r', ..] => Err(Violation::bad("bare CR in the head")),
        [_, ..] if end == limit => Err(over),
        [b'\n', ..] => Err(Violation::bad("bare LF in the head")),
        [_, ..] => Err(Violation::bad("invalid byte in the head")),
    }
}
