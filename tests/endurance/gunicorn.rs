//! gunicorn under test: the version of [`VERSION`], four workers of eight threads,
//! steered by signals as its documentation says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::guard;
use crate::load::within;
use crate::subject::{Build, Change, Losses, Subject, WORKERS};
use crate::support::{Server, is_alive, signal};
use crate::wire::Address;

const VERSION: &str = "27.0.1";

/// Its own graceful timeout is half of this.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a reload may show no result before it is looked at.
const REFUSAL: Duration = Duration::from_secs(10);

const APP: &str = include_str!("gunicorn_app.py");
const CONFIG: &str = include_str!("gunicorn_conf.py");

/// Installs it below the target directory, once; the path of its program.
///
/// # Errors
/// What has failed.
pub fn install() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gunicorn-{VERSION}"));
    let program = dir.join("bin/gunicorn");
    if !run(Command::new(&program).arg("--version")).is_ok_and(|said| said.contains(VERSION)) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
        let package = format!("gunicorn=={VERSION}");
        run(Command::new(dir.join("bin/pip")).args(["install", "--quiet", &package]))?;
    }
    Ok(program)
}

fn run(command: &mut Command) -> Result<String, String> {
    let ended = command.output();
    let failed = |why: &str| format!("could not be installed: {command:?}: {}", why.trim());
    let output = ended.map_err(|error| failed(&error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(&String::from_utf8_lossy(&output.stderr)))
    }
}

pub struct Gunicorn {
    program: PathBuf,
    server: Server,
    /// Another one after an upgrade.
    master: i32,
    dir: tempfile::TempDir,
    addresses: [Address; 2],
}

impl Gunicorn {
    /// Starts it with the app that answers as wasgun's probe does.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("app.py"), APP).unwrap();
        std::fs::write(dir.path().join("gunicorn.conf.py"), CONFIG).unwrap();
        std::fs::write(dir.path().join("timeout"), "30").unwrap();
        let (server, tcp) = launch(program, dir.path())?;
        let addresses = [tcp, Address::Unix(dir.path().join("socket"))];
        let master = server.pid();
        let started = Self { program: program.to_owned(), server, master, dir, addresses };
        started.until("it starts", || started.workers().len() == WORKERS)?;
        Ok(started)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Who is in a file of process ids.
    fn pid_in(&self, name: &str) -> Option<i32> {
        self.read(name).trim().parse().ok()
    }

    /// The living workers of a master that have loaded the app.
    fn workers_of(&self, master: i32) -> BTreeSet<i32> {
        let children = children_of(master);
        let ready = self.read("ready");
        ready.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| children.contains(pid)).collect()
    }

    fn until(&self, what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
        let ended = || !is_alive(self.master);
        let mut held = false;
        let _ = within(LIMIT, || {
            held = condition();
            held || ended()
        });
        if held {
            return Ok(());
        }
        let log = self.server.log();
        let last = log.get(log.len().saturating_sub(3)..).unwrap_or_default();
        Err(format!("waited in vain: {what}; ended: {}; {last:?}", ended()))
    }

    /// Waits until that many workers are ready, and none of `old` is there.
    fn settle(&self, what: &str, count: usize, old: &BTreeSet<i32>) -> Result<(), String> {
        self.until(what, || {
            let now = self.workers();
            now.len() == count && now.is_disjoint(old) && children_of(self.master).len() == count
        })
    }

    fn reload(&self) -> Result<(), String> {
        let old = self.workers();
        signal(self.master, "HUP");
        self.settle("a reload", WORKERS, &old)
    }

    /// `USR2`, and `TERM` to the master before, when the new one has its workers.
    fn upgrade(&mut self) -> Result<(), String> {
        let old = self.master;
        signal(old, "USR2");
        let new = || self.pid_in("pid.2").filter(|new| *new != old);
        let ready = || new().is_some_and(|new| self.workers_of(new).len() == WORKERS);
        self.until("a second master", ready)?;
        let new = new().ok_or("the second master has ended")?;
        signal(old, "TERM");
        if !within(LIMIT, || !is_alive(old)) {
            return Err("the master before stays".to_owned());
        }
        self.master = new;
        self.until("the second master is the first", || self.pid_in("pid") == Some(new))
    }

    fn scale_to(&self, wanted: usize) -> Result<(), String> {
        loop {
            let count = self.workers().len();
            let (name, next) = match count.cmp(&wanted) {
                std::cmp::Ordering::Less => ("TTIN", count + 1),
                std::cmp::Ordering::Equal => return Ok(()),
                std::cmp::Ordering::Greater => ("TTOU", count - 1),
            };
            signal(self.master, name);
            self.settle("the number of workers", next, &BTreeSet::new())?;
        }
    }

    /// One worker reaches its --max-requests: its configuration reads that file.
    fn recycle(&self) -> Result<(), String> {
        let workers = self.workers();
        let old = *workers.first().ok_or("nobody is ready")?;
        std::fs::write(self.path(&format!("recycle.{old}")), "").unwrap();
        self.settle("another worker", workers.len(), &BTreeSet::from([old]))
    }
}

