//! Command line, environment and file: never a panic, and what is printed reads back.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use wasgun_fuzz::config::{Command, Config, Invocation};

static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("app.wasm"), "").unwrap();
    dir
});

fn resolve(args: Vec<OsString>, env: Vec<(OsString, OsString)>, dir: &Path) -> Option<Command> {
    Invocation { args, env, cwd: dir.to_owned() }.resolve().ok()
}

/// But for who said how many workers.
fn essence(mut config: Box<Config>) -> String {
    config.pool.workers.reason.clear();
    format!("{config:?}")
}

fuzz_target!(|data: &[u8]| {
    // Parts apart by a byte that none of them can have: arguments, NAME=VALUE, the file.
    let mut parts = data.splitn(3, |byte| *byte == 0xff);
    let mut lines = || {
        let part = parts.next().unwrap_or_default();
        part.split(|byte| *byte == 0xfe)
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    let (args, env, file) = (lines(), lines(), lines().concat());
    // Names of hosts would be looked up.
    if data.windows(4).any(|window| window.eq_ignore_ascii_case(b"bind"))
        || data.windows(2).any(|window| window == b"-b")
    {
        return;
    }
    let mut all = vec!["wasgun".into()];
    all.extend(args.into_iter().map(OsString::from_vec));
    let env: Vec<_> = env
        .into_iter()
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b'=')?;
            Some((OsString::from_vec(line[..at].to_vec()), OsString::from_vec(line[at + 1..].to_vec())))
        })
        .collect();
    let config_file = DIR.path().join("wasgun.toml");
    std::fs::write(&config_file, &file).unwrap();
    let Some(Command::Serve(config)) = resolve(all.clone(), env.clone(), DIR.path()) else { return };
    // First, for behind a "--" it would be no option.
    all.insert(1, "--print-config".into());
    let Some(Command::PrintConfig(printed)) = resolve(all, env, DIR.path()) else {
        panic!("it is accepted, but not printed");
    };
    std::fs::write(&config_file, &printed).unwrap();
    let Some(Command::Serve(again)) = resolve(vec!["wasgun".into()], Vec::new(), DIR.path()) else {
        panic!("what is printed does not read back:\n{printed}");
    };
    assert_eq!(essence(again), essence(config), "{printed}");
});
