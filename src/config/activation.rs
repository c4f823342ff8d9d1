//! Sockets that a service manager opened before it started us
//! (`sd_listen_fds_with_names(3)`).

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::str::FromStr;

use super::layer;

/// The first descriptor that is handed over, `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;

/// The name of a descriptor that has none.
const UNNAMED: &str = "unknown";

/// A descriptor that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Activated {
    /// Its number.
    pub number: RawFd,
    /// What the socket unit calls it (`FileDescriptorName=`, `systemd.socket(5)`);
    /// several can have the same name.
    pub name: String,
}

/// What a service manager has handed to this process, by the environment that it
/// was started with. A master that takes over from another one has what that one
/// had, and a process id that nobody could know.
///
/// # Errors
/// See [`activated`].
pub(super) fn handed_over(env: &[(OsString, OsString)]) -> Result<Vec<Activated>, String> {
    let value = |name: &str| layer::lookup(env, name);
    let own = std::process::id();
    let text = own.to_string();
    let pid = if value(super::HANDOVER).is_some() { Some(OsStr::new(&text)) } else { value("LISTEN_PID") };
    activated(value("LISTEN_FDS"), pid, value("LISTEN_FDNAMES"), own)
}

/// The descriptors that the values of `LISTEN_FDS`, `LISTEN_PID` and
/// `LISTEN_FDNAMES` hand to the process `own_pid`, in their order. None, if they
/// are meant for another one: the variables are inherited by whoever we start,
/// and by us from whoever did not remove them.
///
/// Whether they are open, and what they are, is for the caller to see.
///
/// # Errors
/// A value that makes no sense, or as many names as there are no descriptors.
fn activated(
    listen_fds: Option<&OsStr>,
    listen_pid: Option<&OsStr>,
    listen_fdnames: Option<&OsStr>,
    own_pid: u32,
) -> Result<Vec<Activated>, String> {
    let (Some(count), Some(pid)) = (listen_fds, listen_pid) else { return Ok(Vec::new()) };
    if number::<u32>("LISTEN_PID", pid)? != own_pid {
        return Ok(Vec::new());
    }
    let count: u16 = number("LISTEN_FDS", count)?;
    let names = match listen_fdnames.filter(|names| !names.is_empty()) {
        Some(names) => named(names, count)?,
        None => vec![UNNAMED; count.into()],
    };
    Ok((FIRST..).zip(names).map(|(number, name)| Activated { number, name: name.to_owned() }).collect())
}

fn named(names: &OsStr, count: u16) -> Result<Vec<&str>, String> {
    let text = names
        .to_str()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()))
        .ok_or_else(|| format!("LISTEN_FDNAMES={names:?} is not in plain ASCII"))?;
    let names: Vec<_> = text.split(':').map(|name| if name.is_empty() { UNNAMED } else { name }).collect();
    if names.len() != usize::from(count) {
        return Err(format!("LISTEN_FDNAMES={text} has {} names where LISTEN_FDS={count}", names.len()));
    }
    Ok(names)
}

/// The value of an environment variable as a number in plain digits.
///
/// # Errors
/// Names the variable and its value.
pub fn number<T: FromStr>(variable: &str, value: &OsStr) -> Result<T, String> {
    value
        .to_str()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{variable}={} is not a number that makes sense", value.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    const OWN: u32 = 4711;

    fn read(fds: &str, pid: &str, names: Option<&str>) -> Result<Vec<(RawFd, String)>, String> {
        let all = activated(Some(fds.as_ref()), Some(pid.as_ref()), names.map(OsStr::new), OWN)?;
        Ok(all.into_iter().map(|one| (one.number, one.name)).collect())
    }

    fn pairs(expected: &[(RawFd, &str)]) -> Result<Vec<(RawFd, String)>, String> {
        Ok(expected.iter().map(|(number, name)| (*number, (*name).to_owned())).collect())
    }

    #[test]
    fn descriptors_are_counted_from_three_and_named() {
        assert_eq!(read("2", "4711", Some("http:admin")), pairs(&[(3, "http"), (4, "admin")]));
        assert_eq!(read("2", "4711", None), pairs(&[(3, "unknown"), (4, "unknown")]));
        assert_eq!(read("2", "4711", Some("")), pairs(&[(3, "unknown"), (4, "unknown")]));
        assert_eq!(read("3", "4711", Some("a::a")), pairs(&[(3, "a"), (4, "unknown"), (5, "a")]));
        assert_eq!(read("1", "4711", Some("my app.socket")), pairs(&[(3, "my app.socket")]));
        assert_eq!(read("0", "4711", None), pairs(&[]));
        assert_eq!(read("0", "4711", Some("")), pairs(&[]));
    }

    #[test]
    fn what_is_meant_for_somebody_else_is_not_even_read() {
        assert_eq!(read("2", "4712", Some("http:admin")), pairs(&[]));
        assert_eq!(read("many", "1", Some("a:b:c")), pairs(&[]));
        assert_eq!(activated(None, Some("4711".as_ref()), None, OWN), Ok(vec![]));
        assert_eq!(activated(Some("1".as_ref()), None, None, OWN), Ok(vec![]));
        assert_eq!(activated(None, None, Some("a".as_ref()), OWN), Ok(vec![]));
    }

    #[test]
    fn values_without_sense_are_named() {
        for bad in ["", "many", "-1", "+1", " 1", "1 ", "1.0", "0x1", "65536", "99999999999999999999"] {
            let error = read(bad, "4711", None).unwrap_err();
            assert!(error.starts_with(&format!("LISTEN_FDS={bad} ")), "{error}");
        }
        for bad in ["", "me", "-4711", "+4711", "4711 ", "4294967296"] {
            let error = read("1", bad, None).unwrap_err();
            assert!(error.starts_with(&format!("LISTEN_PID={bad} ")), "{error}");
        }
    }

    #[test]
    fn names_and_descriptors_come_in_equal_number() {
        let wrong = [("1", "a:b", 2), ("3", "a:b", 2), ("0", "a", 1), ("1", ":", 2)];
        for (fds, names, count) in wrong {
            let error = read(fds, "4711", Some(names)).unwrap_err();
            assert_eq!(error, format!("LISTEN_FDNAMES={names} has {count} names where LISTEN_FDS={fds}"));
        }
        for bad in [&b"\xff"[..], b"a\nb", "é".as_bytes()] {
            let names = Some(OsStr::from_bytes(bad));
            let error = activated(Some("1".as_ref()), Some("4711".as_ref()), names, OWN).unwrap_err();
            assert!(error.starts_with("LISTEN_FDNAMES=") && error.ends_with("plain ASCII"), "{error}");
        }
    }
}
