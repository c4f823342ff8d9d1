//! `wasgun new` writes the folders of guests/. That what it writes builds and serves is for
//! tests/languages.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::guests::folder;
use support::{Finished, run, wasgun};
use wasgun::templates;

/// Runs `wasgun new ARGS` in `dir`.
fn new(dir: &Path, args: &[&str]) -> Finished {
    let mut command = wasgun();
    command.current_dir(dir).arg("new").args(args);
    run(command)
}

#[test]
fn each_template_is_its_folder() {
    for template in templates::all() {
        let wanted = folder(&format!("guests/{}", template.name));
        let files: BTreeMap<_, _> = template.files().map(|(path, bytes)| (path, bytes.to_vec())).collect();
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&files),
            names(&wanted),
            "src/templates/table.rs lists the files of {}",
            template.name
        );
        assert!(files == wanted, "{} differs in content", template.name);
        for name in ["README.md", ".gitignore"] {
            assert!(files.contains_key(name), "{} has no {name}", template.name);
        }
        let commands = template.commands();
        let (last, before) = commands.split_last().expect("it has commands");
        assert!(last.starts_with("wasgun ") && before.len() <= 2, "{}: {commands:?}", template.name);
    }
    assert!(templates::all().len() > 10);
}

#[test]
fn a_project_is_written_where_there_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    for target in ["deep/in/it", "empty"] {
        let written = new(dir.path(), &["rust", target]);
        assert_eq!(written.code, Some(0), "{}", written.stderr);
        assert!(written.stdout.contains("wasgun app.wasm"), "{}", written.stdout);
        let readme = std::fs::read(dir.path().join(target).join("README.md")).unwrap();
        assert_eq!(readme, folder("guests/rust")["README.md"]);
    }
    let spaced = new(dir.path(), &["wat", "it's here"]);
    assert!(spaced.stdout.contains(r"/it'\''s here'"), "{}", spaced.stdout);
    let here = tempfile::tempdir().unwrap();
    assert_eq!(new(here.path(), &["wat", "."]).code, Some(0));
    assert!(here.path().join("README.md").exists());
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("full")).unwrap();
    std::fs::write(dir.path().join("full/mine"), "mine").unwrap();
    for (args, code, wanted) in [
        (&["rust", "full"][..], 1, "full is not empty"),
        (&["rust", "full/mine"], 1, "mine is a file"),
        (&["rust", "full/mine/deeper"], 1, "mine/deeper"),
        (&["ruby", "other"], 2, "there is no template \"ruby\"; there are "),
        (&["rust"], 2, "DIR"),
        (&["rust", ""], 2, "an empty path"),
        (&["rust", "a", "b"], 2, "b"),
    ] {
        let refused = new(dir.path(), args);
        assert_eq!(refused.code, Some(code), "{args:?}: {}", refused.stderr);
        assert!(
            refused.stderr.starts_with("wasgun: ") && refused.stderr.contains(wanted),
            "{}",
            refused.stderr
        );
    }
    std::os::unix::fs::symlink("/nonexistent", dir.path().join("full/link")).unwrap();
    assert_eq!(new(dir.path(), &["rust", "full/link"]).code, Some(1));
    std::fs::remove_file(dir.path().join("full/link")).expect("the link is still there");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["full"]);
    assert_eq!(std::fs::read_dir(dir.path().join("full")).unwrap().count(), 1);
}

#[test]
fn the_list_has_every_template() {
    let dir = tempfile::tempdir().unwrap();
    let listed = new(dir.path(), &[]);
    assert_eq!(listed.code, Some(0));
    for template in templates::all() {
        assert!(listed.stdout.contains(&format!("  {} ", template.name)), "{}", listed.stdout);
    }
}