/// As `support::children_of`, without a look at all processes, which would take the
/// time that the servers need.
fn children_of(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).filter(|child| is_alive(*child)).collect()
}

impl Subject for Gunicorn {
    fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    fn workers(&self) -> BTreeSet<i32> {
        self.workers_of(self.master)
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::ReloadBySignal | Change::ReloadByCommand => self.reload(),
            Change::Upgrade => self.upgrade(),
            Change::Recycle => self.recycle(),
            Change::OneMore => self.scale_to(self.workers().len() + 1),
            Change::OneLess => self.scale_to(self.workers().len() - 1),
            Change::Scale(wanted) => self.scale_to(wanted),
        }
    }

    fn requests(&self) -> Option<u64> {
        None
    }

    fn forgive(&mut self) -> Result<(), String> {
        // It starts a worker again without a wait, however often it has died.
        self.until("all workers", || self.workers().len() == WORKERS)
    }

    fn losses(&self, _: i32) -> Option<Losses> {
        None
    }

    fn connections(&self) -> Option<Vec<u64>> {
        None
    }

    fn rest(&self) -> Result<(), String> {
        self.settle("rest", WORKERS, &BTreeSet::new())
    }

    fn watch_closely(&mut self) -> Result<(), String> {
        std::fs::write(self.path("timeout"), "2").unwrap();
        self.reload()
    }

    fn spoil(&mut self, build: Build) -> Result<String, String> {
        let app = match build {
            Build::Garbage => "def app(:\n",
            Build::Spinning => "while True:\n    pass\n",
        };
        let (master, old) = (self.master, self.workers());
        std::fs::write(self.path("app.py"), app).unwrap();
        signal(master, "HUP");
        let _ = within(REFUSAL, || !is_alive(master) || !old.iter().any(|pid| is_alive(*pid)));
        match (is_alive(master), old.iter().filter(|pid| is_alive(**pid)).count()) {
            (false, _) => Err("the whole server has ended".to_owned()),
            (true, 0) => Err("the old workers have ended, and no new one serves".to_owned()),
            (true, count) => Ok(format!("{count} old workers go on")),
        }
    }

    fn mend(&mut self) -> Result<(), String> {
        // Those that never start would have to be killed first.
        *self = Self::start(&self.program)?;
        Ok(())
    }
}

/// Starts it; where it listens by TCP.
fn launch(program: &Path, dir: &Path) -> Result<(Server, Address), String> {
    let mut command = Command::new(program);
    command.current_dir(dir).args(["--config", "gunicorn.conf.py", "--no-control-socket", "app:app"]);
    command.env_remove("GUNICORN_CMD_ARGS").env_remove("WEB_CONCURRENCY").env_remove("PORT");
    command.env("ENDURANCE_DIR", dir).env("PYTHONDONTWRITEBYTECODE", "1");
    let server = Server::launch(command);
    guard::add(server.pid());
    let address = || {
        let log = server.log();
        let rest = log.iter().find_map(|line| line.split_once("Listening at: http://"))?.1;
        rest.split([',', ' ']).next()?.parse().ok()
    };
    if !within(LIMIT, || address().is_some()) {
        return Err(format!("it does not start:\n{}", server.log().join("\n")));
    }
    let address = address().ok_or("it does not say where it listens")?;
    Ok((server, Address::Tcp(address)))
}
