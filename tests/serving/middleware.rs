//! Components in front of the app.

use super::support::client::{Connection, Response};
use super::support::guests::{guest, guest_arg, lone_guest};
use super::support::{Finished, Server, run, wasgun};

/// The middleware of each generation, and an app behind it that echoes.
fn pairs() -> [(String, String); 2] {
    let arg = |name, file| lone_guest(name, file).into_os_string().into_string().unwrap();
    [(arg("auth", "auth.wasm"), guest_arg("echo")), (arg("auth-p3", "auth_p3.wasm"), guest_arg("echo_p3"))]
}

fn post(server: &Server, token: &str, body: &[u8]) -> Response {
    let mut connection = Connection::open(&server.address);
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
    );
    connection.send(head).and_then(|()| connection.send(body)).unwrap();
    connection.read().unwrap()
}

/// What becomes of a server that is not to start.
fn refused(args: &[&str]) -> Finished {
    let mut command = wasgun();
    command.args(args).args(["--bind", "127.0.0.1:0"]);
    let finished = run(command);
    assert_ne!(finished.code, Some(0), "{args:?}");
    finished
}

#[test]
fn middleware_lets_through_or_answers_itself() {
    let body: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
    for (auth, app) in pairs() {
        let args = [&app, "-w", "1", "--middleware", &auth, "--env", "TOKEN=secret"];
        for reuse in ["1", "100"] {
            let server = Server::start(&[&args[..], &["--instance-max-requests", reuse]].concat());
            let refused = post(&server, "wrong", b"");
            assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{auth}");
            for _ in 0..3 {
                let echoed = post(&server, "secret", &body);
                assert!(echoed.status == 200 && echoed.body == body, "{auth}: {}", echoed.status);
            }
        }
        let mut server = Server::start(&args[..5]);
        assert_eq!(post(&server, "secret", b"").status, 500);
        server.wait_for_log("there is no TOKEN");
    }
}

#[test]
fn of_several_each_is_asked() {
    let [(auth, app), (auth_p3, app_p3)] = pairs();
    let token = ["-w", "1", "--env", "TOKEN=secret"];
    let twice = |auth| ["--middleware", auth, "--middleware", auth];
    let server = Server::start(&[&[&*app_p3][..], &token, &twice(&auth_p3)].concat());
    let answer = post(&server, "secret", b"x");
    let checks = answer.headers.iter().filter(|(name, _)| name == "x-checked-by").count();
    assert_eq!((answer.status, checks), (200, 2));
    let server = Server::start(&[&[&*app][..], &token, &twice(&auth)].concat());
    assert_eq!([post(&server, "secret", b"x").status, post(&server, "wrong", b"x").status], [200, 401]);
}

#[test]
fn middleware_is_compiled_along_and_fits_any_release_of_its_generation() {
    let [(auth, app), _] = pairs();
    // The demo is of 0.2.0.
    let server = Server::start(&["--demo", "-w", "1", "--middleware", &auth, "--env", "TOKEN=secret"]);
    assert_eq!(post(&server, "wrong", b"").status, 401);
    assert!(post(&server, "secret", b"").text().contains("<html"));

    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("app.cwasm").into_os_string().into_string().unwrap();
    let mut command = wasgun();
    command.args(["compile", &app, "-o", &out, "--middleware", &auth]);
    let compiled = run(command);
    assert_eq!(compiled.code, Some(0), "{}", compiled.stderr);
    let server = Server::start(&[&out, "--allow-precompiled", "-w", "1", "--env", "TOKEN=secret"]);
    assert_eq!([post(&server, "secret", b"x").status, post(&server, "wrong", b"x").status], [200, 401]);
}

#[test]
fn a_change_of_the_middleware_is_a_change() {
    let [(auth, app), _] = pairs();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("front.wasm");
    std::fs::copy(&auth, &path).unwrap();
    let front = path.to_str().unwrap();
    let mut server =
        Server::start(&[&app, "-w", "1", "--middleware", front, "--env", "TOKEN=secret", "--reload"]);
    assert_eq!(post(&server, "wrong", b"").status, 401);
    std::fs::copy(guest("hello"), &path).unwrap();
    // An app is no middleware, so that nothing changes.
    server.wait_for_log("it is an app, not a middleware");
    assert_eq!(post(&server, "wrong", b"").status, 401);
}

#[test]
fn what_does_not_fit_says_why() {
    let [(auth, app), (auth_p3, app_p3)] = pairs();
    let core = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("core.wat");
    std::fs::write(&core, "(module)").unwrap();
    let core = core.to_str().unwrap();
    for (args, wanted) in [
        (&[&*app, "--middleware", &auth_p3][..], ["is for 0.3", "app for 0.2", "build both for the same"]),
        (&[&app_p3, "--middleware", &auth], ["is for 0.2", "app for 0.3", "build both for the same"]),
        (&[&app, "--middleware", &app], ["it is an app, not a middleware", "echo.wasm", "incoming-handler"]),
        (&[&auth], ["it is a middleware", "--middleware FILE", "incoming-handler"]),
        (&[&auth_p3], ["it is a middleware", "--middleware FILE", "wasi:http/handler"]),
        (&[&app, "--middleware", core], ["--middleware", "core.wat", "it is a core module"]),
    ] {
        let finished = refused(args);
        for text in wanted {
            assert!(finished.stderr.contains(text), "{args:?}: no {text:?} in\n{}", finished.stderr);
        }
    }
}
