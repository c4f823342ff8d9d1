//! A project on its way from the program that writes it to a server that runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::checks::Check;
use super::support::guests::folder;
use super::support::{self, Server};
use super::table::Cell;
use wasgun::templates;

/// Where a project comes from.
pub enum Origin {
    /// `wasgun new` writes it.
    Template(&'static str),
    /// It is a folder that nobody should start from, below a name of its own.
    Folder(&'static str, &'static str),
}

/// All of them.
pub fn all() -> Vec<Origin> {
    let templates = templates::all().iter().map(|template| Origin::Template(template.name));
    // One answers a single request an instance, and is served for all that; one has the
    // standard library's validator between the server and the app.
    let others = [
        Origin::Folder("fetch-event", "guests/fetch-event"),
        Origin::Folder("wsgi", "sdk/wsgi/tests/component"),
    ];
    templates.chain(others).collect()
}

impl Origin {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Template(name) | Self::Folder(name, _) => name,
        }
    }

    /// Makes a copy at `dir`, which is not there; the commands that build it and serve it.
    fn copy(&self, dir: &Path) -> Result<Vec<String>, String> {
        match self {
            Self::Template(name) => {
                let mut command = support::wasgun();
                let written = support::run({
                    command.args(["new", name]).arg(dir);
                    command
                });
                if written.code != Some(0) {
                    return Err(format!("wasgun new says {:?}: {}", written.code, written.stderr));
                }
                Ok(block(&written.stdout).into_iter().filter(|line| !line.starts_with("cd ")).collect())
            }
            Self::Folder(_, path) => {
                for (path, bytes) in folder(path) {
                    let path = dir.join(path);
                    fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(|error| error.to_string())?;
                    fs::write(path, bytes).map_err(|error| error.to_string())?;
                }
                let readme = fs::read_to_string(dir.join("README.md")).map_err(|error| error.to_string())?;
                Ok(block(&readme))
            }
        }
    }
}

/// The first block of code in a text.
fn block(text: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with("    "));
    lines.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

/// A project that is built.
pub struct Project {
    name: &'static str,
    app: PathBuf,
    /// Servers, by how often they reuse an instance.
    servers: [(u32, Server); 2],
}

impl Project {
    /// Builds it by its own commands; or takes what was built of the same files before.
    ///
    /// # Errors
    /// What went wrong.
    pub fn build(origin: &Origin) -> Result<Self, String> {
        let name = origin.name();
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages");
        fs::create_dir_all(&root).map_err(|error| error.to_string())?;
        let (fresh, dir) = (root.join(format!("{name}.new")), root.join(name));
        drop(fs::remove_dir_all(&fresh));
        let commands = origin.copy(&fresh)?;
        let (serve, build) = commands.split_last().ok_or("its README has no commands")?;
        let stamp = stamp(&fresh, build)?;
        let app = serve.split_whitespace().nth(1).ok_or_else(|| format!("what does {serve:?} serve?"))?;
        let app = dir.join(app);
        let is_built = fs::read_to_string(root.join(format!("{name}.stamp"))).is_ok_and(|old| old == stamp);
        if !(is_built && app.exists()) {
            drop(fs::remove_dir_all(&dir));
            fs::rename(&fresh, &dir).map_err(|error| error.to_string())?;
            build.iter().try_for_each(|command| run(command, &dir))?;
            fs::write(root.join(format!("{name}.stamp")), stamp).map_err(|error| error.to_string())?;
        }
        let start = |reuse: u32| {
            let (app, reuse_text) = (app.to_string_lossy().into_owned(), reuse.to_string());
            (reuse, Server::start(&[&app, "-w", "1", "--instance-max-requests", &reuse_text]))
        };
        Ok(Self { name, servers: [1, 100].map(start), app })
    }

    /// Bytes of the component.
    pub fn size(&self) -> u64 {
        fs::metadata(&self.app).map_or(0, |file| file.len())
    }

    /// How a check fails, if it does, of a server that reuses its instances so often.
    pub fn fails(&self, check: &Check, reuse: u32) -> Option<Cell> {
        let (_, server) = self.servers.iter().find(|(times, _)| *times == reuse)?;
        let error = (check.run)(server, self.name).err()?;
        Some(Cell::Failed(format!("--instance-max-requests {reuse}: {error}")))
    }

    /// What the server had to say of its reuse.
    pub fn note(&self) -> String {
        let is_once_only = self.servers[1].1.count_log("answer one request only") > 0;
        if is_once_only { "answers once only; served by fresh instances".to_owned() } else { String::new() }
    }
}

/// Changes with the files and the commands.
fn stamp(dir: &Path, commands: &[String]) -> Result<String, String> {
    let mut hasher = blake3::Hasher::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let mut paths: Vec<_> = fs::read_dir(&dir)
            .map_err(|error| error.to_string())?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                dirs.push(path);
            } else {
                hasher.update(path.as_os_str().as_encoded_bytes());
                hasher.update(&fs::read(&path).map_err(|error| error.to_string())?);
            }
        }
    }
    for command in commands {
        hasher.update(command.as_bytes());
    }
    Ok(hasher.finalize().to_string())
}

/// Runs a command of a README as its reader would.
fn run(command: &str, dir: &Path) -> Result<(), String> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(dir).stdin(Stdio::null());
    // Settings for the server's own build are none for the guests'.
    for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        shell.env_remove(name);
    }
    let output = shell.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().collect();
    Err(format!("{command}: {}\n{}", output.status, lines[lines.len().saturating_sub(30)..].join("\n")))
}
