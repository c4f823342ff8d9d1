//! `wasgun new`: projects to start from, which are the folders of guests/ as they were when
//! this program was built.

mod table;

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};

use table::TEMPLATES;

/// A file of a project, by its path there.
type File = (&'static str, &'static [u8]);

/// A project to start from.
#[derive(Debug)]
pub struct Template {
    /// What it is asked for by.
    pub name: &'static str,
    /// What it is made with.
    pub about: &'static str,
    /// What is its own.
    own: &'static [File],
    /// Folders that it shares with others.
    shared: &'static [(&'static str, &'static [File])],
}

impl Template {
    /// The one called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        TEMPLATES.iter().find(|template| template.name == name)
    }

    /// Its files, by their paths in the project.
    pub fn files(&self) -> impl Iterator<Item = (String, &'static [u8])> {
        let own = self.own.iter().map(|(path, bytes)| ((*path).to_owned(), *bytes));
        let shared = self.shared.iter().flat_map(|(folder, files)| {
            files.iter().map(move |(path, bytes)| (format!("{folder}/{path}"), *bytes))
        });
        own.chain(shared)
    }

    /// Writes the project; all of its files, or none.
    ///
    /// # Errors
    /// There is something at `dir` already, or it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let shown = dir.display();
        let was_there = match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
            Ok(true) => true,
            Ok(false) => bail!("{shown} is not empty: name a directory that is, or is not there yet"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                bail!("{shown} is a file: name a directory that is empty, or is not there yet")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot look into {shown}")),
        };
        if !was_there {
            // Made here and not by the way: what fails is removed, and that has to be ours.
            let made = fs::create_dir_all(dir.parent().unwrap_or(dir)).and_then(|()| fs::create_dir(dir));
            made.with_context(|| format!("cannot make {shown}"))?;
        }
        let written = self.write_to(dir);
        written.inspect_err(|_| remove(dir, was_there)).with_context(|| format!("cannot write {shown}"))
    }

    fn write_to(&self, dir: &Path) -> io::Result<()> {
        for (path, bytes) in self.files() {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// What builds it and serves it: the first block of its README.
    pub fn commands(&self) -> Vec<&'static str> {
        let readme = self.own.iter().find(|(path, _)| *path == "README.md");
        let text = readme.and_then(|(_, bytes)| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        let lines = text.lines().skip_while(|line| !line.starts_with("    "));
        lines.map_while(|line| line.strip_prefix("    ")).collect()
    }
}

/// Removes what was written to `dir`, which was empty, or not there.
fn remove(dir: &Path, was_there: bool) {
    // What cannot be removed either is seen by who asked for it.
    if !was_there {
        drop(fs::remove_dir_all(dir));
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        drop(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    }
}

/// All of them.
pub fn all() -> &'static [Template] {
    TEMPLATES
}

/// The same, for people.
pub fn list() -> String {
    let mut text = "wasgun new TEMPLATE DIR writes a project to start from:\n\n".to_owned();
    for template in TEMPLATES {
        text.push_str(&format!("  {:<12} {}\n", template.name, template.about));
    }
    text
}

/// That there is none called `name`.
pub fn unknown(name: &str) -> String {
    let names: Vec<_> = TEMPLATES.iter().map(|template| template.name).collect();
    format!("there is no template {name:?}; there are {}", names.join(", "))
}
