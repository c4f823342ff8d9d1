//! The first worker of a generation tries the app before anybody is let at it.

use std::process::Command;

use crate::support::client::get;
use crate::support::guests::{guest, guest_arg};
use crate::support::{Finished, Server, eventually, file, run, signal, wasgun};

const GENERATIONS: [&str; 2] = ["probe", "probe_p3"];

fn command(app: &str, args: &[&str]) -> Command {
    let mut command = wasgun();
    command.args([app, "-w", "2", "--bind", "127.0.0.1:0"]).args(args);
    command
}

/// Asserts that a server does not start, and says this among the reasons.
#[track_caller]
fn assert_given_up(finished: &Finished, texts: &[&str]) {
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    for text in texts {
        assert!(finished.stderr.contains(text), "no {text:?} in\n{}", finished.stderr);
    }
    assert!(!finished.stderr.contains("ready: generation"), "{}", finished.stderr);
}

#[test]
fn an_app_that_is_not_well_serves_nobody() {
    for guest in GENERATIONS {
        for (path, why) in [
            ("/status?code=500", "was answered with 500"),
            ("/status?code=404", "was answered with 404"),
            ("/trap", "failed: trap: "),
            ("/trap-after-head?bytes=10&ms=50", "failed: trap: "),
            ("/no-response", "failed: the guest "),
        ] {
            let finished = run(command(&guest_arg(guest), &["--health-path", path]));
            let text = format!("the canary of {guest}.wasm: GET {path} ");
            assert_given_up(&finished, &[&text, why]);
        }
    }
}

#[test]
fn an_app_that_is_well_or_leads_elsewhere_is_served() {
    for guest in GENERATIONS {
        for path in ["/hello", "/status?code=204", "/status?code=302", "/big?mib=4"] {
            let server = Server::spawn(command(&guest_arg(guest), &["--health-path", path]));
            assert_eq!(get(&server.address, "/hello").status, 200, "{path}");
        }
    }
}

#[test]
fn an_app_that_takes_too_long_is_given_up() {
    for guest in GENERATIONS {
        for path in ["/sleep", "/spin", "/slow?chunks=1000000&ms=10"] {
            let args = ["--health-path", path, "--request-timeout", "300ms"];
            let finished = run(command(&guest_arg(guest), &args));
            let text =
                format!("the canary of {guest}.wasm: GET {path} took longer than --request-timeout (300ms)");
            assert_given_up(&finished, &[&text]);
        }
    }
}

/// The demo with another start.
fn with_start(body: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/hello.wat");
    let memory = "(memory (export \"memory\") 1)";
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(memory));
    text.replacen(memory, &format!("{memory} (func $begin {body}) (start $begin)"), 1).into_bytes()
}

#[test]
fn an_app_that_cannot_be_instantiated_serves_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let trapping = file(dir.path(), "trapping.wat", &with_start("unreachable"));
    let finished = run(command(trapping.to_str().unwrap(), &[]));
    let text = "the canary of trapping.wat: it could not be instantiated: wasm trap: ";
    assert_given_up(&finished, &[text, "unreachable"]);

    let spinning = file(dir.path(), "spinning.wat", &with_start("(loop $on (br $on))"));
    let finished = run(command(spinning.to_str().unwrap(), &["--request-timeout", "300ms"]));
    let text = "the canary of spinning.wat: instantiating it took longer than --request-timeout (300ms)";
    assert_given_up(&finished, &[text]);

    let well = file(dir.path(), "well.wat", &with_start("nop"));
    let server = Server::spawn(command(well.to_str().unwrap(), &[]));
    assert_eq!(get(&server.address, "/hello").status, 200);
}

#[test]
fn what_the_canary_asks_is_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("access.log");
    let args = ["-w", "1", "--health-path", "/stdout?text=seen", "--access-log", log.to_str().unwrap()];
    let mut server = Server::spawn(command(&guest_arg("probe"), &args));
    let printed = server.wait_for_log("seen");
    assert!(printed.contains("-probe"), "{printed}");
    let response = get(&server.address, "/inspect");
    let seen: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let fields = seen["headers"].as_array().unwrap();
    let id = fields.iter().find(|field| field[0] == "x-request-id").unwrap()[1].as_str().unwrap();
    assert_eq!(id.rsplit('-').next(), Some("1"), "{id}");
    let mut text = String::new();
    eventually("the request is in the access log", || {
        text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("/inspect")
    });
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_canary_that_waits_can_be_stopped() {
    for name in ["TERM", "QUIT"] {
        let args = ["--health-path", "/sleep", "--request-timeout", "1h", "--graceful-timeout", "1h"];
        let mut server = Server::launch(command(&guest_arg("probe"), &args));
        // Its children are a mold and a canary.
        eventually("the canary waits", || server.children().len() >= 2);
        server.signal(name);
        server.wait();
    }
}

#[test]
fn a_reload_to_an_app_that_is_not_well_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app.wasm");
    std::fs::copy(guest("probe"), &app).unwrap();
    let args = ["--health-path", "/hello"];
    let mut server = Server::spawn(command(app.to_str().unwrap(), &args));
    // It answers nothing but its own paths.
    let other = dir.path().join("other.wat");
    std::fs::write(&other, with_start("unreachable")).unwrap();
    std::fs::rename(&other, &app).unwrap();
    signal(server.pid(), "HUP");
    server.wait_for_log("the reload is given up");
    server.wait_for_log("the canary of app.wasm: it could not be instantiated");
    assert_eq!(get(&server.address, "/count").status, 200);
}
