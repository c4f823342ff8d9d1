//! The whole way, from arguments, variables and files to a configuration.

mod mistakes;
mod printed;

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use super::{
    AccessLogTarget, AppSource, Command, Config, DirAccess, Invocation, LogFormat, LogLevel, Problems,
};

/// A directory with `app.wasm` in it, and things said there.
struct Scene {
    dir: tempfile::TempDir,
    env: Vec<(OsString, OsString)>,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap(), env: Vec::new() };
        scene.file("app.wasm", "\0asm")
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn run(&self, args: &[&str]) -> Result<Command, Problems> {
        let args = std::iter::once("/usr/bin/wasgun").chain(args.iter().copied()).map(Into::into).collect();
        Invocation { args, env: self.env.clone(), cwd: self.dir.path().to_owned() }.resolve()
    }

    #[track_caller]
    fn config(&self, args: &[&str]) -> Config {
        match self.run(args) {
            Ok(Command::Serve(config)) => *config,
            Ok(other) => panic!("{other:?}"),
            Err(problems) => panic!("{problems}"),
        }
    }

    /// The mistakes, a line each, without the directory's name.
    #[track_caller]
    fn wrong(&self, args: &[&str]) -> Vec<String> {
        let problems = self.run(args).expect_err("this should be a mistake");
        let here = format!("{}/", self.dir.path().display());
        problems.to_string().replace(&here, "").lines().map(str::to_owned).collect()
    }
}

fn binds(config: &Config) -> Vec<String> {
    config.bind.iter().map(ToString::to_string).collect()
}

#[test]
fn every_default_is_what_the_table_says() {
    let scene = Scene::new();
    let config = scene.config(&["app.wasm"]);
    assert_eq!(binds(&config), ["127.0.0.1:8000"]);
    assert_eq!(config.backlog, 2048);
    assert_eq!(config.pool.max_concurrency, 128);
    assert!(config.pool.workers.count >= 1 && config.pool.workers.reason.starts_with("auto: "));
    assert_eq!(config.master.graceful_timeout, Duration::from_secs(30));
    assert_eq!(config.master.worker_timeout, Duration::from_secs(30));
    assert_eq!(
        (config.master.pid_file, config.master.identity, config.master.umask),
        (None, super::Identity::default(), None)
    );
    assert_eq!(config.http.keep_alive, Duration::from_secs(75));
    assert_eq!(config.http.header_timeout, Duration::from_secs(10));
    assert_eq!((config.http.limit_request_line, config.http.limit_request_field_size), (8190, 8190));
    assert_eq!((config.http.limit_request_fields, config.http.limit_request_body), (100, None));
    assert_eq!((config.http.body_buffer, config.http.response_buffer), (64 << 10, 1 << 20));
    let trusted: Vec<_> = config.http.forwarded_allow_ips.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["127.0.0.1", "::1"]);
    assert_eq!(
        (config.log.level, config.log.format, config.log.access),
        (LogLevel::Info, LogFormat::Text, None)
    );
    assert_eq!((config.compile.timeout, config.compile.memory), (Duration::from_secs(300), 4 << 30));
    assert_eq!((config.cache_dir, config.master.chdir), (None, None));
    let app = &config.pool.apps[0];
    assert_eq!(
        (app.name.as_str(), &app.source),
        ("app", &AppSource::File(scene.dir.path().join("app.wasm")))
    );
    assert_eq!(
        (app.instance_max_requests, app.instance_max_requests_jitter, app.instance_concurrency),
        (1, 0, 16)
    );
    assert_eq!((app.memory_limit, app.request_timeout), (256 << 20, Duration::from_secs(30)));
    assert!(
        app.env.is_empty() && app.args.is_empty() && app.dirs.is_empty() && app.allow_outbound.is_empty()
    );
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file_beats_the_platform() {
    let bare = Scene::new().env("PORT", "9000").env("WEB_CONCURRENCY", "5");
    let config = bare.config(&["app.wasm"]);
    assert_eq!((binds(&config), config.pool.workers.count), (vec!["0.0.0.0:9000".into()], 5));
    assert_eq!(config.pool.workers.reason, "WEB_CONCURRENCY");

    let filed =
        bare.file("wasgun.toml", "workers = 4\nbind = [':1', ':2']\nlog-level = 'debug'\nbacklog = 7");
    let config = filed.config(&["app.wasm"]);
    assert_eq!(
        (binds(&config), config.pool.workers.count),
        (vec!["0.0.0.0:1".into(), "0.0.0.0:2".into()], 4)
    );
    assert_eq!(config.pool.workers.reason, "./wasgun.toml");

    let scene =
        filed.env("WASGUN_WORKERS", "3").env("WASGUN_BIND", ":3, :4").env("WASGUN_LOG_LEVEL", "trace");
    let config = scene.config(&["app.wasm"]);
    assert_eq!(
        (binds(&config), config.pool.workers.count),
        (vec!["0.0.0.0:3".into(), "0.0.0.0:4".into()], 3)
    );
    assert_eq!((config.log.level, config.backlog), (LogLevel::Trace, 7));
    assert_eq!(config.pool.workers.reason, "WASGUN_WORKERS");

    let config = scene.config(&["-w", "9", "app.wasm", "-w2", "--bind=:5"]);
    assert_eq!((binds(&config), config.pool.workers.count), (vec!["0.0.0.0:5".into()], 2));
    assert_eq!((config.log.level, config.pool.workers.reason.as_str()), (LogLevel::Trace, "--workers"));
}

