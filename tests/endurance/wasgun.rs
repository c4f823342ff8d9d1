//! wasgun under test: its processes, and its control socket spoken to directly.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::guard;
use crate::load::within;
use crate::subject::{Build, Change, Losses, Subject, WORKERS};
use crate::support::guests::guest;
use crate::support::{self, Server, is_alive, signal};
use crate::wire::Address;

/// Long enough for whatever it is asked to do.
const LIMIT: Duration = Duration::from_secs(60);

/// A reload may wait for a build that never starts; longer than it waits.
const REPLY: Duration = Duration::from_secs(180);

/// The line before which a component can be added to guests/hello.wat.
const INSTANCE: &str = "  (core instance $program (instantiate $Program";

/// Computes for ever when it is instantiated.
const SPIN: &str = "(core module $Spin (func $spin (loop (br 0))) (start $spin))
  (core instance $spin (instantiate $Spin))
";

pub struct Wasgun {
    server: Server,
    dir: tempfile::TempDir,
    addresses: [Address; 2],
}

impl Wasgun {
    /// Starts it with the guest `probe`.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (app, unix) = (dir.path().join("app.wasm"), dir.path().join("socket"));
        std::fs::copy(guest("probe"), &app).unwrap();
        let mut command = support::wasgun();
        command.arg(app).args([
            "-w",
            &WORKERS.to_string(),
            "--worker-timeout",
            "2s",
            "--request-timeout",
            "10s",
        ]);
        command.arg("--control-socket").arg(dir.path().join("control"));
        command.args(["-b", "127.0.0.1:0", "-b", &format!("unix:{}", unix.display())]);
        let server = Server::spawn(command);
        guard::add(server.pid());
        let tcp = server.address.parse().expect("it logs where it listens");
        Self { server, dir, addresses: [Address::Tcp(tcp), Address::Unix(unix)] }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One command on a connection of its own, since an upgrade changes who listens.
    fn ask(&self, command: Value) -> Result<Value, String> {
        let words = command["command"].as_str().unwrap_or_default().to_owned();
        let answer = self.converse(command).map_err(|error| format!("{words}: control socket: {error}"))?;
        match answer["ok"].as_bool() {
            Some(true) => Ok(answer),
            Some(false) => Err(format!("{words} is refused: {}", reason(&answer))),
            None => Err(format!("{words}: no such answer is known: {answer}")),
        }
    }

    fn converse(&self, command: Value) -> std::io::Result<Value> {
        let mut stream = UnixStream::connect(self.path("control"))?;
        stream.set_read_timeout(Some(REPLY))?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        serde_json::from_str(&line).map_err(std::io::Error::from)
    }

    /// Its status; asked again for a while, since at an upgrade nobody may listen.
    fn status(&self) -> Value {
        let mut status = Value::Null;
        let answered = within(LIMIT, || match self.ask(json!({"command": "status"})) {
            Ok(mut answer) => {
                status = answer["status"].take();
                true
            }
            Err(_) => false,
        });
        assert!(answered, "nobody answers at the control socket:\n{}", self.server.log().join("\n"));
        status
    }

    /// Waits until its status is as it should be.
    fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<(), String> {
        let mut last = Value::Null;
        let held = within(LIMIT, || {
            last = self.status();
            condition(&last)
        });
        if held { Ok(()) } else { Err(format!("waited in vain: {what}; {last}")) }
    }

    fn replace_app(&self, content: &[u8]) {
        // At once, or half of it might be read.
        std::fs::write(self.path("new"), content).unwrap();
        std::fs::rename(self.path("new"), self.path("app.wasm")).unwrap();
    }

    fn reload(&self) -> Result<Value, String> {
        self.ask(json!({"command": "reload", "wait": true}))
    }

    fn upgrade(&self) -> Result<(), String> {
        let before = pid(&self.status());
        self.ask(json!({"command": "upgrade", "wait": true}))?;
        self.until("another master", |now| pid(now) != before && ready(now).len() >= WORKERS)?;
        if within(LIMIT, || !is_alive(before)) { Ok(()) } else { Err("the master before stays".to_owned()) }
    }
}

