//! Words on the command line, in the environment and in the file.

use std::path::Path;

use super::support::{Finished, file, run, wasgun};
use super::{IN_CONFIGURATION, assert_ended};

/// Checks these words in `dir`, with a configuration file of this content if
/// there is any, and with these variables.
#[track_caller]
fn check(dir: &Path, config: &str, variables: &[(&str, &str)], args: &[&str]) -> Finished {
    let mut command = wasgun();
    command.current_dir(dir).args(args).arg("--check-config").envs(variables.iter().copied());
    if !config.is_empty() {
        command.arg("-c").arg(file(dir, "test.toml", config.as_bytes()));
    }
    run(command)
}

#[test]
fn what_holds_is_said_to_hold() {
    let dir = tempfile::tempdir().unwrap();
    let config = "workers = 3\nbind = [\"127.0.0.1:0\", \"unix:app.sock\"]\n[env]\nA = 1\n";
    let finished = check(dir.path(), config, &[("WASGUN_KEEP_ALIVE", "5s")], &["--demo"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stdout.contains("holds") && finished.stderr.is_empty(),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    assert!(!dir.path().join("app.sock").exists(), "nothing is bound");
}

#[test]
fn every_mistake_is_reported_with_its_option_and_where_it_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let config = "request-timeout = \"soon\"\nlimit-request-fields = 0\nmemory-limit = true\n";
    let variables = [("WASGUN_KEEP_ALIVE", "banana"), ("WASGUN_MAX_CONCURRENCY", "-1")];
    let args =
        ["missing.wasm", "--workers", "none", "--bind", "nowhere", "--env", "=x", "--dir", "/nowhere::/data"];
    let finished = check(dir.path(), config, &variables, &args);
    let file = format!("{}", dir.path().join("test.toml").display());
    assert_ended(&finished, IN_CONFIGURATION, &[]);
    for (option, source, value) in [
        ("APP", "", "missing.wasm"),
        ("--workers", "", "\"none\""),
        ("--bind", "", "nowhere"),
        ("--env", "", "NAME=VALUE"),
        ("--dir", "", "/nowhere"),
        ("--keep-alive", "WASGUN_KEEP_ALIVE", "\"banana\""),
        ("--max-concurrency", "WASGUN_MAX_CONCURRENCY", "\"-1\""),
        ("request-timeout", &*file, "\"soon\""),
        ("limit-request-fields", &*file, "\"0\""),
        ("memory-limit", &*file, ""),
    ] {
        let line = finished.stderr.lines().find(|line| line.trim_start().starts_with(option));
        let line = line.unwrap_or_else(|| panic!("nothing about {option}:\n{}", finished.stderr));
        assert!(line.contains(source) && line.contains(value), "{option} from {source}: {line}");
    }
    // One line each, under one that counts them.
    assert!(finished.stderr.starts_with("wasgun: 10 mistakes"), "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 11, "{}", finished.stderr);
}

#[test]
fn the_command_line_counts_more_than_the_environment_and_that_more_than_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        file(dir.path(), "test.toml", b"demo = true\nkeep-alive = \"1s\"\nbacklog = 11\nworkers = 1\n");
    let mut command = wasgun();
    command.env("WASGUN_KEEP_ALIVE", "2s").env("WASGUN_BACKLOG", "22").env("WEB_CONCURRENCY", "7");
    command.args(["--keep-alive", "3s", "--print-config", "-c"]).arg(&config);
    let finished = run(command);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let lines: Vec<_> = finished.stdout.lines().collect();
    for line in [
        "keep-alive = \"3s\"  # --keep-alive",
        "backlog = 22  # WASGUN_BACKLOG",
        &format!("workers = 1  # {}", config.display()),
        "header-timeout = \"10s\"  # default",
    ] {
        assert!(lines.contains(&line), "no {line}:\n{}", finished.stdout);
    }
}

#[test]
fn a_printed_configuration_is_a_file_that_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let values_of = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value));
        lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let app = file(dir.path(), "app.wasm", b"not looked into");
    let mount = format!("{}::/data:ro", dir.path().display());
    let mut command = wasgun();
    command.current_dir(dir.path()).arg(&app).arg("--print-config").args(["--dir", &mount]);
    command.args(["-w", "3", "-b", "127.0.0.1:0", "-b", "unix:app.sock", "--memory-limit", "64MiB"]);
    command.args(["--env", "A=1", "--env", "B=\"x\" \\ \t\u{fc}", "--arg", "--one", "--arg", "two words"]);
    command.args(["--allow-outbound", "*.example.com:443,10.0.0.0/8", "--umask", "027", "--user", "1000"]);
    command.args(["--access-log", "-", "--limit-request-body", "1MiB", "--request-timeout", "1m30s"]);
    let first = run(command);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(
        first.stdout.contains("--umask") && first.stdout.contains("WASGUN_CACHE_DIR"),
        "{}",
        first.stdout
    );

    let printed = file(dir.path(), "printed.toml", first.stdout.as_bytes());
    let again = |option: &str| {
        let mut command = wasgun();
        command.env_remove("WASGUN_CACHE_DIR").current_dir(dir.path()).arg(option).arg("-c").arg(&printed);
        run(command)
    };
    let second = again("--print-config");
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert_eq!(values_of(&second.stdout), values_of(&first.stdout));
    assert!(values_of(&first.stdout).len() > 30, "{}", first.stdout);
    let checked = again("--check-config");
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
}

