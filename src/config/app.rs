//! The application: its component, and what the guest may see and reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Reader, path};
use super::resolve::Problem;
use super::values::{duration, duration_from, flag, number_in, or_none, size_in};
use super::{AppConfig, AppSource, DirAccess, DirMount, OutboundLimits, env_file};

/// Most requests of an instance; with the jitter's as many again it fits 32 bits.
const MOST_REQUESTS: u32 = 1_000_000_000;

/// The application the options describe.
pub(super) fn app(reader: &mut Reader) -> AppConfig {
    let source = source(reader);
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = source.path().map_or_else(|| "demo".to_owned(), stem);
    AppConfig {
        name,
        middleware: middleware(reader, &source),
        source,
        env: env(reader),
        args: reader.many("arg", argument),
        dirs: dirs(reader),
        allow_outbound: reader.list("allow-outbound", str::parse),
        outbound: OutboundLimits {
            connections: reader.one("outbound-connections", number_in("connections", 1..=65_536)) as usize,
            requests: reader.one("outbound-requests", number_in("requests", 1..=65_536)) as usize,
            rate: reader.one("outbound-rate", or_none(number_in("requests", 1..=1_000_000))),
        },
        request_timeout: reader.one("request-timeout", duration_from(Duration::from_millis(1))),
        post_return_timeout: reader.one("post-return-timeout", duration),
        cpu_limit: reader.one("cpu-limit", or_none(duration_from(Duration::from_millis(1)))),
        memory_limit: reader.one("memory-limit", size_in(1 << 20..=4 << 30)),
        output_limit: reader.one("limit-guest-output", size_in(0..=1 << 40)),
        instance_max_requests: reader.one("instance-max-requests", number_in("requests", 1..=MOST_REQUESTS)),
        instance_max_requests_jitter: reader
            .one("instance-max-requests-jitter", number_in("requests", 0..=MOST_REQUESTS)),
        instance_concurrency: reader.one("instance-concurrency", number_in("requests", 1..=1024)),
        health_path: reader.optional("health-path", |text| {
            let is_target = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
            if is_target {
                Ok(text.to_owned())
            } else {
                Err(format!("{text:?} is not a path: write such as /healthz"))
            }
        }),
    }
}

fn argument(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err(format!("{text:?} contains a NUL")) } else { Ok(text.to_owned()) }
}

fn source(reader: &mut Reader) -> AppSource {
    let demo = reader.one("demo", flag);
    let precompiled = reader.one("allow-precompiled", flag);
    let app = match (reader.said.entry("app"), demo) {
        (Some(_), false) => reader.path("app"),
        (None, true) => return AppSource::Demo,
        (Some(app), true) => {
            let app = app.source.shown("app");
            reader.wrong(
                "demo",
                format!("serves the embedded component, but {app} names another: say one of them"),
            );
            None
        }
        (None, false) => {
            reader.wrong(
                "app",
                "no component to serve: say which, as in `wasgun app.wasm`, or try `wasgun --demo`; `wasgun --help` \
                 shows the options",
            );
            None
        }
    };
    let Some(path) = app else { return AppSource::Demo };
    let trusted = is_compiled(&path);
    if trusted && !precompiled {
        reader.wrong(
            "app",
            format!(
                "{} is compiled: loading it runs its machine code unchecked, which --allow-precompiled permits if you \
                 trust where it comes from",
                path.display()
            ),
        );
    }
    // What cannot be looked up from a wrong directory is not worth a second message.
    if reader.base.is_some()
        && let Err(message) = readable(&path)
    {
        reader.wrong("app", message);
    }
    if trusted { AppSource::Precompiled(path) } else { AppSource::File(path) }
}