impl Subject for Wasgun {
    fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    fn workers(&self) -> BTreeSet<i32> {
        ready(&self.status())
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        let before = self.status();
        let workers = ready(&before);
        let count =
            |wanted: usize| self.until("the number of workers", move |now| ready(now).len() == wanted);
        match change {
            Change::ReloadBySignal => {
                let generation = before["generation"].as_u64();
                signal(pid(&before), "HUP");
                self.until("a reload", |now| {
                    now["generation"].as_u64() > generation && now["state"] == "ready"
                })
            }
            Change::ReloadByCommand => self.reload().map(drop),
            Change::Upgrade => self.upgrade(),
            Change::Recycle => {
                let old = *workers.first().ok_or("nobody is ready")?;
                self.ask(json!({"command": "recycle", "pid": old}))?;
                self.until("another worker", |now| {
                    let ready = ready(now);
                    !ready.contains(&old) && ready.len() == workers.len()
                })
            }
            Change::OneMore => {
                signal(pid(&before), "TTIN");
                count(workers.len() + 1)
            }
            Change::OneLess => {
                signal(pid(&before), "TTOU");
                count(workers.len() - 1)
            }
            Change::Scale(wanted) => {
                self.ask(json!({"command": "scale", "workers": wanted}))?;
                count(wanted)
            }
        }
    }

    fn requests(&self) -> Option<u64> {
        Some(self.status()["requests"].as_u64().expect("its status counts requests"))
    }

    fn forgive(&mut self) -> Result<(), String> {
        // The workers of a new generation have no past.
        self.reload()?;
        self.until("all workers", |now| ready(now).len() == WORKERS)
    }

    fn losses(&self, worker: i32) -> Option<Losses> {
        let name = format!("(pid {worker}) died: SIGKILL");
        let line = || self.server.log().into_iter().find(|line| line.contains(&name));
        assert!(within(LIMIT, || line().is_some()), "it never logged {name:?}");
        let line = line()?;
        let words = line.split_once(&name)?.1;
        Some(Losses {
            requests: number_before(words, "request"),
            connections: number_before(words, "connection"),
        })
    }

    fn connections(&self) -> Option<Vec<u64>> {
        let status = self.status();
        status["workers"].as_array()?.iter().map(|worker| worker["connections"].as_u64()).collect()
    }

    fn rest(&self) -> Result<(), String> {
        self.until("rest", |now| {
            let none = |worker: &Value| worker["in_flight"] == 0 && worker["connections"] == 0;
            let workers = now["workers"].as_array().map_or(&[][..], Vec::as_slice);
            workers.len() == WORKERS
                && workers.iter().all(|worker| worker["state"] == "ready" && none(worker))
        })
    }

    fn watch_closely(&mut self) -> Result<(), String> {
        // It does so from the start.
        Ok(())
    }

    fn spoil(&mut self, build: Build) -> Result<String, String> {
        match build {
            Build::Garbage => self.replace_app(b"garbage"),
            Build::Spinning => self.replace_app(spinning().as_bytes()),
        }
        let answer = self.converse(json!({"command": "reload", "wait": true}));
        let answer = answer.map_err(|error| format!("control socket: {error}"))?;
        match (answer["ok"].as_bool(), reason(&answer)) {
            (Some(false), reason) if !reason.is_empty() => Ok(reason),
            _ => Err(format!("the reload is not refused with a reason: {answer}")),
        }
    }

    fn mend(&mut self) -> Result<(), String> {
        self.replace_app(&std::fs::read(guest("probe")).unwrap());
        self.forgive()
    }
}

/// guests/hello.wat with a start function that does not end.
fn spinning() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/hello.wat");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.matches(INSTANCE).count(), 1, "guests/hello.wat has changed");
    text.replace(INSTANCE, &format!("  {SPIN}{INSTANCE}"))
}

fn pid(status: &Value) -> i32 {
    status["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("its status has a process id")
}

fn ready(status: &Value) -> BTreeSet<i32> {
    let workers = status["workers"].as_array().into_iter().flatten();
    let ready = workers.filter(|worker| worker["state"] == "ready");
    ready.filter_map(|worker| worker["pid"].as_i64()?.try_into().ok()).collect()
}

/// Why it is refused, under whatever name.
fn reason(answer: &Value) -> String {
    let fields = answer.as_object().into_iter().flatten();
    fields.filter_map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("; ")
}

/// `3` of "3 requests in flight", 0 if nothing of the kind is there.
fn number_before(text: &str, noun: &str) -> u64 {
    let words: Vec<_> = text.split_whitespace().collect();
    let pair = words.windows(2).find(|pair| pair[1].starts_with(noun));
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}
