//! The host alone, without a socket: what a request through an instance costs, and
//! an instance that is made and dropped again.
//!
//!     cargo bench --bench host

use std::path::Path;
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::{BodyExt, Empty};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasgun::artifact::Cache;
use wasgun::config::{Command, Invocation};
use wasgun::host::{self, App, Call, LoadedApp, Request, RequestBody, Uncompiled};

fn requests(criterion: &mut Criterion) {
    let guests = build_guests();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (guest, name) in [("hello", "0.2"), ("hello_p3", "0.3")] {
        for (requests, how) in [("1", "fresh"), ("1000000000", "reused")] {
            let app = load(&guests.join(guest).with_extension("wasm"), requests);
            criterion.bench_function(&format!("request/{name} {how}"), |bencher| {
                bencher.iter_custom(|count| timed(&runtime, || request(&app), count));
            });
        }
    }
}

/// Of an instance that answers nothing: the rest of a fresh request is the call.
/// Its memory is reset when it is dropped, so that this is in it.
fn instances(criterion: &mut Criterion) {
    let guests = build_guests();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (guest, name) in [("hello", "0.2"), ("hello_p3", "0.3")] {
        let app = load(&guests.join(guest).with_extension("wasm"), "1");
        criterion.bench_function(&format!("instance/{name}"), |bencher| {
            let make = || async { app.try_instance(deadline()).await.expect("it has room") };
            bencher.iter_custom(|count| timed(&runtime, make, count));
        });
    }
}

/// Time of `count` turns within one run of the runtime.
fn timed<F: Future<Output = ()>>(runtime: &Runtime, turn: impl Fn() -> F, count: u64) -> Duration {
    runtime.block_on(async {
        let started = std::time::Instant::now();
        for _ in 0..count {
            turn().await;
        }
        started.elapsed()
    })
}

/// One request, its response read to the end.
async fn request(app: &Arc<App>) {
    let places = Arc::new(Semaphore::new(1));
    let permit = places.acquire_owned().await.expect("it is open");
    let call =
        Call { id: "bench".into(), deadline: deadline(), secure: false, usage: Arc::default(), permit };
    let body: RequestBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let request: Request = http::Request::get("http://bench/").body(body).expect("it is complete");
    let response = app.handle(request, call).await.expect("the guest answers");
    assert!(response.status().is_success());
    let body = response.into_body().collect().await.expect("all of it comes");
    assert_eq!(body.to_bytes(), "Hello, world!\n");
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// A component in this process, as a worker has it.
fn load(component: &Path, requests: &str) -> Arc<App> {
    use std::os::unix::fs::DirBuilderExt;
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare/cache");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache).expect("target/tmp can be written");
    let options =
        [("cache-dir", cache.display().to_string()), ("instance-max-requests", requests.to_owned())];
    let mut args = vec!["wasgun".into(), component.into()];
    args.extend(options.iter().map(|(option, value)| format!("--{option}={value}").into()));
    let invocation = Invocation { args, env: Vec::new(), cwd: std::env::temp_dir() };
    let Ok(Command::Serve(config)) = invocation.resolve() else { panic!("{component:?} is not accepted") };
    let app = &config.pool.apps[0];
    let cache = Cache::open(config.cache_dir.as_deref()).expect("the cache is private");
    let component = Uncompiled::read(&app.source, &app.middleware).expect("it is there");
    let name = component.fingerprint().expect("the machine is supported");
    cache.fill(&name, |draft| component.compile(draft)).expect("it compiles");
    let loaded = LoadedApp::load(app, &config, None).expect("it loads").expect("it is compiled");
    host::start(vec![loaded], 1 << 20).expect("a thread").remove(0)
}

fn build_guests() -> std::path::PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let mut cargo = Process::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2"]);
    let built = cargo.current_dir(&guests).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").status();
    assert!(built.is_ok_and(|status| status.success()), "run: rustup target add wasm32-wasip2");
    guests.join("target/wasm32-wasip2/release")
}

criterion_group!(benches, requests, instances);
criterion_main!(benches);
