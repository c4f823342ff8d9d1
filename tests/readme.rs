//! README.md says what the program does.

use std::path::{Path, PathBuf};

use wasgun::config::{Invocation, OptionSpec, option_table_markdown};

const BEGIN: &str = "<!-- options -->";
const END: &str = "<!-- /options -->";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn readme() -> String {
    std::fs::read_to_string(path()).expect("README.md is there")
}

/// What is before, between and after the markers.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    Some((before, table, after))
}

#[test]
fn the_table_of_options_is_the_programs() {
    let text = readme();
    let (before, table, after) = parts(&text).expect("README.md has both markers");
    let wanted = option_table_markdown();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path(), format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", wanted.trim())).unwrap();
    } else {
        let differs = table.trim().lines().zip(wanted.trim().lines()).find(|(old, new)| old != new);
        let write = "this writes it: UPDATE_README=1 cargo test --test readme";
        assert!(table.trim() == wanted.trim(), "the table is old, first at {differs:?}; {write}");
    }
}

/// Pieces of code in a text: spans between backticks, and lines of code blocks.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut fenced, mut prose) = (false, String::new());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            let command = line.trim().trim_start_matches("$ ");
            found.push(command.split(" #").next().unwrap_or(command).trim().to_owned());
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")));
    found
}

/// What is wrong with a command line, files that are not here aside.
fn mistakes(command: &str) -> Vec<String> {
    let invocation = Invocation {
        args: command.split_whitespace().map(Into::into).collect(),
        // What `wasgun ctl` finds where the server was told of it.
        env: vec![("WASGUN_CONTROL_SOCKET".into(), "control.sock".into())],
        cwd: std::env::temp_dir(),
    };
    let problems = invocation.resolve().err().map_or_else(Vec::new, |problems| problems.0);
    let absent =
        |message: &str| ["no such file", "no such directory"].iter().any(|text| message.contains(text));
    problems.into_iter().map(|problem| problem.to_string()).filter(|message| !absent(message)).collect()
}

/// The readme, and what else tells users what to type.
fn texts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = |dir: &str| std::fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().path());
    let guests = entries("guests").map(|guest| guest.join("README.md")).filter(|path| path.exists());
    std::iter::once(path()).chain(entries("docs")).chain(guests).collect()
}

#[test]
fn every_command_of_the_documentation_is_one_the_program_takes() {
    let mut count = 0;
    for path in texts() {
        let text = std::fs::read_to_string(&path).unwrap();
        for command in code(&text).into_iter().filter(|line| line.starts_with("wasgun ")) {
            let mistakes = mistakes(&command);
            assert!(mistakes.is_empty(), "{}: {command}: {mistakes:?}", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "only {count}");
}

/// Where a link leads that is in the repository; `None` for others.
fn local_link(from: &Path, link: &str) -> Option<PathBuf> {
    let target = link.split('#').next().unwrap_or_default();
    (!target.is_empty() && !target.contains("://")).then(|| from.parent().unwrap().join(target))
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut count = 0;
    for path in texts() {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if let Some(target) = local_link(&path, link) {
                assert!(target.exists(), "{}: {link}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 30, "only {count}");
}

#[test]
fn every_option_the_readme_names_exists() {
    let text = readme();
    let (before, _, after) = parts(&text).expect("README.md has both markers");
    let named: Vec<_> =
        code(&format!("{before}{after}")).into_iter().filter(|span| span.starts_with("--")).collect();
    assert!(named.len() > 3, "only {named:?}");
    for span in named {
        let name = span[2..].split([' ', '=']).next().unwrap();
        assert!(OptionSpec::named(name).is_some(), "there is no option --{name}");
    }
}

#[test]
fn mistakes_in_a_readme_would_be_found() {
    let text = "Run `wasgun app.wasm\n--workers 2` or:\n\n    $ wasgun --wrokers 3  # comment\n\n```sh\nwasgun x.wasm -w no\n```\n";
    let commands = code(text);
    assert_eq!(commands, ["wasgun --wrokers 3", "wasgun x.wasm -w no", "wasgun app.wasm --workers 2"]);
    let wrong: Vec<_> = commands.iter().map(|command| mistakes(command).len()).collect();
    assert_eq!(wrong, [1, 1, 0]);
}
