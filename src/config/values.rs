//! Values as people write them: durations, sizes, numbers.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Longest duration that is believed; deadlines are sums of these and must not overflow.
const LONGEST: Duration = Duration::from_secs(8760 * 3600);

/// Units of a duration and their length in milliseconds, longest first.
const TIME_UNITS: [(&str, f64); 4] = [("h", 3_600_000.0), ("m", 60_000.0), ("s", 1_000.0), ("ms", 1.0)];

/// Units of a size, in any case; the first four are what `Display` uses.
const SIZE_UNITS: [(&str, u64); 14] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
];

/// A number of bytes; shown in the largest binary unit that divides it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mistake =
            || format!("{text:?} is not a size: write bytes or a unit, such as 65536, 64KiB, 256MiB, 1GB");
        let (number, unit) = split_number(text.trim()).ok_or_else(mistake)?;
        let number: u64 = number.parse().map_err(|_| mistake())?;
        let factor = SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor)
            .ok_or_else(mistake)?;
        let bytes = number.checked_mul(factor);
        bytes.map(Self).ok_or_else(|| format!("{text:?} is more bytes than a 64-bit number can hold"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS[..4].iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Splits `1.5h` after its digits (and decimal point); `None` without digits.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let unit = rest.trim_start();
    number.contains(|c: char| c.is_ascii_digit()).then_some((number, unit))
}

/// A duration: `30s`, `500ms`, `1h30m`, or plain seconds.
///
/// # Errors
/// Names what is accepted, or that it is too long.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mistake = || {
        format!("{text:?} is not a duration: write seconds or a unit, such as 30, 0.5, 500ms, 30s, 5m, 1h30m")
    };
    let mut rest = text.trim();
    let mut milliseconds = 0.0;
    let mut units = TIME_UNITS.as_slice();
    let mut first = true;
    while first || !rest.is_empty() {
        let (number, tail) = split_number(rest).ok_or_else(mistake)?;
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let number: f64 = number.parse().map_err(|_| mistake())?;
        if unit.is_empty() && first && tail.is_empty() {
            milliseconds = number * 1_000.0;
            break;
        }
        // Units must descend, so that `1m1h` and `5s5s` are caught as slips.
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(mistake)?;
        milliseconds += number * units[at].1;
        units = &units[at + 1..];
        rest = tail.trim_start();
        first = false;
    }
    // Whole microseconds: 0.1 s is not representable in binary, 100000 µs is.
    let micros = (milliseconds * 1_000.0).round();
    if micros > LONGEST.as_micros() as f64 {
        return Err(format!("{text:?} is too long: the longest is 8760h, a year"));
    }
    Ok(Duration::from_micros(micros as u64))
}

/// A duration of at least `least`.
pub(super) fn duration_from(least: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| match duration(text)? {
        value if value < least => Err(format!("{text:?} is too short: the shortest is {least:?}")),
        value => Ok(value),
    }
}

/// What `parse` takes, or `none`.
pub(super) fn or_none<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| match text {
        "none" => Ok(None),
        _ => parse(text).map(Some).map_err(|error| format!("{error}, or none")),
    }
}

/// A size in bytes within `range`.
pub(super) fn size_in(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let ByteSize(bytes) = text.parse()?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        let (least, most) = (ByteSize(*range.start()), ByteSize(*range.end()));
        Err(format!("{text:?} is out of range: write a size from {least} to {most}"))
    }
}

/// Like [`size_in`], for what is held in memory.
pub(super) fn length_in(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<usize, String> {
    let size = size_in(range);
    move |text| size(text).and_then(|bytes| usize::try_from(bytes).map_err(|error| error.to_string()))
}

/// A whole number within `range`; `what` says of what, in the plural.
pub(super) fn number_in(
    what: &'static str,
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> {
    move |text| {
        // Digits only: `u32::from_str` takes a plus sign as well.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|value| digits && range.contains(value));
        value.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            format!("{text:?} is not a number of {what}: write a whole number from {least} to {most}")
        })
    }
}