#[test]
fn an_empty_variable_is_unset_and_one_of_another_name_is_left_alone() {
    let scene =
        Scene::new().env("WASGUN_WORKERS", "").env("PORT", "").env("WASGUN_PORT", "tcp://10.0.0.1:80");
    let config = scene.config(&["app.wasm"]);
    assert_eq!(binds(&config), ["127.0.0.1:8000"]);
    assert!(config.pool.workers.reason.starts_with("auto"));
}

#[test]
fn variables_of_the_guest_add_up() {
    let scene = Scene::new()
        .file("a.env", "A=file\nB=file\nC=file\nD=file\n")
        .file("b.env", "B=second")
        .file("wasgun.toml", "env-file = ['a.env', 'b.env']\n[env]\nC = 'toml'\nD = 'toml'\nE = 'toml'")
        .env("WASGUN_ENV", "D=var,1\nE=var\nF=var");
    let config = scene.config(&["app.wasm", "--env", "F=line", "--env=G=x=y", "--env", "H="]);
    let pairs: Vec<_> =
        config.pool.apps[0].env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["A=file", "B=second", "C=toml", "D=var,1", "E=var", "F=line", "G=x=y", "H="]);
}

#[test]
fn port_0_may_be_asked_for_twice() {
    assert_eq!(Scene::new().config(&["app.wasm", "-b:0", "-b:0"]).bind.len(), 2);
}

#[test]
fn the_app_may_be_named_anywhere() {
    let scene = Scene::new().file("other.wasm", "").file("compile", "").file("trusted.cwasm", "");
    let source = |config: Config| config.pool.apps[0].source.clone();
    let at = |name: &str| scene.dir.path().join(name);
    assert_eq!(source(scene.config(&["./compile"])), AppSource::File(at("./compile")));
    assert_eq!(source(scene.config(&["--demo"])), AppSource::Demo);
    assert_eq!(
        source(scene.config(&["trusted.cwasm", "--allow-precompiled"])),
        AppSource::Precompiled(at("trusted.cwasm"))
    );
    let scene = scene.file("wasgun.toml", "app = 'app.wasm'");
    assert_eq!(scene.config(&[]).pool.apps[0].name, "app");
    let scene = scene.env("WASGUN_APP", "other.wasm");
    assert_eq!(scene.config(&[]).pool.apps[0].name, "other");
    assert_eq!(source(scene.config(&["--demo"])), AppSource::Demo, "the command line counts more");
    let scene = scene.env("WASGUN_DEMO", "true");
    assert!(scene.wrong(&[])[0].contains("WASGUN_APP names another"));
    assert_eq!(scene.config(&["other.wasm"]).pool.apps[0].name, "other");
    let demo = Scene::new().env("WASGUN_DEMO", "true").config(&[]);
    assert_eq!((demo.pool.apps[0].name.as_str(), &demo.pool.apps[0].source), ("demo", &AppSource::Demo));
}

#[test]
fn paths_start_at_chdir_but_the_config_file_does_not() {
    let scene =
        Scene::new().file("sub/data/x", "").file("sub/in.wasm", "").file("conf.toml", "pid = 'w.pid'");
    let sub = scene.dir.path().join("sub");
    let config = scene.config(&[
        "in.wasm",
        "-c",
        "conf.toml",
        "--chdir=sub",
        "--access-log=a.log",
        "--cache-dir=/c",
        "-bunix:s",
        "--dir=data::/data",
    ]);
    assert_eq!(config.master.chdir, Some(sub.clone()));
    assert_eq!(config.master.pid_file, Some(sub.join("w.pid")));
    assert_eq!(config.log.access, Some(AccessLogTarget::File(sub.join("a.log"))));
    assert_eq!(config.cache_dir, Some("/c".into()));
    assert_eq!(binds(&config), [format!("unix:{}", sub.join("s").display())]);
    assert_eq!(config.pool.apps[0].dirs[0].host, sub.join("data"));
    assert_eq!(scene.config(&["app.wasm", "--access-log", "-"]).log.access, Some(AccessLogTarget::Stdout));
}

