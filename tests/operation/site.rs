//! A server with everything of its own: program, configuration, component and
//! control socket, each of which a test may spoil.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::get;
use crate::support::control::{ctl, ctl_command, pids_in, status};
use crate::support::guests::guest;
use crate::support::processes::descendants;
use crate::support::{Finished, Server, cache_dir, eventually, file, is_alive, wasgun_at};

/// What is there before a server is started.
pub struct Place {
    dir: TempDir,
    /// Beside the binary, so that a link to that is enough.
    bin: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
            bin: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        };
        place.install_program();
        place.install("probe");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("control")
    }

    pub fn program(&self) -> PathBuf {
        self.bin.path().join("wasgun")
    }

    /// The program as it was built, in the place of what is there.
    pub fn install_program(&self) {
        let new = self.bin.path().join("new");
        let built = env!("CARGO_BIN_EXE_wasgun");
        std::fs::hard_link(built, &new).or_else(|_| std::fs::copy(built, &new).map(drop)).unwrap();
        std::fs::rename(new, self.program()).unwrap();
    }

    /// A shell script in the place of the program.
    pub fn install_script(&self, text: &str) {
        let new = file(self.bin.path(), "new", text.as_bytes());
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, self.program()).unwrap();
    }

    /// A guest as the component.
    pub fn install(&self, name: &str) {
        std::fs::copy(guest(name), self.path("new.wasm")).unwrap();
        std::fs::rename(self.path("new.wasm"), self.path("app.wasm")).unwrap();
    }

    pub fn spoil_component(&self) {
        std::fs::rename(file(self.dir.path(), "bad.wasm", b"garbage"), self.path("app.wasm")).unwrap();
    }

    /// Writes the configuration; `options` are lines in addition to the usual ones,
    /// or in their stead.
    pub fn configure(&self, greeting: &str, options: &str) {
        let cache = cache_dir();
        let mut text = String::new();
        for (name, value) in [
            ("app", "'app.wasm'".to_owned()),
            ("bind", "'127.0.0.1:0'".to_owned()),
            ("workers", "2".to_owned()),
            ("cache-dir", format!("{cache:?}")),
            ("control-socket", "'control'".to_owned()),
        ] {
            if !options.lines().any(|line| line.starts_with(&format!("{name} ="))) {
                text += &format!("{name} = {value}\n");
            }
        }
        self.write(&format!("{text}{options}\n[env]\nGREETING = {greeting:?}\n"));
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.path("wasgun.toml"), text).unwrap();
    }

    /// Starts the program here, with nothing but what the file says.
    pub fn command(&self) -> Command {
        let mut command = wasgun_at(&self.program());
        command.env_remove("WASGUN_CACHE_DIR").current_dir(self.dir.path());
        command
    }

    /// An option with which the next generation gets no further than to the key of
    /// its cache, until that is released.
    pub fn hold(&self) -> Held {
        let cache = self.path("cache");
        std::fs::create_dir(&cache).unwrap();
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o700)).unwrap();
        let key = cache.join("key");
        nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = File::options().read(true).write(true).open(&key).unwrap();
        Held { key, pipe }
    }

    #[track_caller]
    pub fn ctl(&self, order: &[&str]) -> Finished {
        ctl(&self.socket(), order)
    }

    /// Begins to run `wasgun ctl`.
    pub fn asker(&self, order: &[&str]) -> Server {
        Server::launch(ctl_command(&self.socket(), order))
    }

    /// Runs an order that is carried out; what it says.
    #[track_caller]
    pub fn order(&self, order: &[&str]) -> String {
        let done = self.ctl(order);
        assert_eq!(done.code, Some(0), "{order:?}: {}", done.stderr);
        assert_eq!(done.stderr, "");
        done.stdout
    }

    /// Runs an order that is not.
    #[track_caller]
    pub fn refuses(&self, order: &[&str], reason: &str) {
        let done = self.ctl(order);
        assert_eq!(done.code, Some(1), "{order:?}: {}", done.stdout);
        assert!(done.stderr.contains(reason), "not because of {reason:?}: {}", done.stderr);
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        status(&self.socket())
    }

    /// The process id of the master that answers.
    #[track_caller]
    pub fn master(&self) -> i32 {
        self.status()["pid"].as_i64().unwrap() as i32
    }

    /// The workers that serve.
    #[track_caller]
    pub fn serving(&self) -> BTreeSet<i32> {
        pids_in(&self.status(), &["ready", "recycling"]).into_iter().collect()
    }
}

/// What does not go on before it is released.
pub struct Held {
    key: PathBuf,
    pipe: File,
}

impl Held {
    /// The line of the configuration.
    pub fn option(&self) -> String {
        format!("cache-dir = {:?}\n", self.key.parent().unwrap())
    }

    pub fn release(mut self) {
        let key = file(self.key.parent().unwrap(), "new", &[7; 32]);
        std::fs::rename(key, &self.key).unwrap();
        self.pipe.write_all(&[7; 32]).unwrap();
    }
}

/// A server in a place of its own.
pub struct Site {
    // Dropped first.
    pub server: Server,
    place: Place,
}

impl Deref for Site {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Site {
    #[track_caller]
    pub fn start(options: &str) -> Self {
        Self::start_with(options, |_| {})
    }

    /// Of a command that is changed first.
    #[track_caller]
    pub fn start_with(options: &str, change: impl FnOnce(&mut Command)) -> Self {
        let place = Place::new();
        place.configure("one", options);
        let mut command = place.command();
        change(&mut command);
        Self { server: Server::spawn(command), place }
    }

    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// What the application finds in its environment; nothing, if it does not look.
    #[track_caller]
    pub fn greeting(&self) -> String {
        let response = get(self.address(), "/env");
        let pairs: Vec<(String, String)> = serde_json::from_slice(&response.body).unwrap_or_default();
        let found = pairs.into_iter().find(|(name, _)| name == "GREETING");
        found.map(|(_, greeting)| greeting).unwrap_or_default()
    }

    /// Waits for that to be this: for a moment after a change the workers before it
    /// take connections too.
    #[track_caller]
    pub fn comes_to_greet(&self, greeting: &str) {
        eventually(&format!("it says {greeting}"), || self.greeting() == greeting);
    }

    /// The same for a component that greets everybody alike.
    #[track_caller]
    pub fn comes_to_say_hello(&self) {
        eventually("it says hello", || get(self.address(), "/env").text() == "Hello, world!\n");
    }

    /// Has the server upgraded; the process id of the new master. All of the old
    /// one's processes are gone then.
    #[track_caller]
    pub fn upgrade(&self) -> i32 {
        let old = self.processes();
        self.order(&["upgrade", "--wait"]);
        self.gone(&old);
        self.master()
    }

    /// The master and all that it has.
    #[track_caller]
    pub fn processes(&self) -> Vec<i32> {
        let master = self.master();
        let mut all = descendants(master);
        assert!(all.len() > 1, "no mold or no worker: {all:?}");
        all.push(master);
        all
    }

    #[track_caller]
    pub fn gone(&self, processes: &[i32]) {
        eventually("they are gone", || !processes.iter().any(|pid| is_alive(*pid)));
    }
}

/// Whether there is a file, of whatever kind.
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
