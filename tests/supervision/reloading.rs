//! HUP: the next generation beside the one before it, and then instead.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::{Load, Style};
use crate::support::client::{Connection, get};
use crate::support::guests::guest;
use crate::support::processes::{begin, mold_beside, release, threads, workers};
use crate::support::{Server, cache_dir, eventually, file, is_alive, signal, wasgun};

/// A server with a configuration file and a component of its own.
struct Site {
    dir: tempfile::TempDir,
    server: Server,
}

impl Site {
    #[track_caller]
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(guest("probe"), dir.path().join("app.wasm")).unwrap();
        let file = dir.path().join("wasgun.toml");
        std::fs::write(&file, text(&dir.path().join("app.wasm"), 2, "one")).unwrap();
        let mut command = wasgun();
        // The file says it, so that it can be changed.
        command.env_remove("WASGUN_CACHE_DIR").arg("-c").arg(file);
        Self { server: Server::spawn(command), dir }
    }

    fn configure(&self, workers: usize, greeting: &str) {
        self.write(&text(&self.component(), workers, greeting));
    }

    fn write(&self, text: &str) {
        std::fs::write(self.dir.path().join("wasgun.toml"), text).unwrap();
    }

    fn component(&self) -> PathBuf {
        self.dir.path().join("app.wasm")
    }

    /// What the application finds in its environment.
    #[track_caller]
    fn greeting(&self) -> String {
        let response = get(&self.server.address, "/env");
        let pairs: Vec<(String, String)> = serde_json::from_slice(&response.body).unwrap();
        pairs.into_iter().find(|(name, _)| name == "GREETING").unwrap().1
    }

    /// The workers that are there now.
    fn workers_of_this_generation(&self) -> Vec<i32> {
        let molds = |pid: &i32| threads(*pid) == 1;
        self.server.children().into_iter().filter(|pid| !molds(pid)).collect()
    }

    #[track_caller]
    fn hup_until(&mut self, text: &str) {
        self.server.signal("HUP");
        self.server.wait_for_log(text);
    }

    /// A reload that gets no further until it is let go: its mold waits for the key
    /// of its cache.
    #[track_caller]
    fn begin_a_reload(&mut self) -> Held {
        let cache = self.dir.path().join("cache");
        std::fs::create_dir(&cache).unwrap();
        std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let key = cache.join("key");
        nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = File::options().read(true).write(true).open(&key).unwrap();
        let (own, usual) = (cache.to_str().unwrap(), cache_dir());
        self.write(&text(&self.component(), 2, "two").replace(usual.to_str().unwrap(), own));
        self.hup_until("reloading");
        Held { key, pipe }
    }

    /// What `change` broke must not touch what runs, nor what replaces it.
    #[track_caller]
    fn goes_on_after(mut self, change: impl FnOnce(&Self), complaint: &str) {
        let before = workers(&self.server.address, 2);
        let load = Load::start(&self.server.address, &[Style::Fresh, Style::Kept]);
        change(&self);

        self.hup_until(complaint);

        load.goes_on();
        assert_eq!(load.stop(), [""; 0]);
        assert_eq!(workers(&self.server.address, 2), before);
        mold_beside(&self.server, &before);
        let victim = *before.first().unwrap();
        signal(victim, "KILL");
        eventually("it is gone", || !is_alive(victim));
        assert_eq!(workers(&self.server.address, 2).intersection(&before).count(), 1);
        assert_eq!(self.greeting(), "one");
        // And once it is mended the next reload works.
        std::fs::copy(guest("probe"), self.component()).unwrap();
        self.configure(2, "two");
        self.server.signal("HUP");
        eventually("the mended one serves", || self.greeting() == "two");
    }
}

/// A reload that waits.
struct Held {
    key: PathBuf,
    pipe: File,
}

impl Held {
    /// Lets it go on.
    fn release(mut self) {
        let key = file(self.key.parent().unwrap(), "new", &[7; 32]);
        std::fs::rename(key, &self.key).unwrap();
        self.pipe.write_all(&[7; 32]).unwrap();
    }
}

/// A configuration file.
fn text(app: &Path, workers: usize, greeting: &str) -> String {
    let cache = cache_dir();
    format!(
        "app = {app:?}\ncache-dir = {cache:?}\nbind = \"127.0.0.1:0\"\nworkers = {workers}\n\
         [env]\nGREETING = {greeting:?}\n"
    )
}

#[test]
fn reloads_under_load_fail_no_request() {
    let mut site = Site::start();
    let load = Load::start(&site.server.address, &[Style::Fresh, Style::Fresh, Style::Kept, Style::Kept]);
    let mut before: BTreeSet<_> = workers(&site.server.address, 2);
    for (generation, count, greeting) in [(2, 2, "two"), (3, 3, "three"), (4, 1, "four"), (5, 2, "five")] {
        load.goes_on();
        let old_greeting = site.greeting();
        let mut held = Connection::open(&site.server.address);
        begin(&mut held, "/env");
        site.configure(count, greeting);

        site.hup_until(&format!("ready: generation {generation}, {count} worker"));

        load.goes_on();
        release(&mut held);
        let answer = held.read().unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(&old_greeting), "not by who began with it: {}", answer.text());
        eventually("the generation before has ended", || !before.iter().any(|pid| is_alive(*pid)));
        assert_eq!(site.greeting(), greeting);
        let after = workers(&site.server.address, count);
        assert!(before.is_disjoint(&after), "{before:?} {after:?}");
        before = after;
    }
    assert_eq!(load.stop(), [""; 0]);
}

