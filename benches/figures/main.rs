//! The figures that README.md promises, measured on this machine: CPU time a
//! request, memory of an idle worker, and how soon things happen.
//!
//!     cargo bench --bench figures
//!
//! `WASGUN_BENCH_APP=big.wasm` adds the memory and the start of that component.

mod measure;
mod native;

use std::path::Path;
use std::time::Duration;

use measure::{Server, median};

/// Rounds, in turns between the cases, since the machine is not quiet.
const ROUNDS: usize = 5;

/// Requests a round and case.
const REQUESTS: usize = 20_000;

fn main() {
    if std::env::args().any(|argument| argument == "native") {
        native::serve().expect("the native server runs");
        return;
    }
    // `cargo test --benches` would call this without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let guests = build_guests();
    let guest = |name: &str| guests.join(format!("{name}.wasm")).display().to_string();
    cpu_per_request(&guest);
    idle_workers(&guest("hello"), "hello");
    replacement(&guest("hello"));
    start(&guest("hello"), "hello");
    if let Ok(app) = std::env::var("WASGUN_BENCH_APP") {
        idle_workers(&app, &app);
        start(&app, &app);
    }
}

fn cpu_per_request(guest: &dyn Fn(&str) -> String) {
    let reused = ["--instance-max-requests", "1000000"];
    let (hello, hello_p3) = (guest("hello"), guest("hello_p3"));
    let mut cases = vec![("native hyper, no wasm", Server::native())];
    for (name, app, extra) in [
        ("0.2, fresh instance", &hello, &[][..]),
        ("0.2, reused instance", &hello, &reused[..]),
        ("0.3, fresh instance", &hello_p3, &[][..]),
        ("0.3, reused instance", &hello_p3, &reused[..]),
    ] {
        let mut args = vec![app.as_str(), "-w", "1"];
        args.extend(extra);
        cases.push((name, Server::wasgun(&args)));
    }
    println!("CPU time of the server, hello world, one worker, 32 keep-alive connections:");
    let mut costs = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, server), costs) in cases.iter().zip(&mut costs) {
            costs.push(server.cpu_micros_per_request(REQUESTS));
        }
    }
    let floor = median(&mut costs[0]);
    for ((name, _), costs) in cases.iter().zip(&mut costs) {
        let cost = median(costs);
        println!("  {name:<24} {cost:6.1} µs a request, {:4.1} times native", cost / floor);
    }
}

fn idle_workers(app: &str, name: &str) {
    let server = Server::wasgun(&[app, "-w", "4"]);
    let workers = server.workers();
    let mut dirty: Vec<_> = workers.iter().map(|pid| measure::private_dirty_kib(*pid)).collect();
    println!(
        "idle workers of {name}: {:.0} KiB private dirty each (median of {})",
        median(&mut dirty),
        workers.len()
    );
    let time = Duration::from_secs(10);
    let before: Vec<_> = workers.iter().map(|pid| measure::wake_ups(*pid)).collect();
    std::thread::sleep(time);
    let mut woken: Vec<_> = workers
        .iter()
        .zip(before)
        .map(|(pid, before)| (measure::wake_ups(*pid) - before) as f64 / time.as_secs_f64())
        .collect();
    println!("idle workers of {name}: {:.1} wake-ups a second each", median(&mut woken));
}

fn replacement(app: &str) {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let server = Server::wasgun(&[app, "-w", "1"]);
            server.answer();
            server.time_to_replace(server.workers()[0])
        })
        .collect();
    println!("a killed worker: the next request is answered by another {:.1} ms later", median(&mut times));
}

fn start(app: &str, name: &str) {
    drop(Server::wasgun(&[app, "-w", "1"]));
    let mut times: Vec<_> = (0..ROUNDS).map(|_| Server::time_to_first_answer(&[app, "-w", "4"])).collect();
    println!("start of {name} with a warm cache: first answer {:.1} ms after exec", median(&mut times));
}

fn build_guests() -> std::path::PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let status = std::process::Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2"])
        .current_dir(&guests)
        .env_remove("CARGO_TARGET_DIR")
        .status();
    assert!(status.is_ok_and(|status| status.success()), "run: rustup target add wasm32-wasip2");
    guests.join("target/wasm32-wasip2/release")
}