/// A file mode creation mask: octal, as for `umask(1)`.
pub(super) fn umask(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let value = u32::from_str_radix(digits, 8).ok().filter(|mask| octal && *mask <= 0o777);
    value.ok_or_else(|| format!("{text:?} is not a mask: write octal digits from 0 to 777, such as 027"))
}

/// Yes or no.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, millis) in [
            ("30", 30_000),
            ("0.5", 500),
            ("0.1", 100),
            (".25s", 250),
            ("500ms", 500),
            ("30s", 30_000),
            (" 5m ", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2h", 7_200_000),
            ("1m1s1ms", 61_001),
            ("0", 0),
            ("8760h", 8760 * 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_so() {
        for text in [
            "", " ", "-1", "-1s", "NaN", "inf", "1e3", "s", "1x", "1d", "1S", "1.2.3", ".", "1m1h", "5s5s",
            "1m30", "30 30", "+5", "1h,30m", "٣s", "1hm", "0x10",
        ] {
            let message = duration(text).expect_err(text);
            assert!(message.contains("500ms") && message.contains("1h30m"), "{text}: {message}");
        }
        for text in ["8761h", "99999999999999999999999", &"9".repeat(400)] {
            assert!(duration(text).expect_err(text).contains("8760h"), "{text}");
        }
        assert!(duration_from(Duration::from_secs(1))("999ms").unwrap_err().contains("1s"));
        assert_eq!(duration_from(Duration::from_secs(1))("1"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn sizes_are_binary_with_i_and_decimal_with_b() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64k", 65536),
            ("64KiB", 65536),
            ("64 kib", 65536),
            ("64KB", 64_000),
            ("256MiB", 256 << 20),
            ("1GB", 1_000_000_000),
            ("4G", 4 << 30),
            ("7B", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in
            ["", "B", "-1", "1.5MiB", "1 MiB B", "1MIBB", "0x10", "1e3", "k64", "+1", "18446744073709551616"]
        {
            assert!(text.parse::<ByteSize>().unwrap_err().contains("256MiB"), "{text}");
        }
        assert!("16777216TiB".parse::<ByteSize>().unwrap_err().contains("64-bit"));
    }

    #[test]
    fn a_shown_size_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1025, 1000, 1_000_000, 3 << 19, 1 << 30, 5 << 40, u64::MAX, 1 << 63] {
            let shown = ByteSize(bytes).to_string();
            assert_eq!(shown.parse(), Ok(ByteSize(bytes)), "{shown}");
        }
        assert_eq!(ByteSize(256 << 20).to_string(), "256MiB");
        assert_eq!(ByteSize(3 << 19).to_string(), "1536KiB");
    }

    #[test]
    fn ranges_hold_at_both_ends() {
        let workers = number_in("workers", 1..=512);
        assert_eq!((workers("1"), workers("512")), (Ok(1), Ok(512)));
        for text in ["0", "513", "", "+4", "-1", "4.0", "four", " 4", "99999999999"] {
            let message = workers(text).expect_err(text);
            assert!(
                message.ends_with("is not a number of workers: write a whole number from 1 to 512"),
                "{message}"
            );
        }
        let memory = size_in(1 << 20..=4 << 30);
        assert_eq!((memory("1MiB"), memory("4GiB")), (Ok(1 << 20), Ok(4 << 30)));
        assert!(memory("1048575").unwrap_err().contains("from 1MiB to 4GiB"));
        assert!(memory("4294967297").is_err());
    }

    #[test]
    fn masks_are_octal() {
        assert_eq!((umask("027"), umask("0o22"), umask("0")), (Ok(0o27), Ok(0o22), Ok(0)));
        for text in ["", "0o", "8", "1000", "-1", "+7", "0x1f", "u=rwx", "77777777777777777777"] {
            assert!(umask(text).is_err(), "{text}");
        }
    }
}
