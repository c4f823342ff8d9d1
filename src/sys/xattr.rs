//! Extended attributes of files.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

/// An attribute of a file (`getxattr(2)`), of 64 bytes at most.
///
/// # Errors
/// There is none of that name, or it is longer.
pub fn get(path: &Path, name: &CStr) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut value = [0; 64];
    // SAFETY: both names end with a zero byte, and the kernel writes no more than the length
    // that it is told, which is that of `value`.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    Ok(value[..Errno::result(length)? as usize].to_vec())
}
