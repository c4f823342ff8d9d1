//! What is measured: each case is a server, and a load on it.

use crate::equipment::{Equipment, Found, Guest, place, root};
use crate::load::Load;
use crate::server::Launch;

/// Requests an instance is kept for where it is "reused": as good as for ever.
const REUSED: &str = "1000000";

const GET: Load = Load { path: "/", body: 0, connections: 32 };
/// As many for each of two workers: what a request costs depends on how many others
/// its worker has.
const GET_BY_TWO: Load = Load { path: "/", body: 0, connections: 64 };
const ECHO_SMALL: Load = Load { path: "/echo", body: 64 << 10, connections: 32 };
/// Few connections: each has the whole body on its way in both directions.
const ECHO_BIG: Load = Load { path: "/echo", body: 10 << 20, connections: 4 };

pub const HELLO: &str = "hello";
pub const ECHO_64K: &str = "echo 64 KiB";
pub const ECHO_10M: &str = "echo 10 MiB";
pub const FLASK: &str = "Flask";
pub const JAVASCRIPT: &str = "JavaScript";

/// A server under a load. Cases of a group do the same work.
pub struct Case {
    pub group: &'static str,
    pub server: &'static str,
    pub load: Load,
    /// It may use the core of the load too.
    pub on_both_cores: bool,
    kind: Kind,
}

/// What answers.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Native { workers: u32 },
    Wasgun { guest: Guest, instance: Instance, workers: u32 },
    Serve { guest: Guest, instance: Instance },
    Uvicorn,
    Granian,
    GunicornUvicorn,
    GunicornFlask,
}

/// Whether requests share an instance.
#[derive(Debug, Clone, Copy)]
pub enum Instance {
    Fresh,
    Reused,
}

use Instance::{Fresh, Reused};

impl Case {
    const fn new(group: &'static str, server: &'static str, load: Load, kind: Kind) -> Self {
        let on_both_cores = matches!(
            kind,
            Kind::Native { workers: 2.. } | Kind::Wasgun { workers: 2.., .. } | Kind::GunicornUvicorn
        );
        Self { group, server, load, on_both_cores, kind }
    }

    pub fn name(&self) -> String {
        format!("{}: {}", self.group, self.server)
    }

    /// How to start it.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub fn launch(&self, equipment: &Equipment) -> Found<Launch> {
        let python_app = |program: &str, args: &[&str], dir: &str| -> Found<Launch> {
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            Ok(Launch { program: equipment.python(program)?, args, dir: Some(root().join(dir)) })
        };
        let fastapi = "benches/compare";
        match self.kind {
            Kind::Native { workers } => {
                let args = vec!["{address}".to_owned(), workers.to_string()];
                Ok(Launch { program: equipment.native()?, args, dir: None })
            }
            Kind::Wasgun { guest, instance, workers } => wasgun(equipment, guest, instance, workers),
            Kind::Serve { guest, instance } => serve(equipment, guest, instance),
            Kind::Uvicorn => {
                python_app("uvicorn", &["fastapi_app:app", "--port", "{port}", "--no-access-log"], fastapi)
            }
            Kind::Granian => python_app(
                "granian",
                &["--interface", "asgi", "--port", "{port}", "fastapi_app:app"],
                fastapi,
            ),
            Kind::GunicornUvicorn => python_app(
                "gunicorn",
                &[
                    "--no-control-socket",
                    "-b",
                    "{address}",
                    "-w",
                    "4",
                    "-k",
                    "uvicorn_worker.UvicornWorker",
                    "fastapi_app:app",
                ],
                fastapi,
            ),
            Kind::GunicornFlask => {
                python_app("gunicorn", &["--no-control-socket", "-b", "{address}", "app:app"], "guests/flask")
            }
        }
    }
}

/// How to start wasgun with its defaults but for what is said here.
///
/// # Errors
/// The component cannot be had.
pub fn wasgun(equipment: &Equipment, guest: Guest, instance: Instance, workers: u32) -> Found<Launch> {
    let (app, cache) = (equipment.component(guest)?, place("cache"));
    let mut args = vec![
        app.display().to_string(),
        format!("--workers={workers}"),
        format!("--cache-dir={}", cache.display()),
        "--bind={address}".to_owned(),
    ];
    if matches!(instance, Reused) {
        args.push(format!("--instance-max-requests={REUSED}"));
    }
    Ok(Launch { program: env!("CARGO_BIN_EXE_wasgun").into(), args, dir: None })
}

