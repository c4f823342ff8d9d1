//! Which bytes may stand where, and what a host looks like.

use std::net::Ipv6Addr;

/// A set of bytes.
pub(super) struct Class([bool; 256]);

impl Class {
    /// The visible ASCII bytes, without those of `except`.
    const fn visible(except: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0x21;
        while byte < 0x7f {
            set[byte] = true;
            byte += 1;
        }
        let mut i = 0;
        while i < except.len() {
            set[except[i] as usize] = false;
            i += 1;
        }
        Self(set)
    }

    /// Bytes of a field value: anything but controls; HTAB is allowed.
    const fn value() -> Self {
        let mut set = [true; 256];
        let mut byte = 0;
        while byte < 0x20 {
            set[byte] = false;
            byte += 1;
        }
        set[b'\t' as usize] = true;
        set[0x7f] = false;
        Self(set)
    }

    /// Whether `byte` is in the set.
    pub(super) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }

    /// How many bytes at the start of `bytes` are in the set.
    #[inline]
    pub(super) fn span(&self, bytes: &[u8]) -> usize {
        // Four at a time: the bounds check and the loop would cost more than the look-up.
        let mut n = 0;
        for four in bytes.chunks_exact(4) {
            let [a, b, c, d] = [four[0], four[1], four[2], four[3]];
            if !(self.has(a) & self.has(b) & self.has(c) & self.has(d)) {
                break;
            }
            n += 4;
        }
        n + bytes[n..].iter().take_while(|&&b| self.has(b)).count()
    }

    /// Whether `bytes` is one or more bytes of the set.
    fn is_all(&self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && bytes.iter().all(|&b| self.has(b))
    }
}

/// Methods and field names (RFC 9110, 5.6.2).
pub(super) static TOKEN: Class = Class::visible(b"\"(),/:;<=>?@[\\]{}");

/// Field values, trailing and leading blanks included.
pub(super) static VALUE: Class = Class::value();

/// Request targets. Wider than RFC 3986, which browsers do not keep to either,
/// but nothing that `http::Uri` would refuse once this has let it through.
pub(super) static TARGET: Class = Class::visible(b"\"#<>`");

/// The version at the end of a request line, before it is told which.
pub(super) static VISIBLE: Class = Class::visible(b"");

/// A registered name or an IPv4 address. No comma: it is how a proxy folds two
/// Host fields into one. No percent sign: `http::uri::Authority` refuses it.
static REG_NAME: Class = Class::visible(b"\"#%,/:<>?@[\\]^`{|}");

/// `value` without the blanks around it.
#[inline]
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `host` is `host [ ":" port ]` with a host that is not empty.
pub(super) fn is_authority(host: &[u8]) -> bool {
    let (name_ok, port) = if let [b'[', rest @ ..] = host {
        let Some(end) = rest.iter().position(|&b| b == b']') else {
            return false;
        };
        let address = str::from_utf8(&rest[..end]).ok();
        (address.is_some_and(|a| a.parse::<Ipv6Addr>().is_ok()), &rest[end + 1..])
    } else {
        let end = host.iter().position(|&b| b == b':').unwrap_or(host.len());
        (REG_NAME.is_all(&host[..end]), &host[end..])
    };
    name_ok && is_port(port)
}

/// Nothing, or a colon and a port number, which may be missing.
fn is_port(port: &[u8]) -> bool {
    match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5 && decimal(digits).is_some_and(|number| number <= u64::from(u16::MAX))
        }
        _ => false,
    }
}

/// The number `digits` writes; `None` if it is anything but digits or too big.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}
