use super::*;
use std::os::unix::fs::symlink;

/// Watches made-up files: what each look sees is the test's to say. Each is its
/// path and a number that stands for its state.
struct MadeUp(Watch);

impl MadeUp {
    fn new(files: &[(&str, u64)]) -> Self {
        let mut watch = Watch::new(Vec::new());
        watch.reloaded = made_up(files);
        watch.last = made_up(files);
        Self(watch)
    }

    fn sees(&mut self, files: &[(&str, u64)]) -> Option<String> {
        self.0.judge(made_up(files)).map(|change| change.path.display().to_string())
    }
}

fn made_up(files: &[(&str, u64)]) -> Files {
    let identity = |inode| Identity { device: 1, inode, length: 0, modified: (0, 0), changed: (0, 0) };
    files.iter().map(|(path, state)| (path.into(), identity(*state))).collect()
}

fn told(path: &str) -> Option<String> {
    Some(path.to_owned())
}

/// Looks at real files once the time has come.
struct Real {
    watch: Watch,
    now: u64,
}

impl Real {
    fn new(paths: &[&Path]) -> Self {
        Self { watch: Watch::new(paths.iter().map(|path| path.to_path_buf()).collect()), now: 5_000 }
    }

    fn look(&mut self) -> Option<PathBuf> {
        self.now += INTERVAL_MS;
        self.watch.look(self.now).map(|change| change.path)
    }

    /// Sees `path` change: told at the second look, and once.
    fn must_tell(&mut self, path: &Path) {
        assert_eq!(self.look(), None, "it may be in the middle of it");
        assert_eq!(self.look().as_deref(), Some(path));
        assert_eq!((self.look(), self.look()), (None, None), "told once");
    }
}

/// A directory with a file in it.
fn with_file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.wasm");
    fs::write(&file, "one").unwrap();
    (dir, file)
}

#[test]
fn a_change_is_told_once_it_has_come_to_rest() {
    let mut watch = MadeUp::new(&[("a", 1)]);
    assert_eq!(watch.sees(&[("a", 1)]), None);
    for step in 2..10 {
        assert_eq!(watch.sees(&[("a", step)]), None, "a linker at work");
    }
    assert_eq!(watch.sees(&[("a", 9)]), told("a"));
    assert_eq!(watch.sees(&[("a", 9)]), None);
    assert_eq!(watch.sees(&[("a", 10)]), None);
    assert_eq!(watch.sees(&[("a", 10)]), told("a"));
}

#[test]
fn what_has_come_back_as_it_was_is_no_change() {
    let mut watch = MadeUp::new(&[("a", 1)]);
    for files in [&[("a", 2)][..], &[("a", 1)], &[("a", 1)], &[], &[], &[("a", 1)], &[("a", 1)]] {
        assert_eq!(watch.sees(files), None);
    }
}

#[test]
fn a_missing_file_is_no_change_until_it_is_back() {
    let mut watch = MadeUp::new(&[("a", 1)]);
    for files in [&[][..], &[], &[], &[("a", 2)], &[], &[("a", 3)]] {
        assert_eq!(watch.sees(files), None);
    }
    assert_eq!(watch.sees(&[("a", 3)]), told("a"));
    let mut watch = MadeUp::new(&[]);
    assert_eq!(watch.sees(&[("late", 1)]), None);
    assert_eq!(watch.sees(&[("late", 1)]), told("late"));
}

#[test]
fn files_that_change_together_are_one_reload() {
    let mut watch = MadeUp::new(&[("a", 1), ("b", 1), ("c", 1)]);
    let changed = [("a", 1), ("b", 2), ("c", 2)];
    assert_eq!(watch.sees(&changed), None);
    assert_eq!(watch.sees(&changed), told("b"));
    assert_eq!(watch.sees(&changed), None);
}

#[test]
fn a_file_in_motion_keeps_no_other_back_and_is_not_forgotten() {
    let mut watch = MadeUp::new(&[("a", 1), ("log", 1)]);
    assert_eq!(watch.sees(&[("a", 2), ("log", 2)]), None);
    assert_eq!(watch.sees(&[("a", 2), ("log", 3)]), told("a"));
    // That reload may have read half of it, however it looks now.
    assert_eq!(watch.sees(&[("a", 2), ("log", 3)]), told("log"));
    // Missing while another is reloaded: new when it is back, even unchanged.
    assert_eq!(watch.sees(&[("log", 4)]), None);
    assert_eq!(watch.sees(&[("log", 4)]), told("log"));
    assert_eq!(watch.sees(&[("a", 2), ("log", 4)]), None);
    assert_eq!(watch.sees(&[("a", 2), ("log", 4)]), told("a"));
}