/// `wasmtime serve` with its defaults, its component compiled ahead as wasgun's
/// is. Without the flag a 0.2 instance is fresh and a 0.3 one reused 128 times.
fn serve(equipment: &Equipment, guest: Guest, instance: Instance) -> Found<Launch> {
    let compiled = equipment.compiled_by_wasmtime(guest)?;
    let reuse = match instance {
        Fresh => "1",
        Reused => REUSED,
    };
    let args = ["serve", "-Scli", "--allow-precompiled", "--addr={address}"].map(str::to_owned);
    let mut args = args.to_vec();
    args.push(format!("--max-instance-reuse-count={reuse}"));
    args.push(compiled.display().to_string());
    Ok(Launch { program: equipment.wasmtime()?, args, dir: None })
}

/// All cases.
pub fn all() -> Vec<Case> {
    use Guest::{Echo, EchoP3, Flask, Hello, HelloP3, JavaScript};
    let wasgun = |guest, instance| Kind::Wasgun { guest, instance, workers: 1 };
    let two = |guest| Kind::Wasgun { guest, instance: Fresh, workers: 2 };
    let serve = |guest, instance| Kind::Serve { guest, instance };
    let native = Kind::Native { workers: 1 };
    let mut cases = vec![
        Case::new(HELLO, "native hyper", GET, native),
        Case::new(HELLO, "wasgun, 0.2 fresh", GET, wasgun(Hello, Fresh)),
        Case::new(HELLO, "wasgun, 0.2 reused", GET, wasgun(Hello, Reused)),
        Case::new(HELLO, "wasgun, 0.3 fresh", GET, wasgun(HelloP3, Fresh)),
        Case::new(HELLO, "wasgun, 0.3 reused", GET, wasgun(HelloP3, Reused)),
        Case::new(HELLO, "wasmtime serve, 0.2 fresh", GET, serve(Hello, Fresh)),
        Case::new(HELLO, "wasmtime serve, 0.2 reused", GET, serve(Hello, Reused)),
        Case::new(HELLO, "wasmtime serve, 0.3 fresh", GET, serve(HelloP3, Fresh)),
        Case::new(HELLO, "wasmtime serve, 0.3 reused", GET, serve(HelloP3, Reused)),
        Case::new(HELLO, "granian, FastAPI", GET, Kind::Granian),
        Case::new(HELLO, "uvicorn, FastAPI", GET, Kind::Uvicorn),
        Case::new(HELLO, "gunicorn, 4 uvicorn workers, FastAPI", GET, Kind::GunicornUvicorn),
        Case::new(HELLO, "native hyper, 2 workers", GET_BY_TWO, Kind::Native { workers: 2 }),
        Case::new(HELLO, "wasgun, 0.2 fresh, 2 workers", GET_BY_TWO, two(Hello)),
    ];
    for (group, load) in [(ECHO_64K, ECHO_SMALL), (ECHO_10M, ECHO_BIG)] {
        cases.extend([
            Case::new(group, "native hyper", load, native),
            Case::new(group, "wasgun, 0.2 fresh", load, wasgun(Echo, Fresh)),
            Case::new(group, "wasgun, 0.3 fresh", load, wasgun(EchoP3, Fresh)),
            Case::new(group, "wasmtime serve, 0.2 fresh", load, serve(Echo, Fresh)),
            Case::new(group, "wasmtime serve, 0.3 fresh", load, serve(EchoP3, Fresh)),
        ]);
    }
    cases.extend([
        Case::new(FLASK, "gunicorn, sync worker, natively", GET, Kind::GunicornFlask),
        Case::new(FLASK, "wasgun, fresh", GET, wasgun(Flask, Fresh)),
        Case::new(FLASK, "wasgun, reused", GET, wasgun(Flask, Reused)),
        Case::new(FLASK, "wasmtime serve, fresh", GET, serve(Flask, Fresh)),
        Case::new(FLASK, "wasmtime serve, reused", GET, serve(Flask, Reused)),
        Case::new(FLASK, "wasgun, fresh, 2 workers", GET_BY_TWO, two(Flask)),
        Case::new(JAVASCRIPT, "wasgun, fresh", GET, wasgun(JavaScript, Fresh)),
        Case::new(JAVASCRIPT, "wasmtime serve, fresh", GET, serve(JavaScript, Fresh)),
    ]);
    cases
}
