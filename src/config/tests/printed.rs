//! The configuration as it is printed.

use super::super::{Command, Config, OPTIONS, Place};
use super::Scene;

/// All that a configuration says, but for who said how many workers.
fn essence(mut config: Config) -> String {
    config.pool.workers.reason.clear();
    format!("{config:#?}")
}

#[test]
fn the_printed_configuration_reads_back_as_the_same() {
    let scene =
        Scene::new().file("data/x", "").file("v.env", "FROM=file").env("WASGUN_LIMIT_REQUEST_BODY", "10MB");
    let scene = scene
        .env("PORT", "81")
        .env("WASGUN_ENV", "A=1\nB=2")
        .file("my\nown.toml", "keep-alive = 3.5\numask = '027'");
    let args = [
        "app.wasm",
        "-w7",
        "-cmy\nown.toml",
        "--env=A=\"q\" \\ \u{7f}\t\nü # x",
        "--arg=x\u{1}y",
        "--dir=data::/d:ro",
        "--env-file=v.env",
        "--allow-outbound=*.example.com:443,10.0.0.0/8",
        "--user=1000",
        "--pid=a b.pid",
        "--forwarded-allow-ips=10.0.0.0/8,::1",
        "--limit-request-line=8k",
        "--access-log=-",
        "--log-format=json",
    ];
    let Ok(Command::PrintConfig(printed)) = scene.run(&[&args[..], &["--print-config"]].concat()) else {
        panic!("not printed");
    };
    for line in [
        "workers = 7  # --workers",
        "bind = [\"0.0.0.0:81\"]  # PORT",
        "limit-request-body = \"10MB\"  # WASGUN_LIMIT_REQUEST_BODY",
        "backlog = 2048  # default",
        "limit-request-field-size = 8190  # default",
        "limit-request-line = \"8k\"  # --limit-request-line",
        "keep-alive = \"3.5\"  # my?own.toml",
        "demo = false  # default",
        "app = \"app.wasm\"  # APP",
        "# chdir = \"DIR\"",
        "user = \"1000\"  # --user",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in\n{printed}");
    }
    assert!(printed.contains("  # WASGUN_ENV, --env\n"), "{printed}");
    let once = essence(scene.config(&args));
    assert!(once.contains("FROM") && once.contains("8192"), "{once}");
    let again = Scene { env: Vec::new(), ..scene }.file("wasgun.toml", &printed);
    assert_eq!(essence(again.config(&[])), once);
    // Printing what was printed changes nothing but the comments.
    let Ok(Command::PrintConfig(twice)) = again.run(&["--print-config"]) else { panic!("not printed") };
    let values = |text: &str| -> toml::Table { text.parse().unwrap() };
    assert_eq!(values(&twice), values(&printed));
}

#[test]
fn a_file_to_start_from_is_printed_without_an_app() {
    let Ok(Command::PrintConfig(printed)) = Scene::new().run(&["--print-config"]) else {
        panic!("not printed")
    };
    let options = OPTIONS.iter().filter(|spec| spec.place == Place::Anywhere);
    for spec in options {
        let start =
            if spec.default.is_some() { format!("{} = ", spec.name) } else { format!("# {} = ", spec.name) };
        assert_eq!(
            printed.lines().filter(|line| line.starts_with(&start)).count(),
            1,
            "{start} in\n{printed}"
        );
    }
    assert_eq!(Scene::new().wrong(&["--print-config", "-w0"]).len(), 1);
    assert!(Scene::new().run(&["--print-config", "none.wasm"]).is_err());
}