/// The components in front of the one at `source`.
pub(super) fn middleware(reader: &mut Reader, source: &AppSource) -> Vec<PathBuf> {
    let base = reader.base.clone();
    let paths = reader.many("middleware", |text| {
        let path = base.clone().unwrap_or_default().join(path(text)?);
        match is_compiled(&path) {
            true => Err(format!("{} is compiled: say the component that it was made of", path.display())),
            false if base.is_some() => readable(&path).map(|()| path),
            false => Ok(path),
        }
    });
    if let (AppSource::Precompiled(app), false) = (source, paths.is_empty()) {
        let app = app.display();
        reader.wrong(
            "middleware",
            format!("{app} is compiled, and nothing can be put in front of it any more: say it to `wasgun compile`"),
        );
    }
    paths
}

/// Whether a file's name says that it holds machine code.
fn is_compiled(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("cwasm"))
}

/// Whether `path` is a regular file that opens.
pub(super) fn readable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| format!("{shown}: {}", cause(&error)))?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a directory, not a file"));
    }
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    File::open(path).map(drop).map_err(|error| format!("{shown} cannot be read: {}", cause(&error)))
}

/// The text of a regular file: a pipe would hold up the server that reads it
/// again at a reload.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    readable(path)?;
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {}", path.display(), cause(&error)))
}

/// What went wrong, without the number of the error.
fn cause(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

/// The variables of the files, under those of `--env`.
fn env(reader: &mut Reader) -> Vec<(String, String)> {
    let mut variables = BTreeMap::new();
    let base = reader.base();
    for file in reader.many("env-file", |text| path(text).map(|path| base.join(path))) {
        let shown = file.display();
        match text_of(&file) {
            Ok(text) => {
                let (found, mistakes) = env_file::parse(&text);
                variables.extend(found);
                for (line, message) in mistakes {
                    reader.wrong("env-file", format!("{shown}, line {line}: {message}"));
                }
            }
            Err(_) if reader.base.is_none() => {}
            Err(message) => reader.wrong("env-file", message),
        }
    }
    let said = reader.said;
    for entry in said.entries("env") {
        for value in &entry.values {
            match env_file::pair(value) {
                Ok((name, value)) => drop(variables.insert(name, value)),
                Err(message) => reader.problems.push(Problem::new("env", entry.source.clone(), message)),
            }
        }
    }
    variables.into_iter().collect()
}

fn dirs(reader: &mut Reader) -> Vec<DirMount> {
    let base = reader.base.clone();
    let dirs = reader.many("dir", |text| dir(text, base.as_deref()));
    let mut guests = BTreeSet::new();
    for dir in &dirs {
        if !guests.insert(&dir.guest) {
            reader.wrong("dir", format!("two directories are {} to the guest", dir.guest));
        }
    }
    dirs
}

fn dir(text: &str, base: Option<&Path>) -> Result<DirMount, String> {
    let (rest, access) = match (text.strip_suffix(":ro"), text.strip_suffix(":rw")) {
        (Some(rest), _) => (rest, DirAccess::ReadOnly),
        (None, Some(rest)) => (rest, DirAccess::ReadWrite),
        (None, None) => (text, DirAccess::ReadOnly),
    };
    let (host, guest) = rest.split_once("::").unwrap_or((rest, rest));
    if !guest.starts_with('/') {
        return Err(format!("{text:?} does not say which absolute path the guest sees: write {host}::/PATH"));
    }
    let names: Vec<&str> = guest.split('/').filter(|name| !name.is_empty()).collect();
    if guest.contains('\0') || names.iter().any(|name| matches!(*name, "." | "..")) {
        return Err(format!("{text:?}: the guest's path must be plain, without . and .."));
    }
    let host = base.map_or_else(PathBuf::new, Path::to_owned).join(path(host)?);
    if base.is_some() {
        directory(&host)?;
    }
    Ok(DirMount { host, guest: format!("/{}", names.join("/")), access })
}

/// Whether `path` is a directory.
pub(super) fn directory(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{shown} is not a directory")),
        Err(error) => Err(format!("{shown}: {}", cause(&error).replace("file", "directory"))),
    }
}