#[test]
fn it_looks_when_the_time_has_come() {
    let (_dir, file) = with_file();
    let mut watch = Watch::new(vec![file.clone()]);
    assert_eq!(watch.look(1_000), None);
    fs::write(&file, "more").unwrap();
    for now in [1_000, 1_050, 1_099, 1_100, 1_101, 1_199] {
        assert_eq!(watch.look(now), None, "at {now}");
    }
    assert_eq!(watch.look(1_200), Some(Change { path: file }));
}

#[test]
fn every_way_to_write_a_file_is_noticed() {
    let (dir, file) = with_file();
    let mut real = Real::new(&[&file]);
    assert_eq!((real.look(), real.look()), (None, None));

    fs::write(&file, "longer").unwrap();
    real.must_tell(&file);

    let other = dir.path().join("other");
    fs::write(&other, "sixsix").unwrap();
    fs::rename(&other, &file).unwrap();
    real.must_tell(&file);

    // Of the same length, and passed off as just as old.
    let before = fs::metadata(&file).unwrap();
    fs::write(&other, "666666").unwrap();
    fs::File::open(&other).unwrap().set_modified(before.modified().unwrap()).unwrap();
    fs::rename(&other, &file).unwrap();
    real.must_tell(&file);

    fs::remove_file(&file).unwrap();
    assert_eq!((real.look(), real.look()), (None, None));
    fs::write(&file, "new").unwrap();
    real.must_tell(&file);
}

#[test]
fn a_file_that_is_not_there_yet_is_noticed_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("target/release/app.wasm");
    let mut real = Real::new(&[&deep]);
    assert_eq!(real.look(), None);
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    fs::write(&deep, "").unwrap();
    real.must_tell(&deep);
}

#[test]
fn a_link_that_points_elsewhere_is_a_change() {
    let (dir, file) = with_file();
    let (link, other) = (dir.path().join("link"), dir.path().join("other"));
    symlink(&file, &link).unwrap();
    fs::write(&other, "two").unwrap();
    let mut real = Real::new(&[&link]);
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    real.must_tell(&link);
    fs::write(&other, "three").unwrap();
    real.must_tell(&link);
    fs::remove_file(&other).unwrap();
    assert_eq!((real.look(), real.look()), (None, None), "it points nowhere");
}

#[test]
fn a_directory_is_watched_with_all_that_is_in_it() {
    let (dir, file) = with_file();
    let root = dir.path();
    let deep = root.join("a/b/c/deep");
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    fs::write(&deep, "").unwrap();
    symlink(root, root.join("a/b/again")).unwrap();
    symlink("self", root.join("self")).unwrap();
    let mut real = Real::new(&[root]);
    assert_eq!(real.look(), None);
    assert_eq!(real.watch.last.keys().cloned().collect::<Vec<_>>(), [deep.clone(), file]);

    fs::write(&deep, "deeper").unwrap();
    real.must_tell(&deep);
    let new = root.join("a/new");
    fs::write(&new, "").unwrap();
    real.must_tell(&new);
    fs::create_dir(root.join("empty")).unwrap();
    assert_eq!((real.look(), real.look()), (None, None), "there is no file in it");
}

#[test]
fn one_look_is_bounded_and_named_files_come_first() {
    let (dir, file) = with_file();
    let many = dir.path().join("many");
    fs::create_dir(&many).unwrap();
    for index in 0..20 {
        fs::write(many.join(index.to_string()), "").unwrap();
    }
    let paths = [many, file.clone()];
    let (files, is_partial) = look_at(&paths, 22);
    assert_eq!((files.len(), is_partial), (21, false));
    let (files, is_partial) = look_at(&paths, 10);
    assert_eq!((files.len(), is_partial), (9, true));
    assert!(files.contains_key(&file));
    assert!(!Watch::new(paths.to_vec()).is_partial());
}
