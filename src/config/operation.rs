//! How the server is watched and steered while it runs.

use std::path::{Path, PathBuf};

use super::reader::{Reader, path};
use super::values::flag;
use super::{BindAddr, ControlSocket, HealthConfig};

/// What `RUNTIME_DIRECTORY=` of a unit becomes, where it is said.
pub(super) const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// Where `wasgun ctl` and the server meet.
pub(super) fn control_socket(reader: &mut Reader) -> Option<ControlSocket> {
    let base = reader.base();
    let is_wanted =
        reader.said.entry("control-socket").is_some_and(|entry| entry.source.shown("") != RUNTIME_DIRECTORY);
    let socket = reader.optional("control-socket", |text| match text {
        "none" => Ok(None),
        _ => match BindAddr::Unix(path(text)?.to_owned()).below(&base)? {
            BindAddr::Unix(path) => Ok(Some(ControlSocket { path, is_wanted })),
            _ => Ok(None),
        },
    });
    socket.flatten()
}

/// Where the server says how it is, without the app.
pub(super) fn health(reader: &mut Reader) -> HealthConfig {
    let base = reader.base();
    let taken: Vec<BindAddr> = reader.said.entry("bind").map_or_else(Vec::new, |entry| {
        entry.values.iter().filter_map(|text| text.parse::<BindAddr>().ok()?.below(&base).ok()).collect()
    });
    HealthConfig {
        bind: reader.optional("health-bind", |text| match text.parse::<BindAddr>()?.below(&base)? {
            address if taken.contains(&address) && !address.is_any_port() => {
                Err(format!("{address} is among --bind already; --health-path-prefix answers there"))
            }
            address => Ok(address),
        }),
        prefix: reader.optional("health-path-prefix", |text| {
            let prefix = text.strip_suffix('/').unwrap_or(text);
            let is_path = prefix.len() > 1
                && prefix.starts_with('/')
                && prefix.bytes().all(|b| b.is_ascii_graphic() && !b"?#%".contains(&b));
            if is_path {
                Ok(prefix.to_owned())
            } else {
                Err(format!("{text:?} is no start of a path: write such as /-/"))
            }
        }),
    }
}

/// What is watched beside the component, if it is to be watched at all.
pub(super) fn reload(reader: &mut Reader) -> Option<Vec<PathBuf>> {
    let base = reader.base();
    let is_on = reader.one("reload", flag);
    let extra = reader.many("reload-extra", |text| match base.join(path(text)?) {
        path if path.exists() => Ok(path),
        path => Err(format!("{}: there is no such file or directory", path.display())),
    });
    if !extra.is_empty() && !is_on {
        reader.wrong("reload-extra", "means nothing without --reload");
    }
    if is_on
        && reader
            .said
            .entry("demo")
            .is_some_and(|entry| entry.values.last().is_some_and(|on| flag(on) == Ok(true)))
    {
        reader.wrong("reload", "the demo is part of this program, and does not change");
    }
    is_on.then_some(extra)
}

/// The first of the directories that a service manager has made.
pub(super) fn socket_in(directories: &str) -> String {
    let first = directories.split(':').next().unwrap_or_default();
    Path::new(first).join("control.sock").display().to_string()
}
