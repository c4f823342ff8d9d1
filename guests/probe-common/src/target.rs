//! The request target, taken apart.

use std::str::FromStr;

/// A path and its query, as in `/sleep?ms=100`.
pub struct Target(String);

impl Target {
    pub fn new(path_with_query: Option<String>) -> Self {
        Self(path_with_query.unwrap_or_else(|| "/".into()))
    }

    pub fn path(&self) -> &str {
        self.0.split_once('?').map_or(&*self.0, |(path, _)| path)
    }

    /// The query parameter of that name, decoded.
    pub fn text(&self, name: &str) -> Option<String> {
        let (_, query) = self.0.split_once('?')?;
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| decode(value))
    }

    /// The query parameter of that name, if it is a number.
    pub fn number<N: FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }

    /// Whether the query says `name=yes`.
    pub fn says(&self, name: &str) -> bool {
        self.text(name).as_deref() == Some("yes")
    }
}

fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(nibble(*high) << 4 | nibble(*low));
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
