//! The TOML file.

use std::path::Path;

use toml::{Table, Value};

use super::layer::{Entry, Layer, Source};
use super::options::{OPTIONS, OptionSpec, Place, Takes};
use super::resolve::Problem;

/// What the text of the file at `path` says.
pub(super) fn layer(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let source = Source::File(path.to_owned());
    let mut layer = Layer::new();
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            problems.push(Problem::new("", source, syntax(text, &error)));
            return layer;
        }
    };
    for (key, value) in &table {
        match known(key).and_then(|spec| values(spec, value).map(|values| (spec, values))) {
            Ok((spec, values)) => {
                layer.insert(spec.name, Entry { values, source: source.clone() });
            }
            Err(message) => problems.push(Problem::new(key, source.clone(), message)),
        }
    }
    layer
}

fn syntax(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    format!("line {line}, column {column}: {message}")
}

fn known(key: &str) -> Result<&'static OptionSpec, String> {
    match OptionSpec::named(key) {
        Some(spec) if spec.place == Place::Anywhere => Ok(spec),
        Some(spec) if spec.place == Place::NotInFile => Err("cannot be said in the file itself".into()),
        Some(_) => Err("can be said on the command line alone".into()),
        None => Err(match nearest(key) {
            Some(name) => format!("no such option: did you mean {name}?"),
            None => "no such option: wasgun --help lists them".into(),
        }),
    }
}

/// The option whose name takes the fewest slips to become `key`.
fn nearest(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('_', "-");
    let names = OPTIONS.iter().filter(|spec| spec.place == Place::Anywhere).map(|spec| spec.name);
    let (slips, name) =
        names.map(|name| (edit_distance(&key, name), name)).min_by_key(|(slips, _)| *slips)?;
    (slips <= 1 + name.len() / 4).then_some(name)
}

/// Characters to insert, drop or replace, after Levenshtein.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, a) in from.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (at, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

fn values(spec: &OptionSpec, value: &Value) -> Result<Vec<String>, String> {
    match (spec.takes, value) {
        (Takes::Flag, Value::Boolean(_) | Value::Integer(_)) => Ok(vec![value.to_string()]),
        (Takes::Flag, Value::String(text)) => Ok(vec![text.clone()]),
        (Takes::Flag, _) => Err("write true or false".into()),
        // 0o027 and 27 are the same kind of number by the time they get here.
        (_, Value::Integer(_)) if spec.name == "umask" => {
            Err("write the mask as a string, such as \"027\"".into())
        }
        (Takes::Many(_), Value::Array(items)) => items.iter().map(scalar).collect(),
        (Takes::Many(_), Value::Table(table)) if spec.name == "env" => table.iter().map(variable).collect(),
        (_, Value::Array(_)) => Err("takes a single value, not an array".into()),
        _ => Ok(vec![scalar(value)?]),
    }
}

fn variable((name, value): (&String, &Value)) -> Result<String, String> {
    if name.is_empty() || name.contains('=') {
        return Err(format!("{name:?} is not the name of a variable"));
    }
    match value {
        Value::Boolean(value) => Ok(format!("{name}={value}")),
        _ => scalar(value).map(|value| format!("{name}={value}")).map_err(|error| format!("{name}: {error}")),
    }
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        other => Err(format!("write a string or a number in place of this {}", other.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Layer, Vec<String>) {
        let mut problems = Vec::new();
        let layer = layer(Path::new("./wasgun.toml"), text, &mut problems);
        (layer, problems.iter().map(ToString::to_string).collect())
    }

    fn said(text: &str, name: &str) -> Vec<String> {
        let (layer, problems) = read(text);
        assert_eq!(problems, Vec::<String>::new(), "{text}");
        layer[name].values.clone()
    }

    #[test]
    fn every_kind_of_value_is_the_string_the_command_line_would_have() {
        assert_eq!(said("workers = 4", "workers"), ["4"]);
        assert_eq!(said("workers = 'auto'", "workers"), ["auto"]);
        assert_eq!(said("keep-alive = 0.5", "keep-alive"), ["0.5"]);
        assert_eq!(said("demo = true", "demo"), ["true"]);
        assert_eq!(said("demo = 0", "demo"), ["0"]);
        assert_eq!(said("bind = ':80'", "bind"), [":80"]);
        assert_eq!(said("bind = [':80', 'fd://3']", "bind"), [":80", "fd://3"]);
        assert_eq!(said("arg = ['a,b', 3]", "arg"), ["a,b", "3"]);
        assert_eq!(said("[env]\nA = 'x=y'\nB = 2\nC = true", "env"), ["A=x=y", "B=2", "C=true"]);
        assert_eq!(said("env = ['A=1']", "env"), ["A=1"]);
        assert_eq!(said("allow-outbound = []", "allow-outbound"), Vec::<String>::new());
    }

    #[test]
    fn unknown_and_misplaced_keys_are_named() {
        for (text, hint) in [
            ("workres = 4", "workres (from ./wasgun.toml): no such option: did you mean workers?"),
            ("request_timeout = '3s'", "did you mean request-timeout?"),
            ("Bind = ':80'", "did you mean bind?"),
            ("xyzzy = 4", "--help lists them"),
            ("config = 'x'", "in the file itself"),
            ("print-config = true", "command line alone"),
            ("workers = [1]", "single value"),
            ("workers = true", "of this boolean"),
            ("demo = []", "true or false"),
            ("umask = 0o27", "as a string"),
            ("bind = [['x']]", "of this array"),
            ("workers = 1979-05-27", "of this datetime"),
            ("[env]\nA = []", "A: write a string"),
            ("[env]\n'A=B' = 'c'", "\"A=B\" is not the name"),
            ("[workers]\nx = 1", "of this table"),
            ("bind = ':80'\nworkers = = 4", "./wasgun.toml: line 2, column 11: "),
            ("workers = 1\nworkers = 2", "line 2"),
        ] {
            let (_, problems) = read(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(hint), "{text}: {problems:?}");
        }
        assert_eq!(read("a = 1\nworkers = 3\nb = 2").1.len(), 2);
    }

    #[test]
    fn slips_are_counted() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("workers", "workers"), 0);
        assert_eq!(edit_distance("workres", "workers"), 2);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
