//! System calls that no library offers, for tests.

use std::io;

use nix::libc::{c_long, syscall};

/// Makes one.
///
/// # Errors
/// As the kernel says.
pub fn call(number: c_long, arguments: [c_long; 5]) -> io::Result<c_long> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: tests make only calls that are refused, or that work on numbers alone.
    match unsafe { syscall(number, a, b, c, d, e) } {
        -1 => Err(io::Error::last_os_error()),
        done => Ok(done),
    }
}