#[test]
fn an_option_that_does_not_exist_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_ended(
        &check(dir.path(), "", &[], &["--demo", "--wrokers", "3"]),
        IN_CONFIGURATION,
        &["--wrokers", "--workers"],
    );
    assert_ended(
        &check(dir.path(), "", &[], &["--demo", "one-too-many"]),
        IN_CONFIGURATION,
        &["--demo", "one of them"],
    );
    assert_ended(&check(dir.path(), "", &[], &["a.wasm", "b.wasm"]), IN_CONFIGURATION, &["b.wasm"]);
    assert_ended(&check(dir.path(), "", &[], &["--demo", "--workers"]), IN_CONFIGURATION, &["--workers"]);
}

#[test]
fn a_key_of_the_file_that_is_no_option_is_named_with_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!("{}", dir.path().join("test.toml").display());
    for (config, texts) in [
        ("wrokers = 3", ["wrokers", "did you mean workers"]),
        ("max_concurrency = 3", ["max_concurrency", "did you mean max-concurrency"]),
        ("completely-else = 3", ["completely-else", "no such option"]),
        ("check-config = true", ["check-config", "command line"]),
        ("workers = [1, 2]", ["workers", "single value"]),
        ("workers = \"3", ["line 1", ""]),
        ("demo = true\n= 3", ["line 2", ""]),
    ] {
        let finished = check(dir.path(), config, &[], &["--demo"]);
        assert_ended(&finished, IN_CONFIGURATION, &[&[&*path], &texts[..]].concat());
    }
}

#[test]
fn a_file_that_is_asked_for_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let finished = check(dir.path(), "", &[], &["--demo", "-c", "missing.toml"]);
    assert_ended(&finished, IN_CONFIGURATION, &["--config", "missing.toml", "no such file"]);
    let finished = check(dir.path(), "", &[], &["--demo", "--env-file", "missing.env"]);
    assert_ended(&finished, IN_CONFIGURATION, &["--env-file", "missing.env", "no such file"]);
    file(dir.path(), "bad.env", b"A=1\nnonsense\n");
    let finished = check(dir.path(), "", &[], &["--demo", "--env-file", "bad.env"]);
    assert_ended(&finished, IN_CONFIGURATION, &["--env-file", "bad.env", "line 2"]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (option, text) in [("--help", "--max-concurrency"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let mut command = wasgun();
        command.arg(option);
        let finished = run(command);
        assert_eq!(finished.code, Some(0));
        assert!(
            finished.stdout.contains(text) && finished.stderr.is_empty(),
            "{}{}",
            finished.stdout,
            finished.stderr
        );
    }
}
