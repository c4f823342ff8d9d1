//! What a service manager that speaks systemd's protocols wants to hear.
//!
//! The environment is an argument throughout; nobody here reads it.

mod notify;

use std::ffi::OsStr;
use std::str::FromStr;

pub use notify::Notifier;

/// A variable's value as a number in plain digits.
fn number<T: FromStr>(variable: &str, value: &OsStr) -> Result<T, String> {
    value
        .to_str()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{variable}={} is not a number that makes sense", value.display()))
}
