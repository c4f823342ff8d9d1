//! The host tries an app without a request: whether an instance of it can be made.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use support::guests::guest;
use support::{cache_dir, file};
use tokio::time::Instant;
use wasgun::artifact::Cache;
use wasgun::config::{Command, Invocation};
use wasgun::host::{self, App, Failure, LoadedApp, Uncompiled};

/// The app of a component, in this process.
fn load(component: &Path) -> Arc<App> {
    let args = ["wasgun".as_ref(), component.as_os_str(), "--cache-dir".as_ref(), cache_dir().as_os_str()]
        .map(ToOwned::to_owned)
        .to_vec();
    let invocation = Invocation { args, env: Vec::new(), cwd: std::env::temp_dir() };
    let Ok(Command::Serve(config)) = invocation.resolve() else { panic!("{component:?} is not accepted") };
    let app = &config.pool.apps[0];
    let cache = Cache::open(config.cache_dir.as_deref()).unwrap();
    let component = Uncompiled::read(&app.source, &app.middleware).unwrap();
    cache.fill(&component.fingerprint().unwrap(), |draft| component.compile(draft)).unwrap();
    let loaded = LoadedApp::load(app, &config, None).unwrap().expect("it is compiled");
    host::start(vec![loaded], 1 << 20).unwrap().remove(0)
}

fn try_instance(app: &App, time: Duration) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { app.try_instance(Instant::now() + time).await })
}

/// The demo with another start.
fn with_start(dir: &Path, body: &str) -> std::path::PathBuf {
    let memory = "(memory (export \"memory\") 1)";
    let text = include_str!("../guests/hello.wat");
    assert!(text.contains(memory));
    let changed = text.replacen(memory, &format!("{memory} (func $begin {body}) (start $begin)"), 1);
    file(dir, "app.wat", changed.as_bytes())
}

#[test]
fn an_instance_of_either_generation_can_be_made_and_made_again() {
    for name in ["probe", "probe_p3"] {
        let app = load(&guest(name));
        for _ in 0..3 {
            try_instance(&app, support::PATIENCE).unwrap();
        }
    }
}

#[test]
fn a_start_that_traps_or_does_not_end_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let trapped = try_instance(&load(&with_start(dir.path(), "unreachable")), support::PATIENCE);
    assert!(matches!(&trapped, Err(Failure::Instantiate(_))), "{trapped:?}");
    let late =
        try_instance(&load(&with_start(dir.path(), "(loop $on (br $on))")), Duration::from_millis(100));
    assert!(matches!(&late, Err(Failure::Timeout)), "{late:?}");
}
