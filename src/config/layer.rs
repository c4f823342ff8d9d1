//! What was said: raw strings, and where each comes from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::activation::Activated;
use super::operation::{RUNTIME_DIRECTORY, socket_in};
use super::options::{OPTIONS, OptionSpec, Place, Takes};
use super::resolve::Problem;
use super::values::flag;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    CommandLine,
    /// The environment variable of this name.
    Environment(String),
    /// The configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

/// The values of one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The values, in order; one, but for options that take many.
    pub values: Vec<String>,
    /// Who said so.
    pub source: Source,
}

/// What one place says, by option.
pub(super) type Layer = BTreeMap<&'static str, Entry>;

/// What all places say.
#[derive(Debug, Clone, Default)]
pub struct Specified {
    /// The one that counts most first.
    layers: Vec<Layer>,
}

impl Specified {
    /// Of layers, the one that counts most first.
    pub(super) fn new(layers: Vec<Layer>) -> Self {
        Self { layers }
    }

    /// Two ways to say the same thing: where one is said, neither counts that is
    /// said in a place which counts less.
    pub(super) fn alternatives(mut self, names: [&str; 2]) -> Self {
        // What makes no sense stays, to be told.
        let says = |name: &str, entry: &Entry| {
            let is_flag = OptionSpec::named(name).is_some_and(|spec| spec.takes == Takes::Flag);
            !is_flag || entry.values.last().is_some_and(|value| flag(value) == Ok(true))
        };
        let is_said =
            |layer: &Layer| names.iter().any(|name| layer.get(name).is_some_and(|entry| says(name, entry)));
        if let Some(first) = self.layers.iter().position(is_said) {
            for layer in self.layers.iter_mut().skip(first + 1) {
                layer.retain(|name, entry| !names.contains(name) || !says(name, entry));
            }
        }
        self
    }

    /// What counts for the option called `name`.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.layers.iter().find_map(|layer| layer.get(name))
    }

    /// All that was said of the option called `name`, what counts least first.
    pub fn entries(&self, name: &str) -> impl Iterator<Item = &Entry> {
        self.layers.iter().rev().filter_map(move |layer| layer.get(name))
    }
}

/// What the `WASGUN_*` variables say. Others of that prefix are left alone:
/// orchestrators invent such names for a service that is called wasgun.
pub(super) fn environment(env: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new();
    for spec in OPTIONS {
        let variable = spec.variable();
        let Some(value) = lookup(env, &variable) else { continue };
        let source = Source::Environment(variable);
        let Some(value) = value.to_str() else {
            problems.push(Problem::new(spec.name, source, "the value is not UTF-8"));
            continue;
        };
        if spec.place == Place::CommandLine {
            problems.push(Problem::new(spec.name, source, "can be said on the command line alone"));
            continue;
        }
        layer.insert(spec.name, Entry { values: split(spec, value), source });
    }
    layer
}

/// What variables say that hosting platforms set: below the file, because
/// nobody set them for this server in particular. `handed` are the sockets that a
/// service manager has opened.
pub(super) fn platform(env: &[(OsString, OsString)], handed: &[Activated]) -> Layer {
    let mut layer = Layer::new();
    let mut say = |name, variable: &str, shape: fn(&str) -> String| {
        if let Some(value) = lookup(env, variable) {
            let values = vec![shape(&value.to_string_lossy())];
            layer.insert(name, Entry { values, source: Source::Environment(variable.to_owned()) });
        }
    };
    say("bind", "PORT", |port| format!("0.0.0.0:{port}"));
    say("workers", "WEB_CONCURRENCY", str::to_owned);
    say("control-socket", RUNTIME_DIRECTORY, socket_in);
    if !handed.is_empty() {
        let values = handed.iter().map(|socket| format!("fd://{}", socket.number)).collect();
        layer.insert("bind", Entry { values, source: Source::Environment("LISTEN_FDS".to_owned()) });
    }
    layer
}

/// What holds when nobody says anything.
pub(super) fn defaults() -> Layer {
    let said = OPTIONS.iter().filter_map(|spec| Some((spec, spec.default?)));
    said.map(|(spec, value)| (spec.name, Entry { values: split(spec, value), source: Source::Default }))
        .collect()
}

/// The last of that name, as a shell has it; an empty variable counts as
/// unset, since compose files and unit files cannot unset one.
pub(super) fn lookup<'a>(env: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let last = env.iter().rev().find(|(key, _)| key.as_os_str() == name);
    last.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
}

fn split(spec: &OptionSpec, value: &str) -> Vec<String> {
    match spec.takes {
        Takes::One | Takes::Flag => vec![value.to_owned()],
        Takes::Many(separator) => {
            value.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
    }
}

impl Source {
    /// For a comment: `--workers`, `WASGUN_WORKERS`, `./wasgun.toml`, `default`.
    #[must_use]
    pub fn shown(&self, option: &str) -> String {
        match self {
            Self::CommandLine => shown_option(option),
            Self::Environment(variable) => variable.clone(),
            Self::File(path) => one_line(path),
            Self::Default => "default".to_owned(),
        }
    }
}

/// An option as the command line has it, also if there is no such option.
pub(super) fn shown_option(name: &str) -> String {
    OptionSpec::named(name).map_or_else(|| format!("--{name}"), OptionSpec::shown)
}

/// A path without the line breaks that would end a comment or a message.
pub(super) fn one_line(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}
