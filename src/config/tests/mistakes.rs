//! What is wrong is said, all of it, and never by a panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::super::{Command, Invocation, OPTIONS, Place, Takes};
use super::Scene;

#[test]
fn every_mistake_is_told_at_once() {
    let scene = Scene::new()
        .env("WASGUN_WORKERS", "four")
        .env("WASGUN_DEMO", "maybe")
        .env("WASGUN_PRINT_CONFIG", "1")
        .env("PORT", "http")
        .file("wasgun.toml", "workres = 1\nlog-level = 'loud'\nbacklog = 0\n[env]\n'A B' = 1")
        .file("x.env", "A=1\nnot this");
    let told = scene.wrong(&["nowhere.wasm", "--env-file=x.env", "--dir=app.wasm::/x", "--keep-alive=soon"]);
    let mut expected = [
        "--workers (from WASGUN_WORKERS): \"four\" is not a number of workers: write a whole number from 1 to 512, a range such as 2..8, or auto",
        "--demo (from WASGUN_DEMO): \"maybe\" is neither true nor false",
        "--print-config (from WASGUN_PRINT_CONFIG): can be said on the command line alone",
        "--bind (from PORT): \"0.0.0.0:http\" has a bad port: write a number from 0 to 65535 after the colon",
        "workres (from ./wasgun.toml): no such option: did you mean workers?",
        "log-level (from ./wasgun.toml): \"loud\" is not a level: write error, warn, info, debug or trace",
        "backlog (from ./wasgun.toml): \"0\" is not a number of connections: write a whole number from 1 to 65535",
        "env (from ./wasgun.toml): \"A B\" is not the name of a variable: write NAME=VALUE",
        "APP: nowhere.wasm: no such file",
        "--env-file: x.env, line 2: \"not this\" is not a variable: write NAME=VALUE",
        "--dir: app.wasm is not a directory",
        "--keep-alive: \"soon\" is not a duration: write seconds or a unit, such as 30, 0.5, 500ms, 30s, 5m, 1h30m",
    ];
    let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn one_bad_value_is_one_problem() {
    let scene = Scene::new().file("dir/x", "").file("old.cwasm", "").file("words", "keep me");
    for (args, hint) in [
        (&["--request-timeout=0"][..], "--request-timeout: \"0\" is too short: the shortest is 1ms"),
        (&["--header-timeout", "0s"], "too short"),
        (&["--worker-timeout", "999ms"], "the shortest is 1s"),
        (&["--compile-timeout", "0.5"], "the shortest is 1s"),
        (&["--max-concurrency", "4097"], "from 1 to 4096"),
        (&["--workers", "0"], "from 1 to 512"),
        (&["--memory-limit", "5GiB"], "from 1MiB to 4GiB"),
        (&["--memory-limit", "1023KiB"], "from 1MiB to 4GiB"),
        (&["--limit-request-body", "lots"], ", or none"),
        (&["--instance-max-requests", "0"], "from 1 to"),
        (&["--umask", "8"], "octal"),
        (&["--user", ""], "empty name"),
        (&["--user", "no-such-user"], "--user: there is no user \"no-such-user\""),
        (&["--group", "no-such-group"], "--group: there is no group \"no-such-group\""),
        (&["--pid", "old.cwasm/x"], "old.cwasm is not a directory"),
        (&["--pid", "words"], "words holds something else than a process id"),
        (&["--pid", "/dev/null"], "/dev/null is not a regular file"),
        (&["--pid", "dir"], "dir is a directory, not a file to write"),
        (&["--access-log", "nowhere/log"], "--access-log: nowhere: no such directory"),
        (&["--bind", "fd://7777"], "fd://7777: nothing is open there"),
        (&["--pid", ""], "empty path"),
        (&["--log-format", "xml"], "text or json"),
        (&["--bind", ":80", "--bind", "0.0.0.0:80"], "0.0.0.0:80 is there twice"),
        (&["--bind", "unix:a", "--bind", "unix:./a"], "twice"),
        (&["--forwarded-allow-ips", "10.0.0.0/8,proxy"], "\"proxy\" is not an address"),
        (&["--allow-outbound", "a.example,http://b"], "leave out http://"),
        (&["--env", "A"], "write NAME=VALUE"),
        (&["--env", "=1"], "write NAME=VALUE"),
        (&["--env-file", "none.env"], "--env-file: none.env: no such file"),
        (&["--dir", "dir"], "write dir::/PATH"),
        (&["--dir", "dir::data"], "write dir::/PATH"),
        (&["--dir", "dir::/a/../b"], "without . and .."),
        (&["--dir", "nodir::/a"], "nodir: no such directory"),
        (&["--dir", "dir::/a", "--dir", "dir::/a/"], "two directories are /a to the guest"),
        (&["--demo"], "APP names another"),
        (&["--config", "none.toml"], "--config: none.toml: no such file"),
        (&["--chdir", "nowhere"], "--chdir: nowhere: no such directory"),
    ] {
        let args: Vec<&str> = std::iter::once("app.wasm").chain(args.iter().copied()).collect();
        let told = scene.wrong(&args);
        assert!(told.len() == 1 && told[0].contains(hint), "{args:?}: {told:?}");
    }
    for (app, hint) in [
        ("none.wasm", "APP: none.wasm: no such file"),
        ("dir", "APP: dir is a directory, not a file"),
        ("/dev/null", "APP: /dev/null is not a regular file"),
        ("old.cwasm", "APP: old.cwasm is compiled: loading it runs its machine code"),
        ("", "APP: an empty path"),
    ] {
        let told = scene.wrong(&[app]);
        assert!(told.len() == 1 && told[0].starts_with(hint), "{app}: {told:?}");
    }
    assert!(scene.wrong(&[])[0].contains("wasgun app.wasm"));
}

#[test]
fn every_option_is_read_from_everywhere_it_may_be_said() {
    for spec in OPTIONS.iter().filter(|spec| spec.place == Place::Anywhere) {
        // No option takes a NUL, so that a mistake shows that it was read.
        let (shown, app) = (spec.shown(), if spec.is_positional() { "" } else { "app.wasm" });
        let args: Vec<&str> = [app].into_iter().filter(|app| !app.is_empty()).collect();
        let first =
            |told: Vec<String>| (told.len(), told[0].split(": ").next().unwrap_or_default().to_owned());
        let told = first(Scene::new().env(&spec.variable(), "\0").wrong(&args));
        assert_eq!(told, (1, format!("{shown} (from {})", spec.variable())));
        let told =
            first(Scene::new().file("wasgun.toml", &format!("{} = \"\\u0000\"", spec.name)).wrong(&args));
        assert_eq!(told, (1, format!("{} (from ./wasgun.toml)", spec.name)));
        if spec.takes != Takes::Flag {
            let said = if spec.is_positional() { vec!["\0"] } else { vec!["app.wasm", &shown, "\0"] };
            assert_eq!(first(Scene::new().wrong(&said)), (1, shown.clone()));
        }
    }
}

#[test]
fn clap_has_its_say_and_help_is_no_mistake() {
    let told = Scene::new().wrong(&["app.wasm", "--wrokers", "4"]).join("\n");
    assert!(told.starts_with("unexpected argument '--wrokers'") && told.contains("'--workers'"), "{told}");
    for args in [["--help"], ["-h"]] {
        let Ok(Command::Message(help)) = Scene::new().run(&args) else { panic!("no help") };
        for spec in OPTIONS {
            assert!(help.contains(&spec.shown()), "{} is not in the help", spec.name);
        }
        assert!(help.contains("Usage: wasgun [OPTIONS] APP\n") && help.contains("\nTimeouts:\n"), "{help}");
    }
    let Ok(Command::Message(help)) = Scene::new().run(&["compile", "--help"]) else { panic!("no help") };
    assert!(help.contains("Usage: wasgun compile"), "{help}");
    let Ok(Command::Message(version)) = Scene::new().run(&["--version"]) else { panic!("no version") };
    assert_eq!(version, format!("wasgun {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bytes_that_are_no_text_are_a_problem_not_a_panic() {
    let bytes = OsString::from_vec(vec![b'x', 0xff]);
    let mut scene = Scene::new();
    scene.env.push(("WASGUN_PID".into(), bytes.clone()));
    scene.env.push((bytes.clone(), bytes.clone()));
    scene.env.push(("PORT".into(), bytes.clone()));
    assert_eq!(scene.wrong(&["app.wasm"]).len(), 2);
    let args = vec!["wasgun".into(), bytes];
    let cwd = scene.dir.path().to_owned();
    assert!(Invocation { args, env: Vec::new(), cwd: cwd.clone() }.resolve().is_err());
    assert!(Invocation { args: Vec::new(), env: Vec::new(), cwd }.resolve().is_err());
}