#[test]
fn a_broken_configuration_is_refused_and_the_old_one_goes_on() {
    let spoil = |site: &Site| site.write("workers = = 4");
    Site::start().goes_on_after(spoil, "the reload is refused");
}

#[test]
fn a_broken_component_is_given_up_and_the_old_one_goes_on() {
    let spoil = |site: &Site| std::fs::write(site.component(), "garbage").unwrap();
    Site::start().goes_on_after(spoil, "the reload is given up");
}

#[test]
fn a_reload_asked_for_during_another_follows_it() {
    let mut site = Site::start();
    let held = site.begin_a_reload();
    site.configure(2, "three");

    site.hup_until("another follows it");
    assert_eq!(site.greeting(), "one");
    held.release();

    site.server.wait_for_log("ready: generation 3");
    eventually("the last configuration serves", || site.greeting() == "three");
}

#[test]
fn a_new_address_may_be_asked_for_again_before_it_is_in_use() {
    let mut site = Site::start();
    let _held = site.begin_a_reload();
    let another = format!("127.0.0.1:0\", \"unix:{}", site.dir.path().join("socket").display());
    site.write(&text(&site.component(), 2, "three").replace("\"127.0.0.1:0\"", &format!("[\"{another}\"]")));
    site.hup_until("another follows it");

    site.server.signal("HUP");

    eventually("it is accepted again, or refused", || {
        site.server.count_log("another follows it") + site.server.count_log("refused") == 2
    });
    assert_eq!(site.server.count_log("refused"), 0, "{:?}", site.server.log());
}

#[test]
fn a_reload_leaves_no_process_of_the_old_generation() {
    let mut site = Site::start();
    for generation in [2, 3] {
        site.hup_until(&format!("ready: generation {generation}"));
    }
    // Two workers and their mold.
    eventually("the others have ended", || site.server.children().len() == 3);
}

#[test]
fn a_worker_that_is_being_forked_when_a_reload_retires_its_mold_does_not_stay() {
    const ROUNDS: u64 = 48;
    let mut site = Site::start();
    for round in 0..ROUNDS {
        let before = workers(&site.server.address, 2);
        site.server.signal("HUP");
        // Some of the rounds hit the moment.
        std::thread::sleep(Duration::from_millis(round % 12));
        for pid in before {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        site.server.wait_for_log(&format!("ready: generation {}", round + 2));
        eventually("two workers and the mold are left", || site.server.children().len() == 3);
    }
}

#[test]
fn a_reload_that_names_a_descriptor_of_the_server_is_refused_and_harms_nothing() {
    for number in 3..10 {
        let mut site = Site::start();
        let two = text(&site.component(), 2, "two");
        site.write(&two.replace("127.0.0.1:0", &format!("fd://{number}")));
        site.hup_until("the reload is refused");

        site.configure(2, "three");
        site.hup_until("ready: generation 2");
        eventually("the mended one serves", || site.greeting() == "three");
    }
}

#[test]
fn a_reload_under_more_load_than_there_are_places_loses_nobody() {
    let mut site = Site::start();
    site.write(&format!("max-concurrency = 2\n{}", text(&site.component(), 1, "two")));
    site.hup_until("ready: generation 2");
    let load = Load::start(&site.server.address, &[Style::Fresh; 24]);
    load.goes_on();
    let old = site.workers_of_this_generation();

    site.write(&format!("max-concurrency = 2\n{}", text(&site.component(), 1, "three")));
    site.hup_until("ready: generation 3");

    // Its queue is never empty, and yet it ends.
    eventually("the worker before has ended", || !old.iter().any(|pid| is_alive(*pid)));
    load.goes_on();
    assert_eq!(load.stop(), [""; 0]);
    assert_eq!(site.server.count_log("killed"), 0);
}

#[test]
fn a_reload_sets_how_workers_log() {
    let mut site = Site::start();
    site.write(&format!("log-format = 'json'\n{}", text(&site.component(), 1, "two")));
    site.hup_until("ready: generation 2");
    eventually("the old workers are gone", || site.server.children().len() == 2);
    assert_eq!(get(&site.server.address, "/trap").status, 500);
    let line = site.server.wait_for_log("unreachable");
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
}

#[test]
fn an_address_taken_off_by_a_reload_is_closed() {
    let mut site = Site::start();
    let old = site.server.address.clone();
    let new = "127.0.0.2:0";
    site.write(&text(&site.component(), 1, "two").replace("127.0.0.1:0", new));
    site.hup_until("listening on http://127.0.0.2:");
    site.server.wait_for_log("ready: generation 2");
    eventually("the old address is free", || std::net::TcpListener::bind(&old).is_ok());
}
