//! The effective configuration as a file that says the same.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::layer::{Entry, Specified};
use super::options::{Group, OptionSpec, Place, Takes};
use super::values::flag;

/// What counts of all that was said, as TOML: an option a line, each with
/// where it comes from. What nobody said and has no default is commented out.
#[must_use]
pub fn to_toml(said: &Specified) -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let lines: Vec<String> = group
            .options()
            .filter(|spec| spec.place == Place::Anywhere)
            .map(|spec| line(spec, said))
            .collect();
        if !lines.is_empty() {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}# {}\n{}\n", group.title(), lines.join("\n")));
        }
    }
    text
}

fn line(spec: &OptionSpec, said: &Specified) -> String {
    let name = spec.name;
    match said.entry(name) {
        None => {
            let example = quoted(spec.value);
            let example = if matches!(spec.takes, Takes::Many(_)) { format!("[{example}]") } else { example };
            format!("# {name} = {example}")
        }
        Some(_) if name == "env" => {
            let (values, sources) = merged(said);
            format!("{name} = {}  # {}", array(&values), sources.join(", "))
        }
        Some(entry) => format!("{name} = {}  # {}", value(spec, entry), entry.source.shown(name)),
    }
}

/// Every variable once, and all who said some.
fn merged(said: &Specified) -> (Vec<String>, Vec<String>) {
    let mut variables = BTreeMap::new();
    let mut sources = Vec::new();
    for entry in said.entries("env") {
        sources.push(entry.source.shown("env"));
        for pair in &entry.values {
            let name = pair.split('=').next().unwrap_or(pair);
            variables.insert(name.to_owned(), pair.clone());
        }
    }
    (variables.into_values().collect(), sources)
}

fn value(spec: &OptionSpec, entry: &Entry) -> String {
    let last = entry.values.last().map_or("", String::as_str);
    match spec.takes {
        Takes::Many(_) => array(&entry.values),
        Takes::Flag => flag(last).unwrap_or(false).to_string(),
        // Numbers of things as numbers; a user called 1000 stays a string.
        Takes::One if spec.value.starts_with(['N', 'S']) && is_plain_number(last) => last.to_owned(),
        Takes::One => quoted(last),
    }
}

/// Whether TOML would read and show the number just so.
fn is_plain_number(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|number| number.to_string() == text)
}

fn array(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A basic string, on one line whatever is in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Writing to a string cannot fail.
            _ if c.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