#[test]
fn directories_and_arguments_of_the_guest() {
    let scene = Scene::new().file("data/x", "").env("WASGUN_ARG", "one, two\n--three");
    let absolute = scene.dir.path().join("data").display().to_string();
    let config = scene.config(&[
        "app.wasm",
        "--dir",
        "data::/a//b/:ro",
        "--dir=data::/",
        "--dir",
        &format!("{absolute}:rw"),
    ]);
    let app = &config.pool.apps[0];
    let seen: Vec<_> = app.dirs.iter().map(|dir| (dir.guest.as_str(), dir.access)).collect();
    let (ro, rw) = (DirAccess::ReadOnly, DirAccess::ReadWrite);
    assert_eq!(seen, [("/a/b", ro), ("/", ro), (absolute.as_str(), rw)]);
    assert!(app.dirs.iter().all(|dir| dir.host == scene.dir.path().join("data")));
    assert_eq!(app.args, ["one, two", "--three"]);
    let config = scene.config(&["app.wasm", "--arg", "--help", "--arg=a,b", "--arg", "-w"]);
    assert_eq!(config.pool.apps[0].args, ["--help", "a,b", "-w"]);
}

#[test]
fn lists_may_be_empty_and_proxies_may_be_anyone() {
    let scene = Scene::new().file("wasgun.toml", "forwarded-allow-ips = []");
    assert!(scene.config(&["app.wasm"]).http.forwarded_allow_ips.is_empty());
    let all = scene.config(&["app.wasm", "--forwarded-allow-ips", "*"]).http.forwarded_allow_ips;
    assert!(["8.8.8.8", "fe80::1"].iter().all(|ip| all.iter().any(|net| net.contains(ip.parse().unwrap()))));
    assert!(Scene::new().file("wasgun.toml", "bind = []").wrong(&["app.wasm"])[0].contains("no address"));
}

#[test]
fn check_config_serves_nothing() {
    assert!(matches!(Scene::new().run(&["app.wasm", "--check-config"]), Ok(Command::CheckConfig(_))));
    assert_eq!(Scene::new().wrong(&["--check-config"]).len(), 1);
}

#[test]
fn compile_takes_its_limits_from_the_environment_too() {
    let scene = Scene::new().env("WASGUN_COMPILE_TIMEOUT", "5m").file("wasgun.toml", "nonsense = 1");
    match scene.run(&["compile", "app.wasm", "-o", "app.cwasm", "--compile-memory=1GiB"]) {
        Ok(Command::Compile { app, middleware, out, limits }) => {
            assert!(middleware.is_empty());
            assert_eq!((app, out), (scene.dir.path().join("app.wasm"), scene.dir.path().join("app.cwasm")));
            assert_eq!((limits.timeout, limits.memory), (Duration::from_secs(300), 1 << 30));
        }
        other => panic!("{other:?}"),
    }
    let told = scene.wrong(&["compile", "no.wasm", "-o", "nodir/x.cwasm", "--compile-memory=1"]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[2].starts_with("--output: nodir: no such directory"), "{told:?}");
    assert!(scene.wrong(&["compile", "app.wasm", "-o", "app.wasm"])[0].contains("another file"));
    assert!(scene.wrong(&["compile", "app.wasm"])[0].contains("required arguments"));
}

#[test]
fn middleware_is_files_in_the_order_that_was_said() {
    let scene = Scene::new().file("a.wasm", "").file("b.wasm", "").file("trusted.cwasm", "");
    let args = ["app.wasm", "--middleware", "b.wasm", "--middleware=a.wasm"];
    let at = |name| scene.dir.path().join(name);
    assert_eq!(scene.config(&args).pool.apps[0].middleware, [at("b.wasm"), at("a.wasm")]);
    assert_eq!(scene.config(&["--demo", "--middleware=a.wasm"]).pool.apps[0].middleware, [at("a.wasm")]);
    let compiled =
        scene.run(&["compile", "app.wasm", "-o", "out.cwasm", "--middleware=a.wasm", "--middleware=b.wasm"]);
    assert!(matches!(compiled, Ok(Command::Compile { middleware, .. }) if middleware.len() == 2));
    for (args, wanted) in [
        (&["app.wasm", "--middleware=none.wasm"][..], "none.wasm: no such file"),
        (&["app.wasm", "--middleware=trusted.cwasm"], "say the component that it was made of"),
        (&["trusted.cwasm", "--allow-precompiled", "--middleware=a.wasm"], "say it to `wasgun compile`"),
        (&["compile", "app.wasm", "-o", "a.wasm", "--middleware=a.wasm"], "another file"),
    ] {
        let told = scene.wrong(args);
        assert!(told.len() == 1 && told[0].contains(wanted), "{told:?}");
    }
}
