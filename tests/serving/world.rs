//! What the guest has of the world: what was given to it, and nothing else.

use serde_json::{Value, json};

use super::support::client::{Connection, Response};
use super::support::guests::guest_arg;
use super::support::{Server, file, wasgun};
use super::{each_generation, encoded, get, get_with, serve};

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn what_the_guest_prints_becomes_log_lines_with_app_and_request() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "1"]);
        for stream in ["stdout", "stderr"] {
            let id = format!("print-{stream}");
            let path = format!("/{stream}?text=well+well+{stream}&lines=2");
            assert_eq!(get_with(&server, &path, &format!("x-request-id: {id}\r\n")).status, 200);
            let text = format!("well well {stream} ");
            let line = server.wait_for_log(&text);
            for part in [format!("app={guest:?}"), format!("request={id:?}"), format!("stream={stream:?}")] {
                assert!(line.contains(&part), "no {part} in {line}");
            }
            super::support::eventually("both lines are there", || server.count_log(&text) == 2);
        }
    });
}

#[test]
fn a_guest_cannot_forge_log_lines() {
    each_generation(|guest| {
        let mut server = serve(guest, &["-w", "1"]);
        let text = encoded("one\r2026-01-01 ERROR forged\u{1b}[2J end");
        assert_eq!(get(&server, &format!("/stderr?text={text}")).status, 200);
        let line = server.wait_for_log("forged");
        assert!(line.contains("one") && line.contains("end"), "it is one line: {line:?}");
        assert!(!line.contains(['\r', '\u{1b}']), "{line:?}");
    });
}

#[test]
fn the_guest_has_the_variables_it_was_given_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let variables = file(dir.path(), "vars.env", b"# comment\nA=from file\nexport B='two words'\n");
    each_generation(|guest| {
        let mut command = wasgun();
        command.env("HOST_SECRET", "hunter2").env("WASGUN_LOG_LEVEL", "debug");
        command.args([&*guest_arg(guest), "-w", "1", "--bind", "127.0.0.1:0", "--env-file"]).arg(&variables);
        command.args(["--env", "A=from the command line", "--env", "C=x=y", "--env", "EMPTY="]);
        let server = Server::spawn(command);
        let mut found: Vec<(String, String)> =
            serde_json::from_value(json_of(&get(&server, "/env"))).unwrap();
        found.sort();
        let wanted = [("A", "from the command line"), ("B", "two words"), ("C", "x=y"), ("EMPTY", "")];
        assert_eq!(found, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    });
}

#[test]
fn the_guest_has_no_variable_and_no_file_by_default() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        assert_eq!(json_of(&get(&server, "/env")), json!([]));
        for path in ["/etc/passwd", "etc/passwd", ".", "/"] {
            assert_eq!(get(&server, &format!("/read?path={}", encoded(path))).status, 500, "{path}");
        }
    });
}

#[test]
fn the_guest_has_its_arguments() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--arg", "one two", "--arg", "--three", "--arg", ""]);
        let args = json_of(&get(&server, "/args"));
        assert_eq!(args.as_array().unwrap()[1..], [json!("one two"), json!("--three"), json!("")]);
    });
}

#[test]
fn the_guest_sees_its_directories_and_nothing_beside_them() {
    let base = tempfile::tempdir().unwrap();
    let (open, fixed) = (base.path().join("open"), base.path().join("fixed"));
    std::fs::create_dir(&open).unwrap();
    std::fs::create_dir(&fixed).unwrap();
    file(base.path(), "secret", b"secret");
    file(&fixed, "a", b"fixed");
    std::os::unix::fs::symlink("../secret", open.join("up")).unwrap();
    std::os::unix::fs::symlink(base.path().join("secret"), open.join("absolute")).unwrap();
    let mounts = [format!("{}::/data:rw", open.display()), format!("{}::/fixed", fixed.display())];
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1", "--dir", &mounts[0], "--dir", &mounts[1]]);
        let read = |path: &str| get(&server, &format!("/read?path={}", encoded(path)));
        let write = |path: &str| {
            Connection::open(&server.address)
                .post(&format!("/write?path={}", encoded(path)), b"written")
                .unwrap()
        };
        drop(std::fs::remove_file(open.join("new")));

        assert_eq!(write("/data/new").status, 200);
        assert_eq!(std::fs::read(open.join("new")).unwrap(), b"written");
        assert_eq!(read("/data/new").text(), "written");
        assert_eq!(read("/fixed/a").text(), "fixed");

        for path in ["/fixed/a", "/fixed/new", "/data/../new", "/new", "/data/up", "/data/absolute"] {
            assert_eq!(write(path).status, 500, "{path}");
        }
        assert_eq!(std::fs::read(fixed.join("a")).unwrap(), b"fixed");
        assert_eq!(std::fs::read(base.path().join("secret")).unwrap(), b"secret");
        assert!(!fixed.join("new").exists() && !base.path().join("new").exists());

        let outside = [
            "/data/../secret",
            "/data/x/../../secret",
            "/data/up",
            "/data/absolute",
            "/etc/passwd",
            "/data/../../../../etc/passwd",
        ];
        for path in outside {
            let answer = read(path);
            assert_eq!(answer.status, 500, "{path}: {}", answer.text());
        }
    });
}
