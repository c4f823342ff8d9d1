//! Ends the servers when this program is ended by whatever means: they are process
//! groups of their own, so that a terminal's Ctrl-C passes them by, and after an
//! upgrade they are not even children of ours.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Reads the groups until nobody can write any more, which is when we have ended.
const SCRIPT: &str =
    r#"while read -r group; do groups="$groups -$group"; done; exec kill -s KILL -- $groups 2>/dev/null"#;

static GUARD: Mutex<Option<Child>> = Mutex::new(None);

/// One more server, which leads its group.
pub fn add(group: i32) {
    use std::os::unix::process::CommandExt;
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    let guard = guard.get_or_insert_with(|| {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).process_group(0).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("there is a shell")
    });
    let pipe = guard.stdin.as_mut().expect("it is piped");
    writeln!(pipe, "{group}").expect("the guard reads");
}

/// All servers have ended by themselves.
pub fn dismiss() {
    if let Some(mut guard) = GUARD.lock().unwrap_or_else(PoisonError::into_inner).take() {
        drop(guard.kill().and_then(|()| guard.wait()));
    }
}
